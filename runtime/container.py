# SPDX-License-Identifier: Apache-2.0
"""A container that exists: its record, its status, and what may be done in which status."""

from __future__ import annotations

import os

from runtime import cgroups, state
from runtime.errors import NotFound, NotRunning, WrongStatus
from runtime.state import Directory
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cgroups.cgroup import Cgroup
    from runtime.intelrdt import Group
    from runtime.state import Record
    from spec.types import Status

#: verb -> statuses in which it is allowed; the texts of refusals are runc's
ALLOWED: dict[str, frozenset[str]] = {
    "start": frozenset({"created"}),
    "kill": frozenset({"created", "running", "paused"}),
    "exec": frozenset({"created", "running"}),
    "delete": frozenset({"stopped", "created"}),
}


class Container:
    """A container by id, under one state root."""

    __slots__ = ("directory", "record")

    def __init__(self, directory: Directory, record: Record) -> None:
        self.directory = directory
        self.record = record

    @classmethod
    def open(cls, root: str, container_id: str) -> Container:
        """Raises NotFound, or OrlopError where the state is damaged."""
        directory = Directory.open(root, container_id)
        try:
            return cls(directory, directory.read())
        except BaseException:
            directory.close()
            raise

    def close(self) -> None:
        """Let go of the directory."""
        self.directory.close()

    def lock(self, *, patient: bool = True) -> None:
        """Serialise with other verbs, and see what they did meanwhile.

        Raises BlockingIOError where not patient and another verb has it.
        """
        self.directory.lock(patient=patient)
        self.record = self.directory.read()

    def unlock(self) -> None:
        """End what `lock` began."""
        self.directory.unlock()

    def cgroup(self) -> Cgroup | None:
        """Its cgroup, None where the creator did not come so far."""
        return cgroups.load(self.record.cgroup) if self.record.cgroup else None

    def resctrl(self) -> Group | None:
        """Its resctrl group, None where it has none."""
        if not self.record.resctrl:
            return None
        from runtime.intelrdt import Group

        return Group.load(self.record.resctrl)

    def status(self) -> Status:
        """Status now, from the processes themselves: no file could say that one has died."""
        record = self.record
        if record.creator is not None:
            return "creating" if record.creator.is_alive() else "stopped"
        if record.init is None or not record.init.is_alive():
            return "stopped"
        cgroup = self.cgroup()
        if cgroup is not None and cgroup.frozen():
            return "paused"  # a created one, too, as in runc: its init can't answer
        return "created" if self.directory.has_socket() else "running"

    def require(self, verb: str) -> None:
        """Raise WrongStatus, or NotRunning, unless `verb` is allowed now."""
        status = self.status()
        if status not in ALLOWED[verb]:
            raise refusal(verb, self.record.id, status)

    def pidfd(self) -> int:
        """A pidfd of the init. Raises NotRunning where there is none."""
        init = self.record.init
        if init is None:
            raise NotRunning("container not running")
        try:
            return init.open()
        except ProcessLookupError:
            raise NotRunning("container not running") from None


def refusal(verb: str, container_id: str, status: str) -> WrongStatus:
    """The error of a verb in the wrong status."""
    if verb == "start":
        if status == "stopped":
            return WrongStatus("cannot start a container that has stopped")
        if status == "running":
            return WrongStatus("cannot start an already running container")
        if status == "paused":
            text = "cannot start a container in the paused state"
            return WrongStatus(text, hint="resume it first")
    if verb == "delete":
        text = f"cannot delete container {container_id} that is not stopped: {status}"
        return WrongStatus(text, hint="kill it first, or use --force")
    if verb == "exec" and status == "stopped":
        return NotRunning("cannot exec in a stopped container")
    if verb == "exec" and status == "paused":
        return WrongStatus("cannot exec in a paused container", hint="resume it first")
    if status == "stopped":
        return NotRunning("container not running")
    return WrongStatus(f"cannot {verb} container {container_id} that is {status}")


def every(root: str, damaged: Callable[[str, Exception], None]) -> list[Container]:
    """All containers under this root; those that go away meanwhile are left out.

    damaged: called with the id of one that can't be read, and why.
    """
    found = []
    for container_id in state.ids(root):
        try:
            found.append(Container.open(root, container_id))
        except NotFound:
            continue
        except (OrlopError, OSError) as error:
            damaged(container_id, error)
    return found


def exists(root: str, container_id: str) -> bool:
    """Whether the id is taken under this root."""
    return os.path.lexists(os.path.join(root, container_id))
