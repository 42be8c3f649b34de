# SPDX-License-Identifier: Apache-2.0
"""pause and resume: a container's processes stop where they are, and go on (cgroup freezer)."""

from __future__ import annotations

from runtime.container import Container
from runtime.errors import NotRunning, WrongStatus
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.cgroup import Cgroup


def pause(root: str, container_id: str) -> None:
    """Freeze a running or created container. Raises NotRunning, WrongStatus, OrlopError."""
    container = Container.open(root, container_id)
    try:
        container.lock()
        status = container.status()
        if status == "paused":
            raise WrongStatus("container paused", hint="it is paused already")
        if status not in ("running", "created"):
            raise NotRunning("container not running")
        _cgroup(container).freeze()
    finally:
        container.close()


def resume(root: str, container_id: str) -> None:
    """Thaw a paused container. Raises WrongStatus, OrlopError."""
    container = Container.open(root, container_id)
    try:
        container.lock()
        cgroup = _cgroup(container)
        if not cgroup.frozen():
            raise WrongStatus("container not paused")
        cgroup.thaw()
    finally:
        container.close()


def _cgroup(container: Container) -> Cgroup:
    cgroup = container.cgroup()
    if cgroup is None or cgroup.mode == "none":
        raise OrlopError("the container has no cgroup", hint="the freezer is a cgroup's")
    return cgroup
