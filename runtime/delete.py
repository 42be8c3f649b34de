# SPDX-License-Identifier: Apache-2.0
"""delete: nothing of a container is left (runtime.md#delete)."""

from __future__ import annotations

import _signal
import os

from runtime import state
from runtime.container import Container, refusal
from runtime.errors import NotFound
from runtime.kill import end_all, wait_end


def delete(root: str, container_id: str, *, force: bool = False) -> list[str]:
    """Remove a container and everything of it. Returns warnings (a poststop hook that failed).

    force: end it first if need be; a container that is not there is no error then.
    Raises NotFound, WrongStatus.
    """
    try:
        container = Container.open(root, container_id)
    except NotFound:
        if force:
            state.remove_leftovers(root, container_id)
            return []
        raise
    try:
        status = container.status()
        if status == "creating" and force:
            _end_creator(container)
        container.lock()
        status = container.status()
        if not force and status not in ("stopped", "created"):
            raise refusal("delete", container_id, status)
        if status != "stopped" or force:
            end_all(container)
        return _destroy(container)
    except NotFound:
        if force:
            return []
        raise
    finally:
        container.close()
        state.remove_leftovers(root, container_id)


def _end_creator(container: Container) -> None:
    """A creator that is still at work is ended: its init sees the channel end, and goes."""
    creator = container.record.creator
    if creator is None or creator.pid == os.getpid():
        return
    try:
        pidfd = creator.open()
    except ProcessLookupError:
        return
    try:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
        wait_end(pidfd)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _destroy(container: Container) -> list[str]:
    """The cgroup, then the state: as long as there is something to remove, it can be found.

    poststop hooks come after the container is deleted (config.md#poststop), as in runc.
    """
    cgroup = container.cgroup()
    if cgroup is not None:
        cgroup.kill()
        cgroup.remove()
    resctrl = container.resctrl()
    if resctrl is not None:
        resctrl.remove()
    container.unlock()
    container.directory.remove()
    if not container.record.hooks.get("poststop"):
        return []
    from runtime import hooks

    return hooks.run_poststop(container.record)
