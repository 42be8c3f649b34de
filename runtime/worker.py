# SPDX-License-Identifier: Apache-2.0
"""A worker of a warm planner: it does calls, one after another, and each as if it were its first.

What a call leaves is removed. Then what the kernel keeps of a process is compared with what it was
before the first call: a worker that differs in anything ends, and so does one whose call failed or
whose caller did. Nothing of a call is kept in the runtime's modules: `caller.current` is the one
variable there, and tests/unit/test_stateless.py looks for others.
"""

from __future__ import annotations

import _signal
import _socket
import errno
import fcntl
import gc
import os
import sys

import prctl

from native import syscalls
from runtime import caller, warm
from runtime.host import read_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Service(Protocol):
        """What a planner's workers do."""

        def accept(self, listener: _socket.socket) -> _socket.socket:
            """Wait for the next caller. Raises OSError."""

        def serve(self, channel: _socket.socket) -> bool:
            """Do its call; False where this process is of no use for another."""


#: Calls of one worker: what the allocator can't give back stays small.
CALLS = 64
#: Descriptors of the worker's own are here while a call's have their own numbers.
_ASIDE = 640
_FD = 4  # bytes of a descriptor
_HANDLED = (_signal.SIGTERM, _signal.SIGINT)
_KEPT = ("SigBlk", "SigIgn", "SigCgt", "Threads")


class Line:
    """Between the planner and one worker: sockets of a pair, each side with its own.

    The worker asks for a caller, and is given the listening socket; or is dismissed, by the end of
    the line. It has that socket only while it waits: where a planner was killed, nobody else may
    keep callers waiting at it.
    """

    ASKS, WORKS = b"?", b"!"
    __slots__ = ("socket",)

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket

    @classmethod
    def pair(cls) -> tuple[Line, Line]:
        """The planner's, and the worker's. Raises OSError."""
        ours, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        return cls(ours), cls(its)

    def ask(self) -> _socket.socket | None:
        """By the worker: where the next caller comes; None: dismissed."""
        self.socket.send(self.ASKS)
        data, control, _, _ = self.socket.recvmsg(
            1, _socket.CMSG_SPACE(_FD), _socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            return None
        return _socket.socket(fileno=int.from_bytes(control[0][2][:_FD], sys.byteorder))

    def works(self) -> None:
        """By the worker: it has a caller."""
        self.socket.send(self.WORKS)

    def said(self) -> bytes:
        """By the planner: ASKS, WORKS, or b"" from a worker that has ended."""
        try:
            return self.socket.recv(1)
        except ConnectionResetError:
            return b""

    def answer(self, listener: _socket.socket) -> None:
        """By the planner."""
        payload = listener.fileno().to_bytes(_FD, sys.byteorder)
        try:
            self.socket.sendmsg([self.ASKS], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, payload)])
        except BrokenPipeError:
            pass  # it has ended: its end of the line says so


class Worker:
    """The worker's life. line: to its planner."""

    def __init__(self, line: Line, service: Service) -> None:
        self._line = line
        self._service = service

    def run(self, *, refuse: bool) -> None:
        """Serve until dismissed, or something differs; with `refuse` turn one caller away."""
        for number in _HANDLED:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.signal(_signal.SIGIO, _signal.SIG_IGN)  # heeded in a call (runtime.warm)
        belongings = _Belongings()
        for _ in range(CALLS):
            prctl.set_pdeathsig(_signal.SIGKILL)  # whatever ends the planner, its idle workers go
            channel = self._accept()
            if channel is None or refuse:
                return
            if not self._service.serve(channel):
                return
            caller.current = caller.Caller()
            del channel
            gc.collect()  # a descriptor that an object would close later is closed now
            if not belongings.restored():
                return

    def _accept(self) -> _socket.socket | None:
        """The next caller; from here on nothing but this worker and its caller ends the call."""
        listener = self._line.ask()
        if listener is None:
            return None
        channel = self._service.accept(listener)
        prctl.set_pdeathsig(0)
        listener.close()
        self._line.works()
        return channel


class _Belongings:
    """What this process is and has: its descriptors, directory, umask, and the rest.

    A call's environment stays until the next one brings its own: all of it, as its directory.
    """

    def __init__(self) -> None:
        self._aside = {}
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                self._aside[fd] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ASIDE)
            except OSError as error:
                if error.errno != errno.EBADF:  # that of the list itself
                    raise
        self._inheritable = {fd for fd in self._aside if os.get_inheritable(fd)}
        directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._directory = fcntl.fcntl(directory, fcntl.F_DUPFD_CLOEXEC, _ASIDE)
        os.close(directory)
        self._umask = os.umask(0o77)
        os.umask(self._umask)
        self._facts = _facts()

    def restored(self) -> bool:
        """Close and put back what a call changed; False where that isn't all. Raises OSError."""
        syscalls.close_range(0, _ASIDE - 1)
        for fd, aside in self._aside.items():
            os.dup2(aside, fd, fd in self._inheritable)
        os.fchdir(self._directory)
        os.umask(self._umask)
        here = set(map(int, os.listdir("/proc/self/fd")))
        more = here - {*self._aside, *self._aside.values(), self._directory}
        return len(more) == 1 and _is_alone() and _facts() == self._facts  # one: the list's own


def _is_alone() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def _facts() -> dict[str, object]:
    """What a process is, beside what `restored` puts back (fork(2), proc(5))."""
    facts = dict(warm.Surroundings.of("/proc/self", "").facts)
    for line in read_small("/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name in _KEPT:
            facts[name] = value.split()
    for name in ("limits", "cgroup", "oom_score_adj"):
        facts[name] = read_small(f"/proc/self/{name}")
    facts["nice"] = os.getpriority(os.PRIO_PROCESS, 0)
    return facts
