# SPDX-License-Identifier: Apache-2.0
"""Who puts the caller's terminal back when the runtime can't: it was killed (SIGKILL).

Else a person's shell is left without echo and line editing, with a container's end for a reason.
"""

from __future__ import annotations

import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    Attributes = list[int | list[bytes | int]]


class Guard:
    """A process that waits for the runtime's end. Made when stdin is in raw mode already."""

    __slots__ = ("_pid", "_writer")

    def __init__(self, saved: Attributes, farewell: bytes = b"") -> None:
        """saved: what to put back (tcgetattr(3)). farewell: what to send the terminal then."""
        raw = termios.tcgetattr(0)
        reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            _watch(reader, saved, raw, farewell)
        os.close(reader)

    def end(self) -> None:
        """The terminal is back; nobody need watch."""
        os.write(self._writer, b".")
        os.close(self._writer)
        os.waitpid(self._pid, 0)


def _watch(reader: int, saved: Attributes, raw: Attributes, farewell: bytes) -> None:
    """In the guard's process: never returns.

    In a session of its own: not meant by what is sent to the runtime's group, and never stopped
    for writing to a terminal from the background (tty_ioctl(4), SIGTTOU). It holds no descriptor
    but the terminal's, so that nobody waits for it. If the terminal was changed since, whoever did
    that is in charge.
    """
    try:
        os.setsid()
        os.dup2(reader, 1)
        os.closerange(2, (1 << 31) - 1)
        if not os.read(1, 1) and termios.tcgetattr(0) == raw:
            termios.tcsetattr(0, termios.TCSANOW, saved)
            os.write(0, farewell)
    finally:
        os._exit(0)
