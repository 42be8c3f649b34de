# SPDX-License-Identifier: Apache-2.0
"""events: a container's usage at intervals, and the OOM killer's visits, until it stops."""

from __future__ import annotations

import select
import time

from runtime import runc_stats
from runtime.container import Container
from runtime.errors import NotRunning
from runtime.oom import OomWatch
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.cgroups.cgroup import Cgroup

    Event = dict[str, object]


def stats(root: str, container_id: str) -> Event:
    """Usage now, as an event of runc's. Raises NotFound, NotRunning, OrlopError, OSError."""
    container = _running(root, container_id)
    try:
        return _stats(container, _cgroup(container))
    finally:
        container.close()


def events(root: str, container_id: str, interval: float) -> Iterator[Event]:
    """Usage every `interval` seconds, and each process that the OOM killer ended, at once.

    Ends when the container's init has ended. Raises as `stats`.
    """
    import os

    container = _running(root, container_id)
    try:
        cgroup = _cgroup(container)
        watch = OomWatch(cgroup)
        try:
            pidfd = container.pidfd()
            try:
                yield from _until_end(container, cgroup, watch, pidfd, interval)
            finally:
                os.close(pidfd)
        finally:
            watch.close()
    finally:
        container.close()


def _until_end(
    container: Container, cgroup: Cgroup, watch: OomWatch, pidfd: int, interval: float
) -> Iterator[Event]:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if watch.fd >= 0:
        poll.register(watch.fd, watch.events)
    due = time.monotonic() + interval
    ended = False
    while not ended:
        ready = poll.poll(max(due - time.monotonic(), 0) * 1000)
        ended = any(fd == pidfd for fd, _ in ready)
        # asked at the end as well: the OOM killer may have ended the init itself
        for _ in range(watch.count() if ready else 0):
            yield {"type": "oom", "id": container.record.id}
        if not ended and time.monotonic() >= due:
            due = time.monotonic() + interval
            yield _stats(container, cgroup)


def _running(root: str, container_id: str) -> Container:
    container = Container.open(root, container_id)
    if container.status() == "stopped":
        container.close()
        raise NotRunning(f"container with id {container_id} is not running")
    return container


def _cgroup(container: Container) -> Cgroup:
    cgroup = container.cgroup()
    if cgroup is None or cgroup.mode == "none":
        raise OrlopError("the container has no cgroup", hint="only that counts what it uses")
    return cgroup


def _stats(container: Container, cgroup: Cgroup) -> Event:
    group = container.resctrl()
    lines = group.lines() if group is not None else []
    data = runc_stats.shape(cgroup.stats(), lines)
    return {"type": "stats", "id": container.record.id, "data": data}
