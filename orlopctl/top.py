# SPDX-License-Identifier: Apache-2.0
"""`orlopctl top`: what containers use, live."""

from __future__ import annotations

import _signal
import os
import select
import time

from orlop.signals import Signals
from orlopctl import output
from orlopctl.screen import Screen
from orlopctl.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orlop import Client, Stream
    from orlop.types import Stats

_ENDING = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)
_SIGNALED = 128
_NAME = 12  # columns that a name has at least
_KEYS = {b"c": "cpu", b"m": "memory", b"i": "io", b"p": "pids", b"n": "name"}
_QUIT = (b"q", b"Q", b"\x03", b"\x04", b"")  # ctrl-c, ctrl-d: raw mode makes no signals of them
_HELP = "c m i p n: sort by   r: turn   q: quit"
#: heading, width, what is shown; in the order of the columns
_COLUMNS: tuple[tuple[str, int, Callable[[Usage], str]], ...] = (
    ("CPU %", 7, lambda use: f"{use.cpu:.1f}"),
    ("MEMORY", 10, lambda use: output.size(use.memory)),
    ("LIMIT", 10, lambda use: output.size(use.limit)),
    ("READ/S", 11, lambda use: output.size(use.read)),
    ("WRITE/S", 11, lambda use: output.size(use.written)),
    ("PIDS", 6, lambda use: str(use.pids)),
)
#: Which of them a narrow terminal gets first.
_FIRST = ("CPU %", "MEMORY", "PIDS", "READ/S", "WRITE/S", "LIMIT")
_OF_SORT = {"cpu": "CPU %", "memory": "MEMORY", "io": "READ/S", "pids": "PIDS", "name": "NAME"}


def show(client: Client, ids: Sequence[str], sort: str, interval: float) -> int:
    """Until a key or a signal ends it. Raises Unreachable, Lost."""
    with client.watch(ids[0] if len(ids) == 1 else None, interval=interval) as stream:
        board = Board(ids, sort, interval)
        with Signals((*_ENDING, _signal.SIGWINCH)) as signals, Screen() as screen:
            return _Live(board, stream, signals, screen).run()


class _Live:
    def __init__(
        self, board: Board, stream: Stream[Stats], signals: Signals, screen: Screen
    ) -> None:
        self._board = board
        self._stream = stream
        self._signals = signals
        self._screen = screen

    def run(self) -> int:
        poll = select.poll()
        for fd in (0, self._stream.fileno(), self._signals.fileno()):
            poll.register(fd, select.POLLIN)
        while True:
            self._screen.draw(self._board.lines(*self._screen.size, time.monotonic()))
            # Where nothing comes, nothing runs any more: drawn again, to say so.
            here = self._stream.has_pending
            ready = {fd for fd, _ in poll.poll(0 if here else self._board.interval * 1000)}
            if here or self._stream.fileno() in ready:
                for stats in self._stream.pending():
                    self._board.add(stats, time.monotonic())
            if self._signals.fileno() in ready:
                for number in self._signals.take():
                    if number != _signal.SIGWINCH:
                        return _SIGNALED + number
            if 0 in ready and self._board.press(_key()):
                return 0


def _key() -> bytes:
    try:
        return os.read(0, 64)
    except OSError:  # EIO: the terminal is gone
        return b""


class Board:
    """What is shown, without a terminal: usages in, keys in, lines out."""

    def __init__(self, ids: Sequence[str], sort: str, interval: float) -> None:
        self.interval = interval
        self._ids = ids
        self._sort = sort
        self._turned = False
        self._usages: dict[str, Usage] = {}

    def add(self, stats: Stats, now: float) -> None:
        """What came. now: time.monotonic()."""
        name = stats.get("container", self._ids[0] if self._ids else "")
        if not self._ids or name in self._ids:
            self._usages[name] = Usage(name, stats, now, self._usages.get(name))

    def press(self, key: bytes) -> bool:
        """A key; whether it ends all this."""
        if key in _QUIT:
            return True
        if key == b"r":
            self._turned = not self._turned
        elif key in _KEYS:
            self._turned = self._turned and self._sort == _KEYS[key]
            self._sort = _KEYS[key]
        return False

    def lines(self, width: int, height: int, now: float) -> list[str]:
        """The screen, at most that wide and high."""
        # One that was not heard of for two rounds has ended.
        self._usages = {
            name: use
            for name, use in self._usages.items()
            if now - use.seen <= 2 * self.interval + 1
        }
        columns = _columns(width)
        name = max(0, width - sum(width for _, width, _ in columns))
        uses = self._sorted()
        place = max(0, height - 3)  # all but title, headings and help
        lines = [self._title(len(uses), width), self._headings(columns, name, width)]
        for use in uses[:place]:
            cells = "".join(f"{shown(use):>{column}}" for _, column, shown in columns)
            lines.append(f"{_cut(output.cell(use.name), name - 1):<{name}}{cells}"[:width])
        more = len(uses) - place
        lines.append((f"and {more} more   " if more > 0 else "") + _HELP)
        return [lines[0][:width], *lines[1:-1], lines[-1][:width]][:height]

    def _sorted(self) -> list[Usage]:
        if self._sort == "name":
            return sorted(self._usages.values(), key=lambda use: use.name, reverse=self._turned)
        by_name = sorted(self._usages.values(), key=lambda use: use.name)
        return sorted(by_name, key=lambda use: use.by(self._sort), reverse=not self._turned)

    def _title(self, count: int, width: int) -> str:
        order = f"by {self._sort}" + (", turned" if self._turned else "")
        what = "1 container" if count == 1 else f"{count} containers"
        text = f"orlopctl top   {what}   {order}"
        clock = time.strftime("%H:%M:%S")
        room = width - len(text)
        return text + f"{clock:>{room}}" if room > len(clock) else text

    def _headings(self, columns: Sequence[_Column], name: int, width: int) -> str:
        mark = _OF_SORT[self._sort]
        cells = [f"{_marked('NAME', mark):<{name}}"]
        cells += [f"{_marked(heading, mark):>{column}}" for heading, column, _ in columns]
        return f"\x1b[7m{''.join(cells)[:width]}\x1b[0m"  # reverse video


_Column = tuple[str, int, "Callable[[Usage], str]"]


def _columns(width: int) -> list[_Column]:
    """Those that have room, the most wanted first."""
    room, chosen = width - _NAME, set()
    widths = {heading: column for heading, column, _ in _COLUMNS}
    for heading in _FIRST:
        if widths[heading] > room:
            break
        room -= widths[heading]
        chosen.add(heading)
    return [column for column in _COLUMNS if column[0] in chosen]


def _marked(heading: str, mark: str) -> str:
    return f"{heading}*" if heading == mark else heading


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "~"
