# SPDX-License-Identifier: Apache-2.0
"""kill: a signal to the container's init (runtime.md#kill)."""

from __future__ import annotations

import _signal
import os
import select

from runtime.container import Container, refusal
from runtime.errors import NotRunning
from spec.errors import OrlopError


def kill(root: str, container_id: str, signal: int, *, all_processes: bool = False) -> None:
    """Send a signal to the container's init; SIGKILL ends all of a container that shares its pids.

    all_processes: obsolete as in runc: a container that does not run is no error then.
    Raises NotRunning, WrongStatus, NotFound.
    """
    container = Container.open(root, container_id)
    try:
        status = container.status()
        if status in ("created", "running", "paused"):
            _signal_init(container, signal)
        elif not (all_processes and status == "stopped"):
            raise refusal("kill", container_id, status)
        if signal == _signal.SIGKILL:
            _end_others(container, status)
    except NotRunning:
        if not all_processes:
            raise
    finally:
        container.close()


def _end_others(container: Container, status: str) -> None:
    """Do what the kernel does not by itself after SIGKILL of the init."""
    cgroup = container.cgroup()
    if cgroup is None:
        return
    if container.record.shares_pids:
        cgroup.kill()
    elif status == "paused":
        # A frozen process of cgroup v1 dies only once it is thawed (freezer-subsystem.rst).
        cgroup.thaw()


def _signal_init(container: Container, signal: int) -> None:
    pidfd = container.pidfd()
    try:
        _signal.pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        raise NotRunning("container not running") from None
    finally:
        os.close(pidfd)


def end_all(container: Container) -> None:
    """End every process of the container, and wait for its init."""
    cgroup = container.cgroup()
    record = container.record
    if record.init is not None:
        try:
            pidfd = record.init.open()
        except ProcessLookupError:
            pidfd = -1
        if pidfd >= 0:
            try:
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
                if cgroup is not None:
                    cgroup.kill()
                wait_end(pidfd)
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)
    if cgroup is not None:
        cgroup.kill()


_END_TIMEOUT_MS = 10_000  # as long as runc's delete --force waits


def wait_end(pidfd: int) -> None:
    """Wait, not for ever, until a process has ended. Raises OrlopError."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(_END_TIMEOUT_MS):
        raise OrlopError("the container's init does not end", hint="is it stuck in the kernel?")
