# SPDX-License-Identifier: Apache-2.0
"""A process in the foreground: signals go to it, its terminal is the caller's, its end is ours."""

from __future__ import annotations

import _signal
import errno
import os
import select
import sys

from native import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.console import Terminal
    from runtime.notify_socket import NotifySocket

#: Not forwarded: what can't be blocked, what is ours, and faults of our own (signal(7)).
_OWN = frozenset(
    {
        _signal.SIGKILL,
        _signal.SIGSTOP,
        _signal.SIGCHLD,
        _signal.SIGPIPE,
        _signal.SIGSEGV,
        _signal.SIGBUS,
        _signal.SIGILL,
        _signal.SIGFPE,
        _signal.SIGTTIN,
        _signal.SIGTTOU,
    }
)
_FORWARDED = [number for number in range(1, _signal.NSIG) if number not in (*_OWN, 32, 33)]
_SIGNAL_SIZE = 128  # struct signalfd_siginfo
_SIGNALED = 128  # a shell's status of a process that a signal ended


class Foreground:
    """Made before the process: from then on signals wait for it instead of ending us."""

    def __init__(self, *, subreaper: bool) -> None:
        if subreaper:
            # Not prctl itself, which makes a function of each of the kernel's options: 2 ms.
            import _prctl

            _prctl.prctl(_prctl.PR_SET_CHILD_SUBREAPER, 1)
        self._terminal: Terminal | None = None
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [*_FORWARDED, _signal.SIGCHLD])
        self._signals = syscalls.signalfd([*_FORWARDED, _signal.SIGCHLD])

    def attach(self, master: int) -> None:
        """The container's terminal: from now on the caller's is in raw mode."""
        from runtime.console import Terminal

        self._terminal = Terminal(master)
        self._terminal.enter_raw()

    def restore(self) -> None:
        """The caller's terminal as it was. May be called at any time, and again."""
        if self._terminal is not None:
            self._terminal.restore()

    def wait(
        self,
        pid: int,
        notify: NotifySocket | None = None,
        removal: Sequence[str] = (),  # noqa: ARG002
    ) -> int:
        """Serve a child of ours until it ends. Returns its status as a shell has it.

        notify: what the container says there is passed on, with us as the main process. removal:
        the call that comes next, for a caller that waits by itself (runtime.warm).
        """
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        terminal = self._terminal
        if terminal is not None:
            terminal.register(poll)
        if notify is not None and notify.fileno() >= 0:
            poll.register(notify.fileno(), select.POLLIN)
        while True:
            status = _reap(pid)
            if status is not None:
                if terminal is not None:
                    terminal.drain()
                    terminal.restore()
                return status
            for fd, _ in poll.poll():
                if fd == self._signals:
                    self._forward(pid)
                elif notify is not None and fd == notify.fileno():
                    notify.forward(os.getpid(), barrier=False)
                elif terminal is not None and not terminal.copy(fd, poll):
                    poll.unregister(fd)

    def _forward(self, pid: int) -> None:
        while True:
            try:
                data = os.read(self._signals, _SIGNAL_SIZE)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EINTR):
                    return
                raise
            number = int.from_bytes(data[:4], sys.byteorder)
            if number == _signal.SIGWINCH and self._terminal is not None:
                self._terminal.resize()
            elif number != _signal.SIGCHLD:
                try:
                    os.kill(pid, number)  # our child, not waited for: the pid is its own
                except ProcessLookupError:
                    pass


def _reap(pid: int) -> int | None:
    """Wait for whatever ended; the status once it was `pid`. As a subreaper we have others too."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 1
        if ended == 0:
            return None
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _SIGNALED - code
