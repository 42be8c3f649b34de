# SPDX-License-Identifier: Apache-2.0
"""A connected unix socket: bytes both ways, and descriptors with them (SCM_RIGHTS, unix(7))."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING

from supervisor.descriptor import Descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHUNK = 65536
_DESCRIPTORS = 3  # that come with one message: stdin, stdout, stderr
_INT = struct.Struct("i")
_SPACE = socket.CMSG_SPACE(_DESCRIPTORS * _INT.size)


class Channel:
    """A socket that it owns."""

    def __init__(self, connected: socket.socket) -> None:
        self._end = Descriptor(connected.fileno())
        self.socket = connected
        self._sending = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None
        self._is_broken = False

    @classmethod
    async def connect(cls, path: str) -> Channel:
        """Raises OSError: nobody listens there."""
        connected = socket.socket(socket.AF_UNIX)
        connected.setblocking(False)  # noqa: FBT003 - takes no keyword
        try:
            await asyncio.get_running_loop().sock_connect(connected, path)
        except BaseException:
            connected.close()
            raise
        return cls(connected)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed here."""
        return self._end.fd < 0

    async def receive(self) -> tuple[bytes, list[int]]:
        """What has come, b"" at the end; the descriptors are the caller's. Raises ConnectionError.

        A read ends with the bytes that descriptors came with.
        """
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(_CHUNK, _SPACE, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                await self._end.readable()
                continue
            return data, [fd for *_, rights in control for (fd,) in _INT.iter_unpack(rights)]

    async def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send it whole, after all that was sent before. Raises ConnectionError.

        Who gives up waiting cuts no message into parts: the rest is sent all the same.
        """
        async with self._sending:
            if self._flushing is not None:
                await asyncio.wait({self._flushing})  # of one who gave up
            if self.is_closed:
                raise ConnectionResetError
            rest = data[await self._send_first(data, fds) :]
            if rest:
                self._flushing = asyncio.get_running_loop().create_task(self._flush(rest))
                await asyncio.wait({self._flushing})
            if self._is_broken:
                raise ConnectionResetError

    async def _send_first(self, data: bytes, fds: Sequence[int]) -> int:
        rights = b"".join(map(_INT.pack, fds))
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if fds else []
        while True:
            try:
                return self.socket.sendmsg([data], control)
            except BlockingIOError:
                await self._end.writable()

    async def _flush(self, data: bytes) -> None:
        try:
            await self._end.write(data)
        except OSError:
            self._is_broken = True

    def close(self) -> None:
        """Close it; who waits for it gets ConnectionError."""
        self._end.close()
        self.socket.detach()


def close_all(fds: list[int]) -> None:
    """Close descriptors that nobody took."""
    while fds:
        os.close(fds.pop())
