# SPDX-License-Identifier: Apache-2.0
"""A descriptor in the event loop, for what asyncio's transports can't do.

They take no descriptors along, and have no end of a pipe that is read at its reader's pace.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Descriptor:
    """A non-blocking descriptor that it owns. Closing it wakes who waits, with ConnectionError."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()

    async def readable(self) -> None:
        """Wait until there is something to read, or its end. One at a time."""
        await self._until(self._loop.add_reader, self._loop.remove_reader)

    async def writable(self) -> None:
        """Wait until there is room, or nobody to read. One at a time."""
        await self._until(self._loop.add_writer, self._loop.remove_writer)

    async def _until(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        if self.fd < 0:
            raise ConnectionResetError
        future: asyncio.Future[None] = self._loop.create_future()
        add(self.fd, _wake, future)
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            if self.fd >= 0:  # else it is somebody else's by now
                remove(self.fd)

    async def read(self, size: int) -> bytes:
        """What is there; b"" at the end. Raises OSError."""
        while self.fd >= 0:
            try:
                return os.read(self.fd, size)
            except BlockingIOError:
                await self.readable()
        return b""

    async def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError, ConnectionError."""
        while data:
            if self.fd < 0:
                raise ConnectionResetError
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                await self.writable()

    def close(self) -> None:
        """Close it. May be called again."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        os.close(fd)
        for future in self._waiting:
            if not future.done():
                future.set_exception(ConnectionResetError())


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
