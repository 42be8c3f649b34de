# SPDX-License-Identifier: Apache-2.0
"""The interface of a cgroup, so that no caller asks which hierarchies or driver it has."""

from __future__ import annotations

from abc import ABC, abstractmethod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.cgroups.setting import Setting
    from spec.types import LinuxResources

    Sub = str | Mapping[str, str]

RESOURCES = "/linux/resources"


class Cgroup(ABC):
    """A container's cgroup: one directory on v2, one in each hierarchy on v1.

    mode: "v1", "hybrid", "v2", or "none" where there is no cgroup, as a rootless container may
    have none. Then there is nothing to join, limit, or kill.

    All methods may be called on a cgroup that is gone: there are no processes in it then, and
    nothing to do. Only those that would put a process or a value there raise.

    sub: a cgroup below this one, as `exec --cgroup` names it: a path for all hierarchies, or a
    mapping from controllers to paths, with "" for all others.
    """

    __slots__ = ("mode",)

    mode: str

    @property
    def needs_init(self) -> bool:
        """Whether the cgroup is made around the container's init, by `adopt` after `create`.

        Then there is nothing to join before; the init waits, in the caller's cgroup, meanwhile.
        """
        return False

    @property
    def attaches(self) -> bool:
        """Whether the caller can't join, and a process gets in by `add_process` only."""
        return False

    def adopt(self, pid: int) -> None:
        """Make the cgroup around a process, with the limits that `create` was given.

        When this fails, the caller ends the process, and removes the cgroup. Raises OrlopError.
        """
        raise NotImplementedError

    @abstractmethod
    def saved(self) -> dict[str, object]:
        """Return a JSON-able record for `load`; after `create` it tells what that made, too."""

    @abstractmethod
    def hierarchies(self, *, cloned: bool = False) -> list[str]:
        """Return the names of the hierarchies ("cpu,cpuacct", "unified") in `join_fds`'s order.

        cloned: those that `clone_fd` leaves to be joined.
        """

    @abstractmethod
    def paths(self) -> dict[str, str]:
        """Return the absolute directory by controller; also by "name=systemd", and by "" for v2."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the cgroup is there, in any hierarchy."""

    @abstractmethod
    def verify_unused(self) -> None:
        """Raise OrlopError if the cgroup has processes or is frozen: then it is another's.

        To be called before the record is written: from then on `delete --force` kills what is in
        the cgroup. Also counts the missing cgroups above this one, which `create` will make: so
        the record has them, should the caller be killed while it does that.
        """

    @abstractmethod
    def settings(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> list[Setting]:
        """What `create` would write for resources; nothing is made. Raises OrlopError as it."""

    @abstractmethod
    def create(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """Make the cgroup in all hierarchies and apply the limits; undo that if it fails.

        An existing cgroup is taken over if it is unused, as some engines make it beforehand;
        after a failure it is left there, and this object has mode "none", so that cleaning up
        with it does no harm.

        Raises OrlopError with the pointer of the property, the file and the reason.
        """

    @abstractmethod
    def apply(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """Change the limits to what `resources` has (`update`).

        What it lacks stays as it is; so does `devices` on v1, which can't replace the list at
        once (runc updates it nowhere). When a value fails, those before it are put back, as far as
        the kernel lets them. Raises OrlopError.
        """

    @abstractmethod
    def join_fds(self, sub: Sub = "", *, cloned: bool = False) -> list[int]:
        """Return descriptors; a single-threaded process joins by writing "0" to each.

        cloned: of what `clone_fd` leaves to be joined. For v2's hierarchy the kernel waits for an
        RCU grace period, 9 ms and more; being cloned into it costs nothing.

        Raises OSError, and OrlopError for a `sub` that leaves the cgroup.
        """

    @abstractmethod
    def clone_fd(self, sub: Sub = "") -> int | None:
        """Return a descriptor for clone3's CLONE_INTO_CGROUP (Linux 5.7), else None.

        On v2 and hybrid hosts; on the latter v1's hierarchies are to be joined besides. clone3
        answers EBUSY when the container's own init shared out controllers in its cgroup, as systemd
        does; `sub_of(init)` then is where there is room. Raises as `join_fds`.
        """

    @abstractmethod
    def sub_of(self, pid: int) -> str:
        """Return where below this cgroup a process is; "" for here and for elsewhere.

        Raises OSError.
        """

    @abstractmethod
    def add_process(self, pid: int, sub: Sub = "") -> None:
        """Move a process with all its threads here, from outside. Raises OSError.

        The kernel waits for an RCU grace period, 5 ms and more; `join_fds` avoids that.
        """

    @abstractmethod
    def pids(self, *, recursive: bool = True) -> list[int]:
        """Return the processes in the cgroup, and in those below it. Raises OSError."""

    @abstractmethod
    def kill(self) -> None:
        """Send SIGKILL to every process here and below, frozen ones too. Raises OSError."""

    @abstractmethod
    def freeze(self) -> None:
        """Stop every process; OrlopError when not all are stopped within 10 seconds.

        On failure the cgroup is thawed again: processes half of which are stopped are worse than
        either.
        """

    @abstractmethod
    def thaw(self) -> None:
        """Let a frozen cgroup run. Raises OSError."""

    @abstractmethod
    def frozen(self) -> bool:
        """Whether the cgroup was frozen, by itself and not with one above it. Raises OSError."""

    @abstractmethod
    def populated(self) -> bool:
        """Whether a process lives in the cgroup or below. Raises OSError."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the cgroup and all below it, waiting up to 5 seconds for the last process to end.

        Those above that `create` made go with it when nobody uses them by now (runc leaves them).
        A `create` that counts on one of them at this moment makes it again. OrlopError if
        processes remain.
        """

    @abstractmethod
    def oom_kills(self) -> int:
        """Return how many processes the OOM killer ended here (Linux 4.13). Raises OSError."""

    @abstractmethod
    def stats(self) -> dict[str, object]:
        """Return usage by controller; for the keys see runtime.cgroups.stats_v2. Raises OSError."""
