# SPDX-License-Identifier: Apache-2.0
"""The OOM killer's work in a container: told when it happens, and before the exit that it caused.

v2: memory.events, which polls as urgent when it changes (cgroup-v2.rst). v1: an eventfd on
memory.oom_control (cgroup-v1/memory.rst, 10). Either only wakes us; the count of kills decides.

systemd removes a cgroup as soon as it is empty, perhaps before the count could be read: the kernel
tells of changes of memory.events ten milliseconds apart, and of the limit that was reached first.
"""

from __future__ import annotations

import os

from runtime.cgroups import files
from shim.loop import READ, URGENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cgroups.cgroup import Cgroup
    from shim.loop import Loop


class OomWatch:
    """Watches one cgroup; `act` is called each time that something was killed since the last."""

    def __init__(self, loop: Loop, cgroup: Cgroup, act: Callable[[], None]) -> None:
        self._loop = loop
        self._cgroup = cgroup
        self._act = act
        self._seen = self._count()
        self._unseen = 0
        self._is_short = False  # of memory, when it could last be seen
        self._fds: list[int] = []
        paths = cgroup.paths()
        try:
            if "memory" in paths:
                self._watch_v1(paths["memory"])
            elif cgroup.mode == "v2" and "" in paths:
                self._watch_v2(paths[""])
        except OSError:
            self.close()  # gone, or without the controller: `check` at the exit still counts

    def _watch_v1(self, path: str) -> None:
        wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._fds.append(wake)
        control = os.open(f"{path}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            register = os.open(f"{path}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(register, b"%d %d" % (wake, control))
            finally:
                os.close(register)
        finally:
            os.close(control)
        self._loop.watch(wake, READ, lambda _events: self._woken(wake))

    def _watch_v2(self, path: str) -> None:
        events = os.open(f"{path}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        self._fds.append(events)
        self._loop.watch(events, URGENT, lambda _events: self._woken(events))

    def _woken(self, fd: int) -> None:
        try:
            # v1: the eventfd's number; v2: reading takes the event away. A removed cgroup is ready
            # for ever, and fails here.
            if self._cgroup.mode == "v2":
                events = files.flat_keyed(os.pread(fd, 4096, 0).decode())
                self._is_short = any(events.get(name) for name in ("max", "oom"))
            else:
                os.eventfd_read(fd)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self.check()
        if not self._cgroup.exists():
            self.close()

    def check(self, *, unexplained: bool = False) -> None:
        """Look now: at the exit of a process, which its event must come before.

        unexplained: it was killed, and not by us.
        """
        count = self._count()
        if count > self._seen:
            self._seen = count
            self._act()
        elif unexplained and self._is_short and not self._cgroup.exists():
            self._is_short = False
            self._unseen = 1
            self._act()

    @property
    def kills(self) -> int:
        """How many processes were killed, as far as that was seen."""
        return self._seen + self._unseen

    def _count(self) -> int:
        try:
            return self._cgroup.oom_kills()
        except OSError:
            return 0

    def close(self) -> None:
        """Watch no longer."""
        for fd in self._fds:
            self._loop.forget(fd)
            os.close(fd)
        self._fds = []
