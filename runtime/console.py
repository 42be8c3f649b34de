# SPDX-License-Identifier: Apache-2.0
"""The terminal: handed to whoever listens on a console socket, or copied in the foreground."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios

from runtime.descriptor_socket import DescriptorSocket
from runtime.raw_mode import RawMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 32768


class ConsoleSocket(DescriptorSocket):
    """A connection to a console socket, for the terminal's master."""

    def __init__(self, path: str) -> None:
        """Connect. Raises OrlopError."""
        super().__init__(path, "console socket", b"/dev/ptmx")


class Terminal:
    """The caller's own terminal in raw mode, joined with a container's.

    Restored by `restore`, which may be called at any time.
    """

    def __init__(self, master: int) -> None:
        self.master = master
        self._stdin_open = True
        self._raw = RawMode()

    def enter_raw(self) -> None:
        """Raw mode, where stdin is a terminal; the container's gets its size."""
        if self._raw.enter():
            self.resize()

    def restore(self) -> None:
        """The terminal as it was."""
        self._raw.leave()

    def resize(self) -> None:
        """Give the container's terminal the size of ours."""
        try:
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
            if any(size[:4]):  # rows and columns; a terminal of no size is one that nobody sized
                fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
        except OSError:
            pass  # stdin is no terminal: the size stays as configured

    def register(self, poll: select.poll) -> None:
        """Add what is to be copied to a poll object."""
        poll.register(self.master, select.POLLIN)
        poll.register(0, select.POLLIN)

    def copy(self, fd: int, poll: select.poll) -> bool:
        """Copy what `fd` has; False at the end of the container's terminal."""
        if fd == 0:
            self._copy_input(poll)
            return True
        return self._copy_output()

    def _copy_input(self, poll: select.poll) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            poll.unregister(0)
            if self._stdin_open:
                # end of file for the program, if its terminal is in canonical mode
                _write_all(self.master, b"\x04")
                self._stdin_open = False
            return
        _write_all(self.master, data)

    def _copy_output(self) -> bool:
        try:
            data = os.read(self.master, _CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:  # the last slave was closed
                return False
            raise
        if data:
            _write_all(1, data)
        return bool(data)

    def drain(self) -> None:
        """Copy what the container wrote before it ended."""
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        while poll.poll(0):
            if not self._copy_output():
                return


def _write_all(fd: int, data: bytes, write: Callable[[int, bytes], int] = os.write) -> None:
    while data:
        data = data[write(fd, data) :]
