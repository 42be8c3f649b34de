# SPDX-License-Identifier: Apache-2.0
"""The socket that clients connect to, and who may."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING

from supervisor.channel import Channel
from supervisor.connection import Connection

if TYPE_CHECKING:
    from supervisor.method import Method
    from supervisor.store import Store

_PATIENCE = 1.0  # seconds until somebody may have gone; asyncio's own
_BACKLOG = 4096  # the kernel's own limit (net.core.somaxconn): a burst waits, nobody is refused
_ACTIVATED = 3  # sd_listen_fds(3)
_UCRED = struct.Struct("iII")


class Front:
    """Who may connect, and how many at a time."""

    def __init__(self, methods: dict[str, Method], store: Store) -> None:
        self._methods = methods
        self._any_user = bool(store.configuration.text("group"))
        self._most = store.configuration.whole("limits.connections")
        self._meter = store.meter
        self._journal = store.journal
        self._connections: dict[Connection, asyncio.Task[None]] = {}

    async def accept(self, listener: socket.socket) -> None:
        """Serve all who come, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor is left: those who are served may end
                self._journal.error("a client can't be served", error=str(error))
                await asyncio.sleep(_PATIENCE)
                continue
            if self._may(peer):
                connection = Connection(self._methods, Channel(peer), self._meter)
                self._connections[connection] = loop.create_task(self._serve(connection))
                self._meter.connections = len(self._connections)
            else:
                peer.close()

    def _may(self, peer: socket.socket) -> bool:
        """Whether there is room; other users may not, unless a group lets them (by the mode)."""
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        _, uid, _ = _UCRED.unpack(raw)
        is_known = self._any_user or uid in (0, os.geteuid())
        return is_known and len(self._connections) < self._most

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.serve()
        finally:
            del self._connections[connection]
            self._meter.connections = len(self._connections)

    async def end(self, seconds: float) -> None:
        """Answer what is being asked; who doesn't read his answer in time is left."""
        ends = [asyncio.ensure_future(each.end()) for each in self._connections]
        if ends:
            await asyncio.wait(ends, timeout=seconds)


def activated() -> socket.socket | None:
    """The socket that systemd holds for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    os.set_inheritable(_ACTIVATED, False)  # noqa: FBT003 - takes no keyword
    return socket.socket(fileno=_ACTIVATED)


def listen(path: str, gid: int) -> socket.socket:
    """Listen; what is there is of an orlopd that was killed, for we hold the lock."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    if gid >= 0:
        os.chown(path, -1, gid)
        os.chmod(path, 0o660)
    listener.listen(_BACKLOG)
    return listener
