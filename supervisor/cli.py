# SPDX-License-Identifier: Apache-2.0
"""`orlopd [--config FILE] [FLAG...]`: the daemon, from a terminal or under systemd."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
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
from supervisor import configuration as configurations
from supervisor.api import metrics
from supervisor.backoff import Backoff
from supervisor.channel import Channel
from supervisor.connection import Connection
from supervisor.journal import Journal
from supervisor.meter import Meter
from supervisor.planner import Planner
from supervisor.prometheus import HEAD_LIMIT, Page
from supervisor.settings import SETTINGS
from supervisor.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from supervisor.configuration import Configuration
    from supervisor.method import Method

_BACKLOG = 128
_SHORTAGE = 1.0  # seconds until somebody may have gone; asyncio's own
_PATIENCE = 20.0  # seconds that what was begun has to come to its end
_SHIM = "containerd-shim-orlop-v1"
_ACTIVATED = 3  # sd_listen_fds(3)
_UCRED = struct.Struct("iII")


def main(words: Sequence[str] | None = None) -> int:
    """Run the daemon; returns the exit status."""
    given = vars(parser().parse_args(words))
    path, is_check = given.pop("config"), given.pop("check")
    try:
        configuration = configurations.load(path, given)
        if not is_check:
            asyncio.run(_serve(configuration))
    except (OrlopError, OSError) as error:
        hint = f" ({error.hint})" if isinstance(error, OrlopError) and error.hint else ""
        sys.stderr.write(f"orlopd: {error}{hint}\n")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags: those settings that have one, and a few about the file itself."""
    found = argparse.ArgumentParser(
        prog="orlopd",
        description="containers over JSON-RPC 2.0",
        argument_default=argparse.SUPPRESS,
    )
    usual = "the file of settings (/etc/orlop/orlopd.toml, or the user's, if it is there)"
    found.add_argument("--config", metavar="FILE", default="", help=usual)
    for setting in SETTINGS:
        if setting.flag:
            name = setting.key.replace(".", "-")
            choices = setting.schema.get("enum")
            found.add_argument(
                f"--{name}",
                dest=setting.key,
                choices=choices,
                metavar=None if choices else name.rpartition("-")[2].upper(),
                help=setting.meaning,
            )
    found.add_argument(
        "--check", action="store_true", default=False, help="check the settings, and go"
    )
    found.add_argument("--version", action="version", version=f"orlopd {VERSION}")
    return found


def _beside(name: str) -> str:
    """A program of our own installation: an upgrade concerns later containers only."""
    return os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), name)


async def _serve(configuration: Configuration) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    root, gid = configuration.text("root"), _group(configuration.text("group"))
    os.makedirs(root, mode=0o700, exist_ok=True)
    if gid >= 0:
        os.chown(root, -1, gid)
        os.chmod(root, 0o710)  # noqa: S103 - members must reach the socket
    journal = Journal(configuration.text("log.level"), configuration.text("log.format"))
    meter = Meter(journal)
    store = Store(configuration, _beside(_SHIM), journal, meter)
    await store.recover()
    activated = _activated()
    path = os.path.join(store.root, "orlopd.sock")
    listener = activated or _listen(path, gid)
    front = Front(api.methods(store), configuration, meter, journal)
    listener.setblocking(False)  # noqa: FBT003 - takes no keyword
    listener.listen(_BACKLOG)
    accepting = asyncio.get_running_loop().create_task(front.accept(listener))
    async with _companions(store, configuration, gid):
        journal.info("orlopd serves", version=VERSION, pid=os.getpid(), root=store.root,
                     containers=len(store.all()))  # fmt: skip
        _notify("READY=1")
        await ended.wait()
        _notify("STOPPING=1")
        accepting.cancel()
        listener.close()
        if activated is None:
            os.unlink(path)
        await store.settle(_PATIENCE)  # containers and their shims go on
        journal.info("orlopd ends")


@contextlib.asynccontextmanager
async def _companions(store: Store, configuration: Configuration, gid: int) -> AsyncIterator[None]:
    """What runs beside the API: the planner, and the page of metrics."""
    beside, path = [], configuration.text("metrics.socket")
    if configuration.flag("planner.run"):
        address = configuration.text("planner.socket")
        planner = Planner(_beside("orlop"), address, store.journal, Backoff(0.1, 60, 10))
        beside.append(asyncio.get_running_loop().create_task(planner.run()))
        store.planner = planner
    if path:
        page = Page(lambda: metrics.figures(store))
        await asyncio.start_unix_server(page.serve, sock=_listen(path, gid), limit=HEAD_LIMIT)
    try:
        yield
    finally:
        for each in beside:
            each.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if path:
            os.unlink(path)


def _group(name: str) -> int:
    """Its number, -1 for none. Raises OrlopError."""
    try:
        return grp.getgrnam(name).gr_gid if name else -1
    except KeyError:
        raise OrlopError(f"group: there is no group {name!r}") from None


class Front:
    """Who may connect, and how many at a time."""

    def __init__(
        self,
        methods: dict[str, Method],
        configuration: Configuration,
        meter: Meter,
        journal: Journal,
    ) -> None:
        self._methods = methods
        self._journal = journal
        self._any_user = bool(configuration.text("group"))
        self._most = configuration.whole("limits.connections")
        self._meter = meter
        self._serving: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket) -> None:
        """Serve all who come, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor is left: those who are served may end
                self._journal.error("accept", error=error.strerror)
                await asyncio.sleep(_SHORTAGE)
                continue
            serving = loop.create_task(self._serve(peer))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)

    async def _serve(self, peer: socket.socket) -> None:
        """Serve a client; one of another user is not, unless a group lets it (by the mode)."""
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        _, uid, _ = _UCRED.unpack(raw)
        if self._meter.connections >= self._most or not (
            self._any_user or uid in (0, os.geteuid())
        ):
            peer.close()
            return
        self._meter.connections += 1
        try:
            await Connection(self._methods, Channel(peer), self._meter).serve()
        finally:
            self._meter.connections -= 1


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
