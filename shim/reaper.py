# SPDX-License-Identifier: Apache-2.0
"""Reaping: the shim is the subreaper of all that its workers start (prctl(2), Linux 3.4).

A process may end before the worker that started it has told its pid: while a worker is at work the
exits of unknown pids are kept.
"""

from __future__ import annotations

import _signal
import os
import time

from native import syscalls
from shim.exits import Exit
from shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.loop import Loop
    from shim.worker import Workers

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
        self._early: dict[int, Exit] = {}
        workers.on_idle = self._early.clear
        loop.watch(self._signals, READ, self._on_signal)

    def expect(self, pid: int, act: Callable[[Exit], None]) -> None:
        """Call `act` when the child has ended; at once if it has."""
        early = self._early.pop(pid, None)
        if early is not None and not _is_child(pid):
            act(early)
        else:
            self._expected[pid] = act

    def _on_signal(self, _events: int) -> None:
        os.read(self._signals, 4096)  # signals are merged: it says only that there is something
        self.collect()

    def collect(self) -> None:
        """Wait for all that have ended by now: a worker may know of an end before we do."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            end = Exit(code if code >= 0 else _SIGNALED - code, time.time_ns())
            act = self._expected.pop(pid, None)
            if act is not None:
                act(end)
            elif self._workers.are_busy:
                self._early[pid] = end


def _is_child(pid: int) -> bool:
    """Whether a child has this pid: then what was reaped before is another one's end."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
