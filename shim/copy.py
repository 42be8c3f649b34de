# SPDX-License-Identifier: Apache-2.0
"""Copying from one descriptor to another without ever waiting for either."""

from __future__ import annotations

import errno
import os
import select

from shim.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.loop import Loop

_CHUNK = 65536  # what a pipe holds
_PIPE_MAX = 1 << 20  # what one may be made to hold, /proc/sys/fs/pipe-max-size


class FdSink:
    """A non-blocking descriptor that takes bytes; `held` stays open with it.

    A FIFO is held by its reading end too: a master that went away then is no EPIPE, the pipe fills
    up, and the next master reads what is in it.
    """

    chunk = _CHUNK  # bytes that it is given at once

    def __init__(self, loop: Loop, fd: int, held: int = -1) -> None:
        self._loop = loop
        self._held = held
        self.fd = fd

    def write(self, data: bytes) -> int:
        """How much of it was taken now. Raises OSError where nobody will ever take it."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call `act`, once, when there is room again."""

        def ready(_events: int) -> None:
            self._loop.forget(self.fd)
            act()

        self._loop.watch(self.fd, WRITE, ready)

    def close(self) -> None:
        """Close it; a reader of the pipe sees its end."""
        self._loop.forget(self.fd)
        for fd in (self.fd, self._held):
            if fd >= 0:
                os.close(fd)
        self.fd = self._held = -1


class Copy:
    """Everything from a descriptor to a sink. Owns both; `on_end` is called once, at the end."""

    def __init__(self, loop: Loop, source: int, sink: FdSink) -> None:
        self._loop = loop
        self._source = source
        self.sink = sink
        self._pending = b""
        self._last = False  # what is there now is all that is to be copied
        self.ended = False
        self.on_end: Callable[[], None] | None = None
        os.set_blocking(source, False)
        self._await()

    def _await(self) -> None:
        try:
            self._loop.watch(self._source, READ, self._on_readable)
        except PermissionError:  # a regular file can always be read (epoll_ctl(2), EPERM)
            self.sink.when_ready(lambda: self._on_readable(0))

    def _on_readable(self, _events: int) -> None:
        try:
            data = os.read(self._source, self.sink.chunk)
        except BlockingIOError:
            if self._last:
                self.close()
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal without a slave
                self.close()
                return
            data = b""
        if not data:
            self.close()
            return
        self._pending = data
        self._push()

    def _push(self) -> None:
        try:
            taken = self.sink.write(self._pending)
        except OSError:
            self.close()
            return
        self._pending = self._pending[taken:]
        if self._pending:
            self._loop.forget(self._source)
            self.sink.when_ready(self._pushed)
        else:
            self._await()

    def _pushed(self) -> None:
        """The sink had room again."""
        self._push()
        if self._last:
            self.finish()

    def settle(self) -> None:
        """Copy what is there now; if its writer has gone, that ends it.

        For who asks, before the loop has come to it, whether the writer has gone.
        """
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        for _ in range(_PIPE_MAX // _CHUNK):
            if self.ended or self._pending or not poll.poll(0):
                return
            self._on_readable(0)

    def finish(self) -> None:
        """Copy what is there, as soon as the sink takes it, and end.

        Somebody may write on and on: what came is no more than a pipe can hold (fcntl(2)).
        """
        self._last = True
        for _ in range(_PIPE_MAX // _CHUNK):
            if self.ended or self._pending:
                return
            self._on_readable(0)
        if not self._pending:
            self.close()

    def close(self) -> None:
        """End now."""
        if self.ended:
            return
        self.ended = True
        self._loop.forget(self._source)
        os.close(self._source)
        self.sink.close()
        self._pending = b""
        if self.on_end is not None:
            self.on_end()
