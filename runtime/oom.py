# SPDX-License-Identifier: Apache-2.0
"""A descriptor that says when the OOM killer was in a container's cgroup: nothing is polled.

On v1 the kernel signals an eventfd (cgroup-v1/memory.rst, "OOM Control"); on v2 the file
memory.events becomes urgent for poll(2) when it changes (kernfs).
"""

from __future__ import annotations

import errno
import os
import select

from runtime.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.cgroup import Cgroup


class OomWatch:
    """Watches a cgroup. fd: to poll for `events`; -1 where no memory is accounted. Close it."""

    __slots__ = ("_cgroup", "_control", "_kills", "_v2", "events", "fd")

    def __init__(self, cgroup: Cgroup) -> None:
        self._cgroup = cgroup
        self._control = -1
        self.fd = -1
        self.events = select.POLLIN
        paths = cgroup.paths()
        v1 = paths.get("memory", "") if cgroup.mode != "v2" else ""
        self._v2 = not v1
        self._kills = cgroup.oom_kills()
        if v1:
            self._watch_v1(v1)
        elif "" in paths:
            self._watch_v2(f"{paths['']}/memory.events")

    def _watch_v1(self, path: str) -> None:
        self._control = os.open(f"{path}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        files.write(f"{path}/cgroup.event_control", f"{self.fd} {self._control}")

    def _watch_v2(self, path: str) -> None:
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        self.events = select.POLLPRI
        os.read(self.fd, 4096)  # what was before is no news

    def close(self) -> None:
        """End the watch."""
        for fd in (self.fd, self._control):
            if fd >= 0:
                os.close(fd)
        self.fd = self._control = -1

    def count(self) -> int:
        """How many processes were killed since the last call.

        The descriptor signals other things, too: a cgroup that is removed, memory.high reached.
        Raises OSError.
        """
        if self.fd < 0:
            return 0
        try:
            if self._v2:
                os.pread(self.fd, 4096, 0)
            else:
                os.eventfd_read(self.fd)
        except OSError as error:
            if error.errno not in (*files.GONE, errno.EAGAIN):
                raise
        kills = self._cgroup.oom_kills()
        new, self._kills = max(kills - self._kills, 0), max(kills, self._kills)
        return new
