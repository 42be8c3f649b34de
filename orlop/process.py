# SPDX-License-Identifier: Apache-2.0
"""A process whose input and output come and go over the socket."""

from __future__ import annotations

from orlop import calls, subscriptions
from orlop.connection import Connection
from orlop.errors import OrlopError, Refused
from orlop.items import Completed, OutputFold
from orlop.subscriptions import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO, Self

    from orlop.calls import Call
    from orlop.items import Output


class Process:
    """A process of a container: its init, or a further one.

    Iterating gives its Output, until it has ended; then `exit_status` is its status. Leaving the
    `with` block, or `close`, lets go of it: it runs on. exec: its id among the container's, "" for
    the init. pid: as the host counts, 0 where orlopd doesn't say.
    """

    def __init__(self, path: str, container: str, call: Call[object], exec_id: str = "") -> None:
        """Begin. Raises Unreachable, Refused."""
        self.container = container
        self._fold = OutputFold(call)
        self._items: list[Output] = []
        self._connection = Connection(path)
        try:
            result = self._connection.call(call)
            self._number = self._fold.answered(result)
        except BaseException:
            self._connection.close()
            raise
        members: dict[str, Any] = result if isinstance(result, dict) else {}
        self.exec = str(members.get("exec", exec_id))
        self.pid = int(members.get("pid", 0))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self.close()

    def close(self) -> None:
        """Let go of it; may be called again."""
        self._connection.close()

    # -- output

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> Output:
        """Wait for the next piece. Raises Lost."""
        while not self._items:
            if self._fold.ended:
                raise StopIteration
            self._take()
        return self._items.pop(0)

    @property
    def exit_status(self) -> int | None:
        """Its status, or 128 and the signal that ended it; None while it runs."""
        return self._fold.exit_status

    @property
    def ended(self) -> bool:
        """Whether it has ended, and all that it wrote was read."""
        return self._fold.ended and not self._items

    def fileno(self) -> int:
        """To be waited for with others: readable when `pending` has something new."""
        return self._connection.fileno()

    @property
    def has_pending(self) -> bool:
        """Whether something is here already: of it, `fileno` says nothing any more."""
        return bool(self._items or self._connection.notifications)

    def pending(self) -> list[Output]:
        """All that came, once `fileno` is readable or `has_pending`."""
        if not self._items and not self._fold.ended:
            self._take()
        found, self._items = self._items, []
        return found

    def _take(self) -> None:
        if not self._connection.notifications:
            self._connection.read()
        self._sort()

    def _sort(self) -> None:
        for notification in self._connection.notifications:
            self._items += self._fold.items(notification)
        self._connection.notifications.clear()

    # -- input

    def write(self, data: bytes) -> None:
        """Give it input; returns when it was taken. Output that comes meanwhile is kept."""
        for start in range(0, len(data), CHUNK):
            self._call(subscriptions.write(self._number, data[start : start + CHUNK]))

    def begin_write(self, data: bytes) -> int:
        """Send input, at most CHUNK bytes, and don't wait until it was taken; see `is_taken`."""
        return self._connection.begin(subscriptions.write(self._number, data))

    def is_taken(self, number: int) -> bool:
        """Whether input that `begin_write` sent was taken. Raises Refused."""
        if not self._connection.answer(number):
            return False
        self._connection.finish(number)
        return True

    def close_stdin(self) -> None:
        """No more input: it reads the end of the file."""
        self._call(subscriptions.close(self._number))

    def resize(self, height: int, width: int) -> None:
        """Give its terminal a size in characters."""
        self._call(calls.resize(self.container, height, width, exec=self.exec or None))

    def kill(self, signal: str | int = "TERM") -> None:
        """Send it a signal."""
        self._call(calls.kill(self.container, signal, exec=self.exec or None))

    def _call(self, call: Call[object]) -> None:
        self._connection.call(call)
        self._sort()

    # -- all of it

    def wait(self) -> int:
        """Read to the end and drop it; its status. Raises Lost."""
        for _ in self:
            pass
        return self._status()

    def communicate(self, data: bytes = b"") -> Completed:
        """Give it `data`, then the end of its input where it has one; all that it wrote."""
        if data and not self._has_input:
            raise OrlopError("the process has no input", hint="ask for it with stdin=True")
        pieces = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
        stdout, stderr = bytearray(), bytearray()
        for output in self._fed(iter(pieces)):
            (stderr if output.stream == "stderr" else stdout).extend(output.data)
        return Completed(self._status(), bytes(stdout), bytes(stderr))

    def copy(self, stdin: BinaryIO | None, stdout: BinaryIO, stderr: BinaryIO) -> int:
        """The same with files: `stdin` goes in, what comes is written. Its status.

        Reading `stdin` must not block for long: what comes meanwhile waits.
        """
        pieces = iter(lambda: stdin.read(CHUNK), b"") if stdin is not None else iter(())
        for output in self._fed(pieces):
            file = stderr if output.stream == "stderr" else stdout
            file.write(output.data)
            file.flush()
        return self._status()

    def interact(self, *, detach_keys: bytes = b"\x10\x11") -> int | None:
        """The same with our own stdin, stdout and stderr, and the terminal if it asked for one.

        Its status; None where the keys (ctrl-p ctrl-q) let go of it. See orlop.terminal.
        """
        from orlop.terminal import join

        terminal = bool(self._fold.call.params.get("terminal"))
        return join(self, stdin=self._has_input, terminal=terminal, detach_keys=detach_keys)

    @property
    def _has_input(self) -> bool:
        return bool(self._fold.call.params.get("stdin"))

    def _fed(self, pieces: Iterator[bytes]) -> Iterator[Output]:
        """Its output, while it gets its input at the pace at which it takes it."""
        writing, feeding = 0, self._has_input
        while not self.ended:
            if feeding and (not writing or self._connection.answer(writing)):
                try:
                    if writing:
                        self._connection.finish(writing)
                    piece = next(pieces, b"")
                except Refused:  # it reads no more, or has ended
                    piece = b""
                feeding = bool(piece)
                if feeding:
                    writing = self.begin_write(piece)
                else:
                    self._connection.begin(subscriptions.close(self._number))
            yield from self.pending()

    def _status(self) -> int:
        if self.exit_status is None:
            raise OrlopError("orlopd let go of the process before its end")
        return self.exit_status
