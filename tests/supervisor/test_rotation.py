# SPDX-License-Identifier: Apache-2.0
"""Who follows a log reads all of it, however often it is rotated meanwhile, or is told."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from typing import TYPE_CHECKING, Any

from shim.log_file import File
from supervisor import logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = 4


class Log:
    """A log of the shim's, an entry a file at most; files hold FILES entries."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = itertools.count()
        entry = self._entry(0)
        self._file = File(str(path), len(entry) * 3 // 2, FILES)

    def _entry(self, number: int) -> bytes:
        entry = {"log": f"{number:05}\n", "stream": "stdout", "time": "2026-01-01T00:00:00Z"}
        return json.dumps(entry).encode() + b"\n"

    def write(self, count: int) -> None:
        """So many entries, the next numbers."""
        for _ in range(count):
            self._file.write([self._entry(next(self._numbers))])

    def close(self) -> None:
        self._file.close()


def follow(path: Path, lines: int, act: Callable[[int], bool]) -> list[str]:
    """What is sent of a log; act(N): done before the Nth sending, returns whether it is the end."""
    found: list[str] = []

    async def main() -> None:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        count = itertools.count()

        async def send(entries: list[logs.Entry]) -> None:
            if act(next(count)) and not done.done():
                done.set_result(None)
            found.extend("missed" if entry.get("missed") else entry["log"] for entry in entries)

        await asyncio.wait_for(logs.follow(str(path), lines, logs.Wanted(), done, send), 30)

    asyncio.run(main())
    return found


def numbers(*given: int) -> list[str]:
    return [f"{number:05}\n" for number in given]


def test_all_files_of_several_rotations_are_read(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(1)

    def act(sending: int) -> bool:
        if sending == 0:
            log.write(FILES - 1)  # three rotations, while the client reads the first entry
        return sending == 1

    assert follow(log.path, 10, act) == numbers(0, 1, 2, 3)
    log.close()


def test_what_was_rotated_away_is_told_of(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(1)

    def act(sending: int) -> bool:
        if sending == 0:
            log.write(FILES + 2)  # of which the last ones are left
        return sending == 1

    assert follow(log.path, 10, act) == ["00000\n", "missed", *numbers(3, 4, 5, 6)]
    log.close()


def test_a_rotation_right_before_the_end_is_followed(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(1)

    def act(sending: int) -> bool:
        if sending == 0:
            log.write(2)
        return True

    assert follow(log.path, 0, act) == numbers(1, 2)
    log.close()


def test_a_next_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(1)

    def act(sending: int) -> bool:
        if sending == 0:
            log.write(1)
            with log.path.open("ab") as file:  # more than one answer may have
                for number in range(2, 3 + logs.LINES):
                    file.write(log._entry(number))
        return sending == 1

    assert follow(log.path, 10, act) == numbers(*range(3 + logs.LINES))
    log.close()


def test_half_a_line_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    entry = Log(tmp_path / "other")._entry(7)
    path.write_bytes(entry + entry[:20])

    def act(_sending: int) -> bool:
        with path.open("ab") as file:
            file.write(entry[20:])
        return True

    assert follow(path, 10, act) == numbers(7, 7)
    os.unlink(path)
