# SPDX-License-Identifier: Apache-2.0
"""The shim itself: what its parts share, and when it goes away."""

from __future__ import annotations

import gc
import os
import time

from shim import attach, log_file, memory, messages, service
from shim.loop import Loop
from shim.publisher import Publisher
from shim.reaper import Reaper
from shim.server import Server
from shim.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from shim.log import Log
    from shim.loop import Timer
    from shim.task import Task

_IDLE = 30.0  # seconds without a container and without a client
_BUSY = 0.2  # seconds until others are not waited with any longer
_REST = 1.0  # seconds without a call until memory is given back: what follows copies it again
_FLUSH = 8.0  # seconds for the events that are left; a containerd that is back has them wait for 4


class Daemon:
    """One shim, from its first connection until the last container is deleted.

    Made before it is known for whom (shim.template). pool: where workers can be borrowed
    (shim.pool). held: a descriptor, closed by `make_way`. on_way: called before that.
    """

    def __init__(self, pool: _socket.socket | None = None, held: int = -1) -> None:
        self.namespace = ""
        self.loop = Loop(_raise)
        self.tasks: dict[str, Task] = {}
        self.workers = Workers(self.loop, pool)
        self.reaper = Reaper(self.loop, self.workers)
        self.warn: Callable[[str], None] = lambda _text: None
        self._files: tuple[str, ...] = ()
        self._idle: Timer | None = None
        self._ending = False
        self._held = held
        self.on_way: Callable[[], None] = lambda: None
        self._asked_at = 0.0
        self._will_rest = False
        gc.collect()
        gc.freeze()  # what is here now is shared with workers as long as nobody touches it

    def run(
        self,
        listener: _socket.socket,
        namespace: str,
        events: str,
        log: Log,
        files: tuple[str, ...] = (),
    ) -> None:
        """Serve until the end.

        events: address that events go to, or "". files: what to remove at the end (the socket, and
        the file that says where it is).
        """
        self.namespace = namespace
        self.warn = log.warn
        self.loop.on_error = log.failure
        self.publisher = Publisher(self.loop, events, namespace, log.warn)
        self._files = files
        services = dict.fromkeys(service.NAMES, service.methods(self))
        services[messages.STREAMS] = attach.methods(self)
        self._server = Server(self.loop, listener, services)
        self._server.on_idle = self.settle
        self._server.on_answer = self.answered
        self.settle()
        self.loop.later(_BUSY, self.make_way)
        self.loop.run()
        if not log_file.finish():
            # The thread that writes can't be ended before the disk lets go of it, nor can we.
            self.warn("the disk of a log hangs: the end of the output is not in it")
            self._server.end()

    def make_way(self) -> None:
        """What somebody waits for is done: others may have the processor."""
        if self._held >= 0:
            self.on_way()
            os.close(self._held)
            self._held = -1

    def answered(self) -> None:
        """Something was asked. When nothing follows for a while, memory is given back."""
        self._asked_at = time.monotonic()
        if not self._will_rest:
            self._will_rest = True
            self.loop.later(_REST, self._rest)

    def _rest(self) -> None:
        left = self._asked_at + _REST - time.monotonic()
        if left > 0:
            self.loop.later(left, self._rest)
        else:
            self._will_rest = False
            memory.give_back()

    def settle(self) -> None:
        """Look whether there is anything left to do; if not, go away after a while.

        A master that died between the last Delete and Shutdown must not leave us behind.
        """
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None if self.tasks else self.loop.later(_IDLE, self._go_if_idle)

    def _go_if_idle(self) -> None:
        if not self.tasks and not self._server.has_clients and not self.workers.are_busy:
            self.shutdown()
        else:
            self.settle()

    def shutdown(self) -> None:
        """Tell the events that are left, then end. The socket is gone at once."""
        if self._ending:
            return
        self._ending = True
        for file in self._files:
            try:
                os.unlink(file)
            except FileNotFoundError:
                continue
        self._server.close()
        if self.publisher.is_empty:
            self.loop.stop()
        else:
            self.publisher.on_empty = self.loop.stop
            self.loop.later(_FLUSH, self.loop.stop)


def _raise(error: Exception) -> None:
    raise error
