# SPDX-License-Identifier: Apache-2.0
"""Reaping: the shim is the subreaper of all that its workers start (prctl(2), Linux 3.4).

A process may end before the worker that started it has told its pid: while a worker is at work the
exits of unknown pids are kept. While one is at work that was lent, nobody is waited for whom nobody
expects: that worker is not the parent, and relies on the pid of what it had started.
"""

from __future__ import annotations

import _signal
import errno
import os
import time

from native import syscalls
from shim.exits import Exit
from shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shim.loop import Loop
    from shim.workers import Workers

# Those that ask a daemon to end are taken, and answered with nothing: whoever stops all processes
# of containerd's service must not take the containers' exits with them. Blocked, not ignored: hooks
# and loggers start with an empty mask.
_HELD = (_signal.SIGCHLD, _signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)
_SIGNALED = 128  # a shell's status of a process that a signal ended


class Reaper:
    """Waits for every child, and calls whoever asked for it, once."""

    def __init__(self, loop: Loop, workers: Workers) -> None:
        import prctl

        prctl.set_child_subreaper(1)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _HELD)
        self._signals = syscalls.signalfd(_HELD)
        self._workers = workers
        self._expected: dict[int, Callable[[Exit], None]] = {}
        self._asked: dict[int, Callable[[int], None]] = {}
        self._early: dict[int, Exit] = {}
        workers.on_idle = self._early.clear
        workers.on_return = self.collect
        loop.watch(self._signals, READ, self._on_signal)

    def expect(self, pid: int, act: Callable[[Exit], None]) -> None:
        """Call `act` when the child has ended; at once if it has."""
        early = self._early.pop(pid, None)
        if early is not None and not _is_child(pid):
            act(early)
        else:
            self._expected[pid] = act
            self._collect_if_lent()

    def wait(self, pid: int, act: Callable[[int], None]) -> None:
        """Call `act` with the status of a child that a lent worker asks for (waitpid(2)).

        Raises ChildProcessError.
        """
        if not _is_child(pid):
            raise ChildProcessError(errno.ECHILD, "waitpid")
        self._asked[pid] = act
        self._collect_if_lent()

    def _collect_if_lent(self) -> None:
        """It may have ended, and was let be."""
        if self._workers.are_lent:
            self.collect()

    def _on_signal(self, _events: int) -> None:
        os.read(self._signals, 4096)  # signals are merged: it says only that there is something
        self.collect()

    def collect(self) -> None:
        """Wait for all that have ended by now: a worker may know of an end before we do."""
        for pid, status in self._ended():
            asked = self._asked.pop(pid, None)
            if asked is not None:
                asked(status)
                continue
            code = os.waitstatus_to_exitcode(status)
            end = Exit(code if code >= 0 else _SIGNALED - code, time.time_ns())
            act = self._expected.pop(pid, None)
            if act is not None:
                act(end)
            elif self._workers.are_busy:
                self._early[pid] = end

    def _ended(self) -> Iterator[tuple[int, int]]:
        """Children with their statuses; they are waited for."""
        if self._workers.are_lent:
            for pid in [*self._expected, *self._asked]:
                yield from _wait(pid)
        else:
            while found := _wait(-1):
                yield from found


def _wait(pid: int) -> list[tuple[int, int]]:
    """The child, or any one of them (-1), if it has ended."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return []
    return [(found, status)] if found else []


def _is_child(pid: int) -> bool:
    """Whether a child has this pid: then what was reaped before is another one's end."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
