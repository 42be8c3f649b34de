# SPDX-License-Identifier: Apache-2.0
"""Output that the shim writes to files itself: as it is, as CRI or as JSON lines, with rotation.

    file:///PATH                               bytes as they come
    cri:///PATH?max-size=BYTES&max-files=N     the kubelet's format
    json:///PATH?max-size=BYTES&max-files=N    Docker's json-file

Files have no non-blocking writes, so one thread writes them all, from a bounded queue. A container
waits for a slow disk five seconds at most; then its output is dropped, and the log says how much.
"""

from __future__ import annotations

import _queue
import _thread
import os
import time

from shim import ttrpc
from shim.logger import unquote
from shim.loop import READ
from shim.ttrpc import RpcError
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.loop import Loop, Timer

_QUEUE = 1 << 20  # bytes that wait for the disk
_PATIENCE = 5.0
_LINE = 16384  # the longest that CRI's readers take as one piece
_STREAMS = {1: "stdout", 2: "stderr"}


class File:
    """One log file and those rotated away: PATH.1 is the newest of them."""

    def __init__(self, path: str, max_size: int, max_files: int) -> None:
        self.path = path
        self._max_size = max_size
        self._max_files = max(1, max_files)
        directory = os.path.dirname(path)
        os.makedirs(directory, mode=0o755, exist_ok=True)
        self._fd = -1
        self._size = 0
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o644)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Append, in a new file where this one would become too large. Raises OSError."""
        if self._max_size and self._size and self._size + len(data) > self._max_size:
            self._rotate()
        self._size += len(data)
        while data:
            data = data[os.write(self._fd, data) :]

    def _rotate(self) -> None:
        os.close(self._fd)
        for number in range(self._max_files - 2, -1, -1):
            older = f"{self.path}.{number}" if number else self.path
            try:
                os.rename(older, f"{self.path}.{number + 1}")
            except FileNotFoundError:
                continue
        if self._max_files == 1:
            os.unlink(self.path)
        self._open()

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


class Writer:
    """The thread that writes, and what waits for it."""

    def __init__(self, loop: Loop) -> None:
        self._work: _queue.SimpleQueue[tuple[Callable[[], None], int]] = _queue.SimpleQueue()
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._written = 0  # by the thread alone
        self._given = 0  # by the loop alone
        self._waiting: list[Callable[[], None]] = []
        loop.watch(self._done, READ, self._on_done)
        _thread.start_new_thread(self._run, ())

    def has_room(self) -> bool:
        """Whether more may be given."""
        return self._given - self._written < _QUEUE

    def give(self, act: Callable[[], None], size: int) -> None:
        """Have the thread do something that takes so many bytes of the queue."""
        self._given += size
        self._work.put((act, size))

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call `act` in the loop when there may be room."""
        self._waiting.append(act)

    def _run(self) -> None:
        while True:
            act, size = self._work.get()
            try:
                act()
            except OSError:
                pass  # a full disk must not end the container; the next line may fit
            self._written += size
            os.eventfd_write(self._done, 1)

    def _on_done(self, _events: int) -> None:
        os.eventfd_read(self._done)
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            act()


class FileSink:
    """A sink of shim.copy that is a log file. Several may share one file."""

    def __init__(self, loop: Loop, writer: Writer, file: File, layout: str, stream: str) -> None:
        self._loop = loop
        self._writer = writer
        self._file = file
        self._layout = layout
        self._stream = stream
        self._line = b""
        self._lost = 0
        self._deadline: float | None = None
        self._timer: Timer | None = None

    def write(self, data: bytes) -> int:
        """Take all of it, or nothing while the disk is slow, or drop it when that lasts."""
        if not self._writer.has_room():
            now = time.monotonic()
            if self._deadline is None:
                self._deadline = now + _PATIENCE
            if now < self._deadline:
                return 0
            self._lost += len(data)
            return len(data)
        self._deadline = None
        if self._lost:
            self._give(self._formatted(b"[%d bytes lost: the disk is slow]\n" % self._lost))
            self._lost = 0
        self._give(data if self._layout == "file" else self._formatted(data))
        return len(data)

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call `act` once, when there is room, or when waiting has been enough."""
        waiting = [act]

        def once() -> None:
            if waiting:
                timer.cancel()
                waiting.pop()()

        timer = self._loop.later(_PATIENCE, once)
        self._writer.when_ready(once)

    def _give(self, data: bytes) -> None:
        if data:
            self._writer.give(lambda: self._file.write(data), len(data))

    def _formatted(self, data: bytes) -> bytes:
        """Whole lines of what has come so far; the rest waits for its end."""
        *lines, rest = (self._line + data).split(b"\n")
        parts = []
        for line in lines:
            parts += self._pieces(line)
        while len(rest) >= _LINE:
            parts.append(self._entry(rest[:_LINE], whole=False))
            rest = rest[_LINE:]
        self._line = rest
        return b"".join(parts)

    def _pieces(self, line: bytes) -> list[bytes]:
        parts = []
        while len(line) > _LINE:
            parts.append(self._entry(line[:_LINE], whole=False))
            line = line[_LINE:]
        parts.append(self._entry(line, whole=True))
        return parts

    def _entry(self, line: bytes, *, whole: bool) -> bytes:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
        if self._layout == "cri":
            return f"{at} {self._stream} {'F' if whole else 'P'} ".encode() + line + b"\n"
        text = line.decode("utf-8", "replace") + ("\n" if whole else "")
        entry = {"log": text, "stream": self._stream, "time": at}
        return jsontext.dumps(entry).encode() + b"\n"

    def close(self) -> None:
        """Write what has no end of line, and let go of the file once the thread is done with it."""
        if self._line:
            self._give(self._entry(self._line, whole=self._layout != "cri"))
            self._line = b""
        self._writer.give(_Release(self._file.path).run, 0)


_files: dict[str, tuple[File, int]] = {}
_lock = _thread.allocate_lock()
_writers: list[Writer] = []


class _Release:
    """The end of one use of a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def run(self) -> None:
        with _lock:
            file, users = _files.pop(self._path)
            if users > 1:
                _files[self._path] = (file, users - 1)
            else:
                file.close()


def open_sink(loop: Loop, uri: str, number: int) -> FileSink:
    """The sink that a URI names. Raises RpcError, OSError."""
    layout, _, rest = uri.partition("://")
    path, _, query = rest.partition("?")
    path = unquote(path)
    if layout not in ("file", "cri", "json") or not path.startswith("/"):
        raise RpcError(
            ttrpc.INVALID_ARGUMENT, f"stdio {uri}: not file, cri, json or binary:///PATH"
        )
    limits = {"max-size": 0, "max-files": 1}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in limits or not (value.isascii() and value.isdecimal()):
            raise RpcError(ttrpc.INVALID_ARGUMENT, f"stdio {uri}: {pair!r} is not known")
        limits[name] = int(value)
    with _lock:
        file, users = _files.get(path) or (File(path, limits["max-size"], limits["max-files"]), 0)
        _files[path] = (file, users + 1)
    if not _writers:
        _writers.append(Writer(loop))
    return FileSink(loop, _writers[0], file, layout, _STREAMS[number])
