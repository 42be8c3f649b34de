# SPDX-License-Identifier: Apache-2.0
"""The output of a container, as its shim wrote it: a JSON object per line.

PATH is written to, PATH.1 is what was written before, if the shim rotates, PATH.2 what was before.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from native import syscalls
from runtime.state import now
from supervisor.descriptor import Descriptor
from supervisor.failure import INVALID_PARAMS, Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from typing import BinaryIO

    Entry = dict[str, Any]
    Send = Callable[[list[Entry]], Awaitable[None]]

LINES = 1000  # that one answer has at most
_BYTES = 512 << 10  # of the lines of an answer
_MEMBERS = ("log", "stream", "time")
_EVENTS = 65536  # bytes of inotify's events, which say nothing but that there are some


class Wanted:
    """Which entries. since: RFC 3339 in UTC, or ""; stream: "stdout", "stderr" or "" for both."""

    def __init__(self, since: str | float = "", stream: str = "") -> None:
        """since: RFC 3339, or seconds since 1970. Raises Failure."""
        self._stream = stream
        try:
            self._since = _time(since) if since != "" else ""
        except (ValueError, OverflowError, OSError) as error:
            text = f"/since: {since!r} is no time of RFC 3339, nor seconds since 1970"
            raise Failure(INVALID_PARAMS, text, pointer="/since") from error

    @property
    def is_all(self) -> bool:
        """Whether every entry is."""
        return not self._since and not self._stream

    def of(self, lines: Iterable[bytes]) -> list[Entry]:
        """Those of these lines; a line that is no entry, as after a crash, is none."""
        return [entry for entry in map(_entry, lines) if entry and self._has(entry)]

    def _has(self, entry: Entry) -> bool:
        return entry["time"] >= self._since and self._stream in ("", entry["stream"])


def _time(given: str | float) -> str:
    if isinstance(given, str):
        at = datetime.fromisoformat(given)
    else:
        at = datetime.fromtimestamp(given, UTC)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _entry(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None  # it is being written
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    members = [found.get(name) for name in _MEMBERS] if isinstance(found, dict) else [None]
    return found if all(isinstance(member, str) for member in members) else None


def tail(path: str, lines: int, wanted: Wanted | None = None) -> list[Entry]:
    """The last entries (`log`, `stream`, `time`); none where there is no output. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return _last(file, lines, wanted or Wanted())
    except FileNotFoundError:
        return []


def before(path: str, end: Mapping[str, Any]) -> list[Entry]:
    """The last entries before an end (`inode`, `size`) that a shim told of. Raises OSError.

    Rotated or not since. A shim of before it could tell has none.
    """
    if not end["inode"]:
        return tail(path, LINES)
    for number in range(_count(path) + 1):
        try:
            with open(_name(path, number), "rb") as file:
                if os.fstat(file.fileno()).st_ino == end["inode"]:
                    return _last(file, LINES, Wanted(), end["size"])
        except FileNotFoundError:
            continue  # between two names
    return []


def _last(file: BinaryIO, lines: int, wanted: Wanted, end: int | None = None) -> list[Entry]:
    """end: where to stop, in bytes; None: at the end of the file."""
    size = file.seek(0, os.SEEK_END) if end is None else end
    at = file.seek(max(0, size - _BYTES) if wanted.is_all else 0)
    if at:
        at += len(file.readline())  # the rest of a line
    kept: deque[tuple[Entry, int]] = deque()
    total = 0
    for line in file:
        at += len(line)
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)  # who reads on has the whole of it
            break
        if end is not None and at > end:
            break
        for entry in wanted.of([line]):
            kept.append((entry, len(line)))
            total += len(line)
        while kept and (len(kept) > lines or total > _BYTES):
            total -= kept.popleft()[1]
    return [entry for entry, _ in kept]


async def follow(
    path: str,
    lines: int,
    wanted: Wanted,
    done: asyncio.Future[Any],
    send: Send,
) -> None:
    """Send the last entries, then what comes, until `done` and all is sent. Raises OSError.

    However often the shim rotates meanwhile: file after file is read. Where one was removed unread,
    an entry of ours says so.
    """
    file: BinaryIO | None = None
    try:
        while True:
            try:
                watch = Descriptor(syscalls.inotify(path))  # before a look: nothing is overlooked
            except FileNotFoundError:
                if done.done():
                    return
                await asyncio.sleep(0)  # the shim is between two names of the next file
                continue
            try:
                found, is_lost = _after(path, file)
                if found is None:
                    await asyncio.sleep(0)  # rotated at this moment
                    continue
                is_first = file is None
                if file is not None:
                    file.close()
                file = found
                if is_lost:
                    await send([_lost()])
                if is_first:
                    await send(_past(file, lines, wanted))
                if not await _to_its_end(file, path, wanted, watch, done, send):
                    return
            finally:
                watch.close()
    finally:
        if file is not None:
            file.close()


def _past(file: BinaryIO, lines: int, wanted: Wanted) -> list[Entry]:
    """The last entries; the file is at its end then."""
    if lines:
        return _last(file, lines, wanted)
    file.seek(0, os.SEEK_END)
    return []


def _after(path: str, file: BinaryIO | None) -> tuple[BinaryIO | None, bool]:
    """What was written after this file, and whether there was more between that is removed.

    None: the files are being moved at this moment.
    """
    place = _place(path, file) if file is not None else 1
    number = place - 1 if place is not None else _count(path) - 1
    try:
        found = open(_name(path, number), "rb")  # noqa: SIM115 - the caller's
    except FileNotFoundError:
        return None, False
    if file is not None and _place(path, file) != place:
        found.close()
        return None, False
    return found, place is None


def _name(path: str, number: int) -> str:
    return f"{path}.{number}" if number else path


def _place(path: str, file: BinaryIO) -> int | None:
    """How often it was rotated; None: it was removed. Files move upwards, and so do we."""
    ours = os.fstat(file.fileno())
    for number in range(_count(path) + 1):
        try:
            if os.path.samestat(os.stat(_name(path, number)), ours):
                return number
        except FileNotFoundError:
            continue  # between two names
    return None


def _count(path: str) -> int:
    """How many files there are; while they are rotated one name may be free."""
    number = 0
    while any(os.path.exists(_name(path, each)) for each in (number, number + 1)):
        number += 1
    return number


def _lost() -> Entry:
    text = "[output is missing here: it was rotated away before it was read]\n"
    return {"log": text, "stream": "stderr", "time": now(), "missed": True}


async def _to_its_end(
    file: BinaryIO,
    path: str,
    wanted: Wanted,
    watch: Descriptor,
    done: asyncio.Future[Any],
    send: Send,
) -> bool:
    """Whether there is a next file: this one was moved away."""
    part = b""
    while True:
        is_done = done.done()
        has_next = _is_moved(file, path)
        while data := file.read(_BYTES):
            *whole, part = (part + data).splitlines(keepends=True)
            if part.endswith(b"\n"):
                whole, part = [*whole, part], b""
            entries = wanted.of(whole)
            if entries:
                await send(entries)
        if is_done or has_next:
            return has_next
        reading = asyncio.ensure_future(watch.read(_EVENTS))
        both: set[asyncio.Future[Any]] = {reading, done}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()


def _is_moved(file: BinaryIO, path: str) -> bool:
    try:
        return not os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False  # between two names: another event comes; or removed, with the container
