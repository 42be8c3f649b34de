# SPDX-License-Identifier: Apache-2.0
"""A client that goes on while the test looks: at a terminal of its own, or a stream of lines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, Self

from tests.engines.room import ENVIRONMENT
from tests.support import waiting

if TYPE_CHECKING:
    from collections.abc import Sequence


def _end(session: subprocess.Popen[bytes]) -> None:
    """Kill the session's processes: nsenter has the client as its child, and passes nothing on."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session.pid, signal.SIGKILL)
    session.wait()


class Terminal:
    """`command` at a terminal of 24 lines of 80; a context manager."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = ["setsid", "--ctty", "--wait", *command]
        self._seen = b""

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self.resize(24, 80)
        environment = {**ENVIRONMENT, "TERM": "linux"}
        self._process = subprocess.Popen(
            self._command, stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)
        return self

    def __exit__(self, *exception: object) -> None:
        _end(self._process)
        os.close(self._master)

    def resize(self, lines: int, columns: int) -> None:
        """Change the window's size, as a terminal emulator does."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def shows(self, wanted: str, seconds: float) -> bool:
        """Whether it shows `wanted`, with no pause before that is longer than this."""
        try:
            while wanted.encode() not in self._seen and self._read(wanted, seconds):
                pass
        except TimeoutError:
            return False
        return wanted.encode() in self._seen

    def type(self, text: str) -> None:
        """Type `text`."""
        os.write(self._master, text.encode())

    def until(self, wanted: str) -> str:
        """What is shown up to and with `wanted`; what follows is left for the next call."""
        while wanted.encode() not in self._seen:
            if not self._read(f"{wanted!r} after {self._seen!r}"):
                raise AssertionError(f"ended before {wanted!r}: {self._seen!r}")
        shown, found, self._seen = self._seen.partition(wanted.encode())
        return (shown + found).decode().replace("\r\n", "\n")

    def end(self) -> tuple[int, str]:
        """Wait for the end: the status, and what was shown since."""
        while self._read("the end"):
            pass
        return self._process.wait(waiting.limit(20)), self._seen.decode().replace("\r\n", "\n")

    def _read(self, what: str, seconds: float = 30) -> bool:
        waiting.readable(self._master, seconds, what)
        data = b""
        with contextlib.suppress(OSError):  # EIO: the last slave is closed
            data = os.read(self._master, 65536)
        self._seen += data
        return bool(data)


class Lines:
    """The lines that `command` writes, as they come; a context manager that ends it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._seen = b""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            bufsize=0,
            start_new_session=True,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdout is not None
        _end(self._process)
        self._process.stdout.close()

    def until(self, wanted: str, seconds: float = 30) -> str:
        """Wait for a line that holds `wanted`, and return it; those before are passed over.

        Raises TimeoutError; AssertionError where the output ends before.
        """
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        shown: list[str] = []
        while True:
            while b"\n" not in self._seen:
                waiting.readable(fd, seconds, f"{wanted!r} after {shown}")
                data = os.read(fd, 65536)
                if not data:
                    raise AssertionError(f"ended before {wanted!r}: {shown}")
                self._seen += data
            line, _, self._seen = self._seen.partition(b"\n")
            shown.append(line.decode())
            if wanted in shown[-1]:
                return shown[-1]

    def shows(self, wanted: str, seconds: float) -> bool:
        """Whether such a line comes in time."""
        try:
            self.until(wanted, seconds)
        except TimeoutError:
            return False
        return True
