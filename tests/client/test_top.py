# SPDX-License-Identifier: Apache-2.0
"""orlopctl top: what is on the screen, seen by a terminal emulator; keys; and the way back."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pyte
import pytest

from orlopctl.top import Board
from tests.client.test_terminal import terminal
from tests.integration.test_terminal import guards_of
from tests.support.cli import ENVIRONMENT
from tests.support.waiting import ended, limit, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import orlop
    from orlop.types import Stats
    from tests.client.command import Orlopctl
    from tests.integration.test_terminal import OwnTerminal
    from tests.support.bundle import Bundle

__all__ = ["terminal"]


def stats(name: str, second: int, *, cpu: int = 0, memory: int = 0, read: int = 0) -> Stats:
    """What a container used up to a second of the day."""
    return {
        "container": name,
        "time": f"2026-11-22T00:00:{second:02}.000000000Z",
        "cpu": {"usage": cpu},
        "memory": {"usage": memory, "limit": None},
        "pids": {"current": 1},
        "io": {"read": read, "written": 0},
    }


@pytest.fixture
def board() -> Board:
    """`busy` takes half a processor, `big` has most memory, `reader` reads 2 MiB a second."""
    made = Board((), "cpu", 1)
    for second in (0, 1):
        made.add(stats("big", second, memory=1 << 30), second)
        made.add(stats("busy", second, cpu=second * 500_000_000), second)
        made.add(stats("reader", second, read=second << 21), second)
    return made


def names(board: Board) -> list[str]:
    """In the order of the screen."""
    return [line.split()[0] for line in board.lines(100, 24, 1)[2:-1]]


def test_rates_are_of_a_second(board: Board) -> None:
    text = "\n".join(board.lines(100, 24, 1))
    assert "50.0" in text
    assert "1.0 GiB" in text
    assert "2.0 MiB" in text


def test_keys_sort_and_turn(board: Board) -> None:
    assert names(board)[0] == "busy"
    for key, first in {b"m": "big", b"i": "reader", b"n": "big", b"r": "reader"}.items():
        assert not board.press(key)
        assert names(board)[0] == first
    assert [board.press(key) for key in (b"q", b"\x03", b"")] == [True] * 3


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (20, 5), (40, 10), (300, 100)])
def test_no_line_is_wider_than_the_screen_nor_are_there_more(
    board: Board, size: tuple[int, int]
) -> None:
    width, height = size
    lines = board.lines(width, height, 1)
    assert len(lines) <= height
    for line in lines:
        plain = line.replace("\x1b[7m", "").replace("\x1b[0m", "")
        assert len(plain) <= width


def test_a_narrow_screen_has_the_columns_that_matter(board: Board) -> None:
    heading = board.lines(40, 10, 1)[1]
    assert "CPU %" in heading
    assert "MEMORY" in heading
    assert "WRITE/S" not in heading
    short = board.lines(80, 4, 1)
    assert short[-1].startswith("and 2 more")


def test_one_that_has_ended_is_shown_no_more(board: Board) -> None:
    board.add(stats("busy", 9), 9)
    assert [line.split()[0] for line in board.lines(80, 24, 9)[2:-1]] == ["busy"]


class Top:
    """`orlopctl top` at a terminal, and what it shows."""

    def __init__(self, terminal: OwnTerminal, orlopctl: Orlopctl, *words: str) -> None:
        self.terminal = terminal
        self.screen = pyte.Screen(132, 40)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.process = subprocess.Popen(
            orlopctl.command("top", *words),
            env=ENVIRONMENT,
            stdin=terminal.slave,
            stdout=terminal.slave,
        )

    def until(self, seen: Callable[[list[str]], bool]) -> list[str]:
        """Read until the screen is as it should be; its lines."""
        while True:
            lines = [line.rstrip() for line in self.screen.display]
            if seen(lines):
                return lines
            readable(self.terminal.master, 30, "a screen other than:\n" + "\n".join(lines))
            data = os.read(self.terminal.master, 65536)
            self.raw += data
            self.stream.feed(data)

    def type(self, keys: bytes) -> None:
        os.write(self.terminal.master, keys)

    def end(self) -> int:
        guards = guards_of(self.terminal)
        status = self.process.wait(limit(30))
        for guard in guards:
            ended(guard)
        return status


@pytest.fixture
def top(
    terminal: OwnTerminal,
    orlopctl: Orlopctl,
    client: orlop.Client,
    make_bundle: Callable[[], Bundle],
) -> Iterator[Top]:
    """Two containers run."""
    for name in ("one", "two"):
        bundle = make_bundle().args("sleep")
        bundle.write()
        client.run(name, bundle=str(bundle.path))
    made = Top(terminal, orlopctl, "-i", "0.2", "-s", "name")
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.end()


def shows(*wanted: str) -> Callable[[list[str]], bool]:
    """Whether lines begin with these words, among others."""
    return lambda lines: set(wanted) <= {line.split()[0] for line in lines if line}


@pytest.mark.root
@pytest.mark.slow
def test_containers_are_on_the_screen_until_they_end(top: Top, client: orlop.Client) -> None:
    lines = top.until(shows("one", "two"))
    assert lines[0].startswith("orlopctl top   2 containers   by name")
    assert lines[1].split() == ["NAME*", "CPU", "%", "MEMORY", "LIMIT", "READ/S", "WRITE/S", "PIDS"]
    assert [line.split()[0] for line in lines[2:4]] == ["one", "two"]
    assert lines[2].split()[-1] == "1"
    client.kill("two", "KILL")
    lines = top.until(lambda lines: not shows("two")(lines))
    assert shows("one")(lines)
    top.type(b"m")
    top.until(lambda lines: "by memory" in lines[0])
    top.type(b"q")
    assert top.end() == 0
    assert top.terminal.is_restored()
    assert b"\x1b[2J" not in top.raw  # nothing is cleared before it is drawn: no flicker


@pytest.mark.root
@pytest.mark.slow
def test_the_windows_size_is_followed(top: Top) -> None:
    top.until(shows("one", "two"))
    top.terminal.resize(5, 40)
    top.screen.resize(5, 40)
    top.process.send_signal(signal.SIGWINCH)
    lines = top.until(lambda lines: "WRITE/S" not in lines[1] and shows("one", "two")(lines))
    assert "MEMORY" in lines[1]


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_terminal_is_given_back_at_any_end(top: Top, number: signal.Signals) -> None:
    top.until(shows("one", "two"))
    assert top.terminal.is_raw()
    guards = guards_of(top.terminal)
    top.process.send_signal(number)
    killed = number == signal.SIGKILL
    assert top.process.wait(limit(30)) == (-number if killed else 128 + number)
    for guard in guards:
        ended(guard)
    assert top.terminal.is_restored()
    rest = b""
    while b"\x1b[?1049l" not in rest:
        readable(top.terminal.master, 20, "the screen to be left")
        rest += os.read(top.terminal.master, 65536)
    assert b"\x1b[?25h" in rest
