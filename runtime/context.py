# SPDX-License-Identifier: Apache-2.0
"""What the concerns compile from: spec, facts, request, and the plan so far."""

from __future__ import annotations

from native.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from native.plan import Op
    from runtime.host import Facts
    from runtime.seccomp import Filter
    from spec.types import Linux, Process, Spec


class Request:
    """What the caller of create asked for, beside the spec.

    id: the container's. rootfs: absolute host path. new_keyring: a session keyring of its own.
    cgroups: names of the hierarchies that the init joins, in order. clone_into_cgroup: that of v2
    is joined by clone3 instead. scope: the parent moves the init there. cgroup_paths:
    directory of the container in each hierarchy. listen_fds: how many of the preserved descriptors
    are sockets for it (sd_listen_fds(3)).
    resctrl: directories of the resctrl groups that the init joins. bundle: absolute path that
    relative sources of bind mounts are below. no_pivot: the root is moved, for one that
    pivot_root(2) refuses. is_awaited: an exec waits until its pidfd was handed on.
    """

    __slots__ = (
        "bundle",
        "cgroup_paths",
        "cgroups",
        "clone_into_cgroup",
        "id",
        "is_awaited",
        "listen_fds",
        "new_keyring",
        "no_pivot",
        "resctrl",
        "rootfs",
        "scope",
    )

    def __init__(
        self,
        container_id: str,
        rootfs: str,
        *,
        new_keyring: bool = True,
        cgroups: Sequence[str] = (),
        clone_into_cgroup: bool = False,
        cgroup_paths: dict[str, str] | None = None,
        listen_fds: int = 0,
    ) -> None:
        self.bundle = ""
        self.no_pivot = False
        self.id = container_id
        self.rootfs = rootfs
        self.new_keyring = new_keyring
        self.cgroups = list(cgroups)
        self.clone_into_cgroup = clone_into_cgroup
        self.scope = False
        self.is_awaited = False
        self.cgroup_paths = cgroup_paths or {}
        self.listen_fds = listen_fds
        self.resctrl: list[str] = []


class Context:
    """One compilation: concerns read it and append operations to `plan`."""

    __slots__ = (
        "facts",
        "filter",
        "late",
        "linux",
        "namespaces",
        "plan",
        "process",
        "request",
        "spec",
    )

    def __init__(
        self, spec: Spec, facts: Facts, request: Request, seccomp_filter: Filter | None = None
    ) -> None:
        self.spec = spec
        self.facts = facts
        self.request = request
        self.filter = seccomp_filter
        self.linux: Linux = spec.get("linux", {})
        self.process: Process = spec["process"]
        #: type -> path, "" for a new one
        self.namespaces: dict[str, str] = {
            namespace["type"]: namespace.get("path", "")
            for namespace in self.linux.get("namespaces", ())
        }
        self.plan = Plan()
        #: operations that come after all mounts, devices and hooks
        self.late: list[Op] = []

    def add(self, op: Op) -> None:
        """Append an operation to the plan."""
        self.plan.add(op)

    def is_new(self, namespace: str) -> bool:
        """Whether the container gets a namespace of this type of its own."""
        return self.namespaces.get(namespace) == ""

    def is_joined(self, namespace: str) -> bool:
        """Whether the container joins an existing namespace of this type."""
        return bool(self.namespaces.get(namespace))
