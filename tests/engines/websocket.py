# SPDX-License-Identifier: Apache-2.0
"""A client of WebSockets (RFC 6455), as Kubernetes streams over them: a channel's number, data.

The server is in a room: the socket is made by a thread that joins the room's network.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from native import syscalls
from tests.support import waiting

if TYPE_CHECKING:
    from tests.engines.room import Room

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_BINARY, _CLOSE, _PING = 2, 8, 9


class WebSocket:
    """A connection to `url`, in a `with` statement. seen: what came, by channel."""

    def __init__(self, room: Room, url: str, protocol: str = "v4.channel.k8s.io") -> None:
        self._room = room
        self._url = urlsplit(url)
        self._protocol = protocol
        self._data = b""
        self.seen: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        assert self._url.hostname is not None
        assert self._url.port is not None
        address = (self._url.hostname, self._url.port)
        self._socket = connect(self._room, address)
        path = self._url.path + (f"?{self._url.query}" if self._url.query else "")
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self._url.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            f"Sec-WebSocket-Protocol: {self._protocol}",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._data:
            assert self._receive(), self._data
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def send(self, channel: int, data: bytes) -> None:
        """Send data on a channel; a client's frames are masked, with zeros as with anything."""
        payload = bytes([channel]) + data
        assert len(payload) < 65536
        size = bytes([0x80 | len(payload)])
        if len(payload) > 125:
            size = struct.pack(">BH", 0x80 | 126, len(payload))
        self._socket.sendall(bytes([0x80 | _BINARY]) + size + bytes(4) + payload)

    def until(self, channel: int, wanted: bytes) -> bytes:
        """What came on a channel up to and with `wanted`; it is taken from `seen`."""
        while wanted not in self.seen.get(channel, b""):
            assert self._next(), f"ended before {wanted!r}: {self.seen}"
        shown, found, self.seen[channel] = self.seen[channel].partition(wanted)
        return shown + found

    def end(self) -> dict[int, bytes]:
        """Wait until the server closes; all that came, by channel, but for empty ones."""
        while self._next():
            pass
        return {channel: data for channel, data in self.seen.items() if data}

    def _next(self) -> bool:
        """Take a frame; whether there was one."""
        head = self._take(2)
        if not head:
            return False
        kind, size = head[0] & 15, head[1] & 127
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        payload = self._take(size)
        if kind == _CLOSE:
            return False
        if payload and kind != _PING:
            self.seen[payload[0]] = self.seen.get(payload[0], b"") + payload[1:]
        return True

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            if not self._receive():
                return b""
        data, self._data = self._data[:size], self._data[size:]
        return data

    def _receive(self) -> bool:
        waiting.readable(self._socket.fileno(), 30, f"a frame after {self.seen}")
        data = self._socket.recv(65536)
        self._data += data
        return bool(data)


def connect(room: Room, address: tuple[str, int]) -> socket.socket:
    """A connection from within the room's network."""

    def join() -> socket.socket:
        namespace = os.open(f"/proc/{room.pid}/ns/net", os.O_RDONLY)
        try:
            syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        finally:
            os.close(namespace)
        return socket.create_connection(address, waiting.limit(20))

    with ThreadPoolExecutor(1) as thread:  # it alone is there, and ends
        return thread.submit(join).result()
