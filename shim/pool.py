# SPDX-License-Identifier: Apache-2.0
"""A pool of workers that shims borrow: processes that do one shim's work after another's.

The shims and the workers are forks of one process, and share the two ends of a socket: a shim sends
a connection into it, and the next free worker takes that, and its work from there. It ends with the
shim that it works for, as a fork of that would. The workers are those of runtime.planner; the pool
ends with the process that started it.
"""

from __future__ import annotations

import _signal
import _socket
import os

import prctl

from runtime import caller, warm
from runtime.planner import Planner
from shim import channel, options, works
from shim.channel import Channel
from shim.worker import close_others, do

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from runtime.caller import Spawned
    from shim.title import Title


def start(title: Title) -> _socket.socket:
    """Fork the pool; what shims ask it by (shim.lent). Raises OSError.

    title: of this process, which the pool changes for itself.
    """
    theirs, ours = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    parent = os.getpid()
    if not os.fork():
        _manage(theirs, parent, title)
    theirs.close()
    return ours


def _manage(inbox: _socket.socket, parent: int, title: Title) -> None:
    """The pool's life."""
    status = 1
    try:
        prctl.set_pdeathsig(_signal.SIGTERM)
        if os.getppid() != parent:
            return
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        title.change("workers")
        close_others([inbox.fileno()])  # whoever holds the template's channel sees its end
        Planner(inbox, _Works()).run(lambda: None)
        status = 0
    finally:
        os._exit(status)


class _Works:
    """What workers do for shims (runtime.worker)."""

    def accept(self, inbox: _socket.socket) -> _socket.socket:
        """Wait for a shim's connection. Raises OSError: nobody is left who could send one."""
        message, fds = channel.receive(inbox)
        if message is None or not fds:
            raise ConnectionResetError
        return _socket.socket(fileno=fds[0])

    def serve(self, connection: _socket.socket) -> bool:
        """Do its work; False where this process is of no use for another."""
        try:
            message, fds = channel.receive(connection)
            if message is None:
                return True  # it was taken back
            channel.send(connection, (channel.READY, os.getpid()))
            name, pid, umask, arguments = message
            os.umask(umask)
            shim = _Borrower(connection)
            caller.current = _Shim(shim, pid)
            warm.end_with(connection)
            work = _BY_NAME[name]
            return do(lambda it: work(arguments, fds, it), shim)
        finally:
            connection.close()


class _Borrower(Channel):
    """The channel to the shim."""

    def finish(self, kind: str, content: object) -> None:
        """See Channel: its end is no end of ours any more."""
        _signal.signal(_signal.SIGIO, _signal.SIG_IGN)
        super().finish(kind, content)


class _Shim(caller.Caller):
    """The shim on whose behalf we work; what we start is to be its child."""

    def __init__(self, shim: Channel, pid: int) -> None:
        self._shim = shim
        self.proc = f"/proc/{pid}"

    def spawn(
        self,
        executable: int,
        fds: Sequence[int],
        base: int,
        clone_flags: int,
        cgroup: int,
        flags: int,
    ) -> Spawned:
        """See Caller."""
        sent = [executable]
        table = []
        for fd in fds:
            table.append(len(sent) if fd >= 0 else -1)
            if fd >= 0:
                sent.append(fd)
        place = len(sent) if cgroup >= 0 else -1
        if cgroup >= 0:
            sent.append(cgroup)
        self._shim.request("spawn", (table, base, clone_flags, place, flags), sent)
        return self._shim.answer

    def run(
        self,
        path: str,
        args: list[str],
        env: dict[str, str],
        directory: str,
        stdio: Sequence[int],
    ) -> int:
        """See Caller."""
        place = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            where = os.open(directory, place)
        except OSError:
            where = os.open(".", place)
        content = -1
        try:
            content = channel.file((path, args, env))
            pid: int = self._shim.ask("run", None, [content, where, *stdio])[0]
            return pid
        finally:
            os.close(where)
            if content >= 0:
                os.close(content)

    def environment(self) -> dict[str, str]:
        """See Caller: the shim's, and nothing of the pool's."""
        _, content = self._shim.ask("environment", None)
        try:
            found: dict[str, str] = channel.content(content)
        finally:
            os.close(content)
        return found

    def wait(self, pid: int) -> int:
        """See Caller."""
        status: int = self._shim.ask("wait", pid)[0]
        return status


class _Streams:
    """The part of shim.stdio.Stdio that a work needs."""

    logger = None

    def __init__(self, child: list[int], log_uris: list[str], *, is_terminal: bool) -> None:
        self.child = child
        self.log_uris = log_uris
        self.is_terminal = is_terminal


def _create(arguments: Any, fds: list[int], shim: Channel) -> int:  # noqa: ANN401 - shim.create's
    place, mounts, given, log_uris, is_terminal = arguments
    stdio = _Streams(fds, log_uris, is_terminal=is_terminal)
    return works.do_create(works.Place(*place), mounts, options.load(given), stdio, shim)  # type: ignore[arg-type] # all that it needs


def _exec(arguments: Any, fds: list[int], shim: Channel) -> int:  # noqa: ANN401 - shim.start's
    place, spec, log_uris, is_terminal = arguments
    stdio = _Streams(fds, log_uris, is_terminal=is_terminal)
    return works.do_exec(works.Place(*place), spec, stdio, shim)  # type: ignore[arg-type] # as above


def _delete(place: Any, _fds: list[int], shim: Channel) -> None:  # noqa: ANN401 - shim.delete's
    works.do_delete(works.Place(*place), shim)


_BY_NAME: dict[str, Callable[[Any, list[int], Channel], object]] = {
    "create": _create,
    "delete": _delete,
    "exec": _exec,
}
