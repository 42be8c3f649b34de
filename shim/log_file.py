# SPDX-License-Identifier: Apache-2.0
"""Output that the shim writes to files itself: as it is, as CRI or as JSON lines, with rotation.

    file:///PATH                               bytes as they come
    cri:///PATH?max-size=BYTES&max-files=N     the kubelet's format
    json:///PATH?max-size=BYTES&max-files=N    Docker's json-file

Files have no non-blocking writes, so one thread opens and writes them all, from a bounded queue, at
once what has come meanwhile: each turn of thread and loop costs more than the bytes. A container
waits for a slow disk five seconds at most; then its output is dropped, and the log says how much.
A worker makes the files before: whoever wants one that can't be had is told so.
"""

from __future__ import annotations

import _queue
import _thread
import errno
import os
import stat
import time
from _operator import itemgetter
from itertools import groupby

from shim import ttrpc
from shim.log_lines import Lines
from shim.logger import unquote
from shim.loop import READ
from shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.loop import Loop

_QUEUE = 4 << 20  # bytes that wait for the disk
_CHUNK = 1 << 18  # bytes at once, of the container's pipe, which then holds as much
_TURNED = 1 << 16  # of what goes to a file that is rotated: between two pieces
_MOST = 1024  # pieces of one writev(2), IOV_MAX
_PATIENCE = 5.0
_LAST = 10.0  # seconds for what is left at the end
_STREAMS = {1: "stdout", 2: "stderr"}


