# SPDX-License-Identifier: Apache-2.0
"""The workers of a shim: forks of it, and those that it has borrowed."""

from __future__ import annotations

import _socket
import os

from shim import ttrpc
from shim.lent import LentWorker
from shim.ttrpc import RpcError
from shim.worker import Worker, live

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.lent import Request
    from shim.loop import Loop
    from shim.worker import Done, Heard, Work


class Workers:
    """All workers that are at work.

    on_idle: called when the last one has ended. on_return: when the last one that was lent has.
    pool: where workers are to be borrowed (shim.pool), None for nowhere.
    """

    def __init__(self, loop: Loop, pool: _socket.socket | None = None) -> None:
        self._loop = loop
        self._pool = pool
        self._busy: set[int] = set()
        self._lent: set[int] = set()
        self.on_idle: Callable[[], None] | None = None
        self.on_return: Callable[[], None] | None = None

    @property
    def are_busy(self) -> bool:
        """Whether a pid that nobody knows yet may be reported soon."""
        return bool(self._busy)

    @property
    def are_lent(self) -> bool:
        """Whether a child may be waited for by a worker that isn't its parent."""
        return bool(self._lent)

    def start(
        self,
        work: Work,
        done: Done,
        *,
        keep: Sequence[int] = (),
        heard: Heard | None = None,
        request: Request | None = None,
    ) -> None:
        """Have the work done; `done` gets the result, which marshal must know, or the error.

        By a fork of ours, or by a worker of the pool that can do what `request` says. keep:
        descriptors that the work needs. heard: gets what the worker tells meanwhile.
        """

        def otherwise() -> None:
            self._fork(work, done, keep, heard)

        if request is None or self._pool is None:
            otherwise()
            return
        try:
            LentWorker(self, self._loop, self._pool, request, done, heard, otherwise)
        except OSError as error:
            if isinstance(error, BrokenPipeError | ConnectionResetError):
                self._pool = None
            otherwise()

    def _fork(self, work: Work, done: Done, keep: Sequence[int], heard: Heard | None) -> None:
        shim = os.getpid()
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        except OSError as error:
            self._refuse(done, "socketpair", error)
            return
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            self._refuse(done, "fork", error)
            return
        if pid == 0:
            live(work, theirs, [*keep, theirs.fileno()], shim)
        theirs.close()
        Worker(self, self._loop, ours, done, heard).is_process(pid)

    def _refuse(self, done: Done, call: str, error: OSError) -> None:
        """No descriptors, processes or memory for a worker: told as if one had told it, later."""
        refusal = RpcError(ttrpc.RESOURCE_EXHAUSTED, f"{call}: {error.strerror}")
        self._loop.later(0, lambda: done(None, refusal))

    def began(self, fd: int, *, is_lent: bool) -> None:
        """Count a worker, by the descriptor of the connection to it."""
        self._busy.add(fd)
        if is_lent:
            self._lent.add(fd)

    def ended(self, fd: int) -> None:
        """Forget a worker."""
        self._busy.discard(fd)
        if fd in self._lent:
            self._lent.discard(fd)
            if not self._lent and self.on_return is not None:
                self.on_return()
        if not self._busy and self.on_idle is not None:
            self.on_idle()
