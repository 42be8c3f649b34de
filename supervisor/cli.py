# SPDX-License-Identifier: Apache-2.0
"""`orlopd [--config FILE] [FLAG...]`: the daemon, from a terminal or under systemd."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import grp
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from runtime import private_directory
from runtime.version import VERSION
from spec.errors import OrlopError
from supervisor import api
from supervisor.api import metrics
from supervisor.backoff import Backoff
from supervisor.configuration import load
from supervisor.front import Front, activated, listen
from supervisor.journal import Journal
from supervisor.meter import Meter
from supervisor.planner import Planner
from supervisor.prometheus import HEAD_LIMIT, Page
from supervisor.settings import SETTINGS
from supervisor.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence
    from typing import Any

    from supervisor.configuration import Configuration

_PATIENCE = 20.0  # seconds that what was begun has to come to its end
_SHIM = "containerd-shim-orlop-v1"


def main(words: Sequence[str] | None = None) -> int:
    """Run the daemon; returns the exit status."""
    given = vars(parser().parse_args(words))
    path, is_check = given.pop("config"), given.pop("check")
    try:
        configuration = load(path, given)
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
    private_directory.make(root)
    if gid >= 0:
        os.chown(root, -1, gid)
        os.chmod(root, 0o710)  # noqa: S103 - members must reach the socket
    journal = Journal(configuration.text("log.level"), configuration.text("log.format"))
    meter = Meter(journal)
    store = Store(configuration, _beside(_SHIM), journal, meter)
    await store.recover()
    path = os.path.join(store.root, "orlopd.sock")
    passed = activated()
    listener = passed or listen(path, gid)
    listener.setblocking(False)  # noqa: FBT003 - takes no keyword
    front = Front(api.methods(store), store)
    async with _beside_it(store, front.accept(listener), gid):
        journal.info("orlopd serves", version=VERSION, pid=os.getpid(), root=store.root,
                     containers=len(store.all()))  # fmt: skip
        gc.collect()
        gc.freeze()  # what is imported stays: collections need not go through it again and again
        _notify("READY=1")
        await ended.wait()
        _notify("STOPPING=1")
        if passed is None:
            os.unlink(path)
    await store.settle(_PATIENCE)  # containers and their shims go on
    await front.end(_PATIENCE)
    journal.info("orlopd ends")


@contextlib.asynccontextmanager
async def _beside_it(
    store: Store, accepting: Coroutine[Any, Any, None], gid: int
) -> AsyncIterator[None]:
    """What goes on until the end: the API, and if they are wanted planner and page of metrics."""
    configuration, loop = store.configuration, asyncio.get_running_loop()
    tasks, path = [loop.create_task(accepting)], configuration.text("metrics.socket")
    if configuration.flag("planner.run"):
        address = configuration.text("planner.socket")
        store.planner = Planner(_beside("orlop"), address, store.journal, Backoff(0.1, 60, 10))
        tasks.append(loop.create_task(store.planner.run()))
    if path:
        page = Page(lambda: metrics.figures(store))
        await asyncio.start_unix_server(page.serve, sock=listen(path, gid), limit=HEAD_LIMIT)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if path:
            os.unlink(path)


def _group(name: str) -> int:
    """Its number, -1 for none. Raises OrlopError."""
    try:
        return grp.getgrnam(name).gr_gid if name else -1
    except KeyError:
        raise OrlopError(f"group: there is no group {name!r}") from None


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