class File:
    """One log file and those rotated away: PATH.1 is the newest of them."""

    def __init__(self, path: str, max_size: int, max_files: int, layout: str = "file") -> None:
        self.path = path
        self._notes = None if layout == "file" else Lines(layout, "stderr")
        self._taken, self._lost, self._why = 0, 0, ""  # bytes; why the disk did not take them
        self._max_size = max_size
        self._max_files = max(1, max_files)
        self.chunk = _TURNED if max_size else _CHUNK
        self._fd = -1  # opened when there is something to write
        self._size = 0

    def _open(self) -> None:
        self._fd = _opened(self.path)
        self._size = os.fstat(self._fd).st_size

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append; a piece for which this file is too large begins a new one.

        A full disk must not end the container. What it doesn't take is left out, down to the last
        whole piece, and told of by the first that it takes again.
        """
        if self._lost:
            if self._left_out([self._note()]):
                self._lost += sum(map(len, pieces))
                return
            self._lost = 0
        self._lost = self._left_out(pieces)

    def _left_out(self, pieces: Sequence[bytes]) -> int:
        """Write what the disk takes; how many bytes it doesn't."""
        self._taken = 0
        try:
            self._write(pieces)
        except OSError as error:
            self._why = (error.strerror or "").lower()
        return sum(map(len, pieces)) - self._taken

    def _note(self) -> bytes:
        text = f"[{self._lost} bytes lost: {self._why}]\n".encode()
        return self._notes.add(text) if self._notes else text

    def _write(self, pieces: Sequence[bytes]) -> None:
        if not self._max_size:
            self._append(pieces)
            return
        if self._fd < 0:
            self._open()
        for data in pieces:
            if self._size and self._size + len(data) > self._max_size:
                self._rotate()
            self._size += len(data)
            self._append((data,))

    def _append(self, pieces: Sequence[bytes]) -> None:
        if self._fd < 0:
            self._open()
        for at in range(0, len(pieces), _MOST):
            some = pieces[at : at + _MOST]
            size, written = sum(map(len, some)), 0
            try:
                written = os.writev(self._fd, some)
                if written < size:
                    rest = memoryview(b"".join(some))
                    while written < size:
                        written += os.write(self._fd, rest[written:])
            except OSError:
                self._cut(written, some)
                raise
            self._taken += size

    def _cut(self, written: int, pieces: Sequence[bytes]) -> None:
        """Take away the part of an entry that was written: readers know whole ones alone."""
        whole = written
        if self._notes:
            whole = b"".join(pieces).rfind(b"\n", 0, written) + 1
        self._taken += whole
        os.ftruncate(self._fd, os.fstat(self._fd).st_size - (written - whole))

    def _rotate(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
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
        if self._lost:
            self.write(())
        if self._fd >= 0:
            os.close(self._fd)


def _opened(path: str) -> int:
    """Open or make it. A link is refused, and a FIFO: who writes to it waits for a reader."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags | os.O_NOFOLLOW, 0o644)
    status = os.fstat(fd)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        os.close(fd)
        raise OSError(errno.EINVAL, "neither a file nor a character device", path)
    os.set_blocking(fd, True)
    return fd


class _Place:
    """Where a file ends once all is written that was given before: its inode and its size.

    tell: called once; with 0, 0 where the file, or the disk in time, does not say.
    """

    def __init__(self, loop: Loop, path: str, tell: Callable[[int, int], None]) -> None:
        self._path = path
        self._found = (0, 0)
        self._tell: list[Callable[[int, int], None]] = [tell]
        self._timer = loop.later(_PATIENCE, self.tell)

    def look(self) -> None:
        """In the thread that writes."""
        try:
            status = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return
        self._found = (status.st_ino, status.st_size)

    def tell(self) -> None:
        """In the loop."""
        if self._tell:
            self._timer.cancel()
            self._tell.pop()(*self._found)


class Writer:
    """The thread that writes, and what waits for it: data for files, and files to be let go of.

    It begins with the first data: many programs say nothing, and each thread of a machine makes
    pivot_root(2) slower, which looks at all of them.
    """

    def __init__(self, loop: Loop) -> None:
        self._work: _queue.SimpleQueue[tuple[File | _Place | None, bytes | None]]
        self._work = _queue.SimpleQueue()
        self._places: _queue.SimpleQueue[_Place] = _queue.SimpleQueue()  # that were looked at
        self._finished = _thread.allocate_lock()
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._written = 0  # by the thread alone
        self._given = 0  # by the loop alone
        self._waiting: list[Callable[[], None]] = []
        self._runs = False
        loop.watch(self._done, READ, self._on_done)

    def has_room(self) -> bool:
        """Whether more may be given."""
        return self._given - self._written < _QUEUE

    def give(self, file: File, data: bytes | None) -> None:
        """Have the thread write data to a file; None: one of its users has no more."""
        if data is None and not self._runs:
            _release(file)  # which was never opened
            return
        self._given += len(data or b"")
        self._put(file, data)

    def _put(self, file: File | _Place | None, data: bytes | None) -> None:
        self._work.put((file, data))
        if not self._runs:
            self._runs = True
            _thread.start_new_thread(self._run, ())

    def tell(self, place: _Place) -> None:
        """Have it looked at when all that was given is written."""
        self._put(place, None)

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call `act` in the loop when there may be room."""
        self._waiting.append(act)
        if self.has_room():  # since it was asked for, when nobody was waiting
            os.eventfd_write(self._done, 1)

    def finish(self, seconds: float) -> bool:
        """Have everything written, and wait for it; nothing is given any more.

        False: the disk has not taken it in that time.
        """
        if not self._runs:
            return True
        self._finished.acquire()
        self._put(None, None)
        return self._finished.acquire(timeout=seconds)

    def _run(self) -> None:
        while True:
            work = [self._work.get()]
            work += [self._work.get() for _ in range(self._work.qsize())]
            for file, some in groupby(work, itemgetter(0)):
                if file is None:
                    self._finished.release()
                    return
                if isinstance(file, _Place):
                    file.look()
                    self._places.put(file)
                else:
                    self._serve(file, [data for _, data in some])
            if self._waiting or not self._places.empty():
                os.eventfd_write(self._done, 1)

    def _serve(self, file: File, given: Sequence[bytes | None]) -> None:
        pieces = [data for data in given if data is not None]
        file.write(pieces)
        self._written += sum(map(len, pieces))
        for _ in range(len(given) - len(pieces)):
            _release(file)

    def _on_done(self, _events: int) -> None:
        os.eventfd_read(self._done)
        waiting, self._waiting = self._waiting, []
        while not self._places.empty():
            self._places.get().tell()
        for act in waiting:
            act()


class FileSink:
    """A sink of shim.copy that is a log file. Several may share one file."""

    def __init__(self, loop: Loop, writer: Writer, file: File, lines: Lines | None) -> None:
        self._loop = loop
        self._writer = writer
        self._file = file
        self._lines = lines  # None: bytes as they come
        self.chunk = file.chunk
        self._lost = 0
        self._deadline: float | None = None

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
        self._tell()
        self._give(data)
        return len(data)

    def _tell(self) -> None:
        if self._lost:
            self._give(b"[%d bytes lost: the disk is slow]\n" % self._lost)
            self._lost = 0

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call `act` once, when there is room, or when waiting has been enough."""
        waiting = [act]

        def once() -> None:
            if waiting:
                timer.cancel()
                waiting.pop()()

        timer = self._loop.later(_PATIENCE, once)
        self._writer.when_ready(once)

    def flush(self) -> None:
        """Write what has no end of line yet, too."""
        if self._lines:
            self._append(self._lines.flush())

    def place(self, tell: Callable[[int, int], None]) -> None:
        """Tell, once all is written that was given by now, where the file ends."""
        self._writer.tell(_Place(self._loop, self._file.path, tell))

    def _give(self, data: bytes) -> None:
        self._append(self._lines.add(data) if self._lines else data)

    def _append(self, data: bytes) -> None:
        if data:
            self._writer.give(self._file, data)

    def close(self) -> None:
        """Write what has no end of line, and let go of the file once the thread is done with it."""
        self._tell()
        if self._lines:
            self._append(self._lines.end())
        self._writer.give(self._file, None)


_files: dict[str, tuple[File, int]] = {}
_lock = _thread.allocate_lock()
_writers: list[Writer] = []


def _release(file: File) -> None:
    """The end of one use of a file."""
    with _lock:
        _, users = _files.pop(file.path)
        if users > 1:
            _files[file.path] = (file, users - 1)
        else:
            file.close()


def finish() -> bool:
    """Have all files written, at the end of a shim. False: a disk hangs."""
    return all(writer.finish(_LAST) for writer in _writers)


def _split(uri: str) -> tuple[str, str, str]:
    layout, _, rest = uri.partition("://")
    path, _, query = rest.partition("?")
    return layout, unquote(path), query


def make(uri: str) -> None:
    """Make the file that a URI names, and its directory. Raises RpcError. It may take its time."""
    _, path, _ = _split(uri)
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        os.close(_opened(path))
    except OSError as error:
        text = f"stdio {error.filename or path}: {error.strerror}"
        raise RpcError(ttrpc.UNKNOWN, text) from error


def open_sink(loop: Loop, uri: str, number: int) -> FileSink:
    """The sink that a URI names. Raises RpcError. Nothing is opened yet."""
    layout, path, query = _split(uri)
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
        file, users = _files.get(path) or (
            File(path, limits["max-size"], limits["max-files"], layout),
            0,
        )
        _files[path] = (file, users + 1)
    if not _writers:
        _writers.append(Writer(loop))
    lines = None if layout == "file" else Lines(layout, _STREAMS[number])
    return FileSink(loop, _writers[0], file, lines)
