# SPDX-License-Identifier: Apache-2.0
"""The shim itself: what its parts share, and when it goes away."""

from __future__ import annotations

import gc
import os

from shim import attach, log_file, messages, service
from shim.loop import Loop
from shim.preload import preload
from shim.publisher import Publisher
from shim.reaper import Reaper
from shim.server import Server
from shim.worker import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from shim.log import Log
    from shim.loop import Timer
    from shim.task import Task

_IDLE = 30.0  # seconds without a container and without a client
_FLUSH = 8.0  # seconds for the events that are left; a containerd that is back has them wait for 4


class Daemon:
    """One shim, from its first connection until the last container is deleted.

    events: address that events go to, or "". files: what to remove at the end (the socket, and
    the file that says where it is).
    """

    def __init__(
        self,
        listener: _socket.socket,
        namespace: str,
        events: str,
        log: Log,
        files: tuple[str, ...] = (),
    ) -> None:
        self.namespace = namespace
        self.warn = log.warn
        self.loop = Loop(log.failure)
        self.tasks: dict[str, Task] = {}
        self.workers = Workers(self.loop)
        self.reaper = Reaper(self.loop, self.workers)
        self.publisher = Publisher(self.loop, events, namespace, log.warn)
        self._files = files
        self._idle: Timer | None = None
        self._ending = False
        services = dict.fromkeys(service.NAMES, service.methods(self))
        services[messages.STREAMS] = attach.methods(self)
        self._server = Server(self.loop, listener, services)
        self._server.on_idle = self.settle

    def run(self) -> None:
        """Serve until the end."""
        preload()
        gc.collect()
        gc.freeze()  # what is here now is shared with workers as long as nobody touches it
        self.settle()
        self.loop.run()
        log_file.finish()

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
