# SPDX-License-Identifier: Apache-2.0
"""The one thread's loop: descriptors, timers, and nothing that blocks (epoll(7))."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
URGENT = select.EPOLLPRI


class Timer:
    """Something to be done later, unless it is cancelled."""

    __slots__ = ("act", "at")

    def __init__(self, at: float, act: Callable[[], None]) -> None:
        self.at = at
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """Let it not happen."""
        self.act = None


class Loop:
    """Callbacks by descriptor, each called with the events of epoll; timers by time.

    on_error: gets what a callback raised. The loop goes on: other containers depend on it.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self.on_error = on_error
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._running = True

    def watch(self, fd: int, events: int, act: Callable[[int], None]) -> None:
        """Call `act` when one of `events` is there; replaces what was watched of `fd`."""
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watched[fd] = act

    def forget(self, fd: int) -> None:
        """Watch it no longer; to be called before it is closed."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, act: Callable[[], None]) -> Timer:
        """Call `act` in so many seconds."""
        timer = Timer(time.monotonic() + seconds, act)
        self._timers.append(timer)
        return timer

    def stop(self) -> None:
        """Let `run` return."""
        self._running = False

    def close(self) -> None:
        """Let go of it; nothing is watched any more."""
        self._epoll.close()

    def run(self) -> None:
        """Serve until `stop`."""
        while self._running:
            for fd, events in self._epoll.poll(self._patience()):
                act = self._watched.get(fd)
                if act is not None:  # an earlier callback of this round may have closed it
                    try:
                        act(events)
                    except Exception as error:  # noqa: BLE001 - see on_error
                        self.on_error(error)
            self._run_timers()

    def _patience(self) -> float:
        """How long epoll may wait: until the first timer, or for ever."""
        self._timers = [timer for timer in self._timers if timer.act is not None]
        if not self._timers:
            return -1
        return max(0.0, min(timer.at for timer in self._timers) - time.monotonic())

    def _run_timers(self) -> None:
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.at <= now]:
            act, timer.act = timer.act, None
            if act is not None:
                try:
                    act()
                except Exception as error:  # noqa: BLE001 - see on_error
                    self.on_error(error)
