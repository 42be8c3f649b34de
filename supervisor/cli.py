# SPDX-License-Identifier: Apache-2.0
"""`orlopd [--root DIR] [--group NAME]`: the daemon, from a terminal or under systemd."""

from __future__ import annotations

import argparse
import asyncio
import grp
import os
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING

from runtime.version import VERSION
from spec.errors import OrlopError
from supervisor import api
from supervisor.channel import Channel
from supervisor.connection import Connection
from supervisor.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.method import Method

CONNECTIONS = 1024
_BACKLOG = 128
_PATIENCE = 1.0  # seconds until somebody may have gone; asyncio's own
_SHIM = "containerd-shim-orlop-v1"
_ACTIVATED = 3  # sd_listen_fds(3)
_UCRED = struct.Struct("iII")


def main(words: Sequence[str] | None = None) -> int:
    """Run the daemon; returns the exit status."""
    parser = argparse.ArgumentParser(prog="orlopd", description="containers over JSON-RPC 2.0")
    parser.add_argument("--root", default=default_root(), help="its directory (%(default)s)")
    parser.add_argument("--group", default="", help="whose members may connect, too")
    parser.add_argument("--version", action="version", version=f"orlopd {VERSION}")
    given = parser.parse_args(words)
    try:
        asyncio.run(_serve(given.root, given.group))
    except (OrlopError, OSError, KeyError) as error:
        hint = f" ({error.hint})" if isinstance(error, OrlopError) and error.hint else ""
        sys.stderr.write(f"orlopd: {error}{hint}\n")
        return 1
    return 0


def default_root() -> str:
    """/run/orlopd, or the user's runtime directory's."""
    base = os.environ.get("XDG_RUNTIME_DIR", "") if os.geteuid() else ""
    return os.path.join(base or "/run", "orlopd")


def _shim_program() -> str:
    """The shim of our own installation, beside us: an upgrade concerns later containers only."""
    return os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), _SHIM)


async def _serve(root: str, group: str) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    gid = grp.getgrnam(group).gr_gid if group else -1
    os.makedirs(root, mode=0o700, exist_ok=True)
    if group:
        os.chown(root, -1, gid)
        os.chmod(root, 0o710)  # noqa: S103 - members must reach the socket
    store = Store(root, _shim_program())
    await store.recover()
    listener = _activated() or _listen(os.path.join(store.root, "orlopd.sock"), gid)
    front = Front(api.methods(store), any_user=bool(group))
    listener.setblocking(False)  # noqa: FBT003 - takes no keyword
    listener.listen(_BACKLOG)
    accepting = asyncio.get_running_loop().create_task(front.accept(listener))
    _notify("READY=1")
    await ended.wait()
    _notify("STOPPING=1")
    accepting.cancel()  # containers and their shims go on


class Front:
    """Who may connect, and how many at a time."""

    def __init__(self, methods: dict[str, Method], *, any_user: bool) -> None:
        self._methods = methods
        self._any_user = any_user
        self._connections = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket) -> None:
        """Serve all who come, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor is left: those who are served may end
                sys.stderr.write(f"orlopd: accept: {error.strerror}\n")
                await asyncio.sleep(_PATIENCE)
                continue
            serving = loop.create_task(self._serve(peer))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)

    async def _serve(self, peer: socket.socket) -> None:
        """Serve a client; one of another user is not, unless a group lets it (by the mode)."""
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        _, uid, _ = _UCRED.unpack(raw)
        if self._connections >= CONNECTIONS or not (self._any_user or uid in (0, os.geteuid())):
            peer.close()
            return
        self._connections += 1
        try:
            await Connection(self._methods, Channel(peer)).serve()
        finally:
            self._connections -= 1


def _activated() -> socket.socket | None:
    """The socket that systemd holds for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    os.set_inheritable(_ACTIVATED, False)  # noqa: FBT003 - takes no keyword
    return socket.socket(fileno=_ACTIVATED)


def _listen(path: str, gid: int) -> socket.socket:
    """Listen; what is there is of an orlopd that was killed, for we hold the lock."""
    try:
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
    return listener


def _notify(text: str) -> None:
    """sd_notify(3), where somebody wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        try:
            manager.sendto(text.encode(), address.replace("@", "\0", 1))
        except OSError as error:  # no reason not to serve, nor not to end well
            sys.stderr.write(f"orlopd: {address}: {error.strerror}\n")
