# SPDX-License-Identifier: Apache-2.0
"""A process joined with our own stdin, stdout and stderr: what people do at a terminal.

With a terminal it is in raw mode meanwhile, and put back whatever happens; the process's has its
size; and a sequence of keys lets go of the process, which runs on.
"""

from __future__ import annotations

import _signal
import os
import select

from orlop.errors import Lost, Refused
from orlop.signals import Signals
from orlop.subscriptions import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orlop.process import Process
    from orlop.types import ConsoleSize

DETACH_KEYS = b"\x10\x11"  # ctrl-p, ctrl-q: Docker's
#: Passed on to the process; the others end us.
_FORWARDED = (
    *(_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM),
    *(_signal.SIGUSR1, _signal.SIGUSR2),
)


def size() -> ConsoleSize | None:
    """The size of the terminal on stdin, or stdout; None where neither is one, or it has none."""
    for fd in (0, 1):
        try:
            width, height = os.get_terminal_size(fd)
        except OSError:
            continue
        if width and height:
            return {"height": height, "width": width}
    return None


def join(
    process: Process,
    *,
    stdin: bool,
    terminal: bool,
    detach_keys: bytes = DETACH_KEYS,
) -> int | None:
    """Copy until the process has ended; its status, or None where the keys let go of it.

    stdin: ours is its input. terminal: it has one. Signals that would end us are sent to it.
    Raises Lost, BrokenPipeError where nobody reads what it writes.
    """
    from runtime.raw_mode import RawMode

    raw = RawMode()
    with Signals((*_FORWARDED, _signal.SIGWINCH)) as signals:
        try:
            keys = detach_keys if terminal and stdin and raw.enter() else b""
            return _Session(process, signals, keys=keys, stdin=stdin, terminal=terminal).run()
        finally:
            raw.leave()


class _Session:
    def __init__(
        self, process: Process, signals: Signals, *, keys: bytes, stdin: bool, terminal: bool
    ) -> None:
        self._process = process
        self._signals = signals
        self._keys = Keys(keys)
        self._terminal = terminal
        self._input = stdin  # more of it is to come
        self._writing = 0  # the request whose input is not taken yet, 0: none

    def run(self) -> int | None:
        """See `join`."""
        if self._terminal:
            self._resize()
        while not self._process.ended:
            self._settle()
            poll = select.poll()
            poll.register(self._process.fileno(), select.POLLIN)
            poll.register(self._signals.fileno(), select.POLLIN)
            if self._input and not self._writing:
                poll.register(0, select.POLLIN)
            here = self._process.has_pending  # what came while we waited for an answer
            ready = {fd for fd, _ in poll.poll(0 if here else None)}
            if here or self._process.fileno() in ready:
                self._take()
            if self._signals.fileno() in ready:
                for number in self._signals.take():
                    self._forward(number)
            if 0 in ready and self._read():
                return None
        status = self._process.exit_status
        if status is None:
            raise Lost("orlopd let go of the process before its end")
        return status

    def _take(self) -> None:
        for output in self._process.pending():
            data, fd = output.data, 2 if output.stream == "stderr" else 1
            while data:
                data = data[os.write(fd, data) :]

    def _settle(self) -> None:
        """Whether the input was taken: its answer may have come while we waited for another."""
        try:
            if self._writing and self._process.is_taken(self._writing):
                self._writing = 0
        except Refused:  # it reads no more, or has ended: then that is told next
            self._input, self._writing = False, 0

    def _read(self) -> bool:
        """Take what is typed; whether that was the keys to let go."""
        try:
            data = os.read(0, CHUNK)
        except OSError:  # EIO: our terminal is gone
            data = b""
        try:
            if not data:
                self._input = False
                self._process.close_stdin()
                return False
            kept, detached = self._keys.add(data)
            if kept:
                self._writing = self._process.begin_write(kept)
        except Refused:
            self._input = False
            return False
        return detached

    def _forward(self, number: int) -> None:
        if number == _signal.SIGWINCH:
            self._resize()
            return
        try:
            self._process.kill(number)
        except Refused:
            return  # it has ended

    def _resize(self) -> None:
        now = size()
        if self._terminal and now is not None:
            try:
                self._process.resize(now["height"], now["width"])
            except Refused:
                return  # it has ended


class Keys:
    """Input without the sequence that lets go; its beginning is kept until it is clear."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._kept = b""

    def add(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be passed on, and whether the sequence came: all behind it is dropped."""
        if not self._sequence:
            return data, False
        data = self._kept + data
        before, found, _ = data.partition(self._sequence)
        if found:
            return before, True
        for length in range(min(len(self._sequence) - 1, len(data)), 0, -1):
            if self._sequence.startswith(data[-length:]):
                self._kept = data[-length:]
                return data[:-length], False
        self._kept = b""
        return data, False
