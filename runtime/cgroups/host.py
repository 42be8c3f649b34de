# SPDX-License-Identifier: Apache-2.0
"""Which cgroup hierarchies this host has, where they are mounted, and where the runtime is in them.

A conventional layout is recognised by a few existence tests: /proc/self/mountinfo costs time and
a kernel lock on hosts with thousands of mounts, and is read only where the layout is another, as
in a container.
"""

from __future__ import annotations

import os

from runtime import caller
from runtime.cgroups import files
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM = "/sys/fs/cgroup"
UNIFIED = ""
"""The "controller" of the cgroup v2 hierarchy, as in /proc/PID/cgroup."""


class Membership:
    """One line of /proc/PID/cgroup (cgroups(7)).

    controllers: of a v1 hierarchy, `("name=systemd",)` for a named one, `("",)` for cgroup v2.
    path: the process's cgroup, below the root of the reader's cgroup namespace.
    """

    __slots__ = ("controllers", "path")

    def __init__(self, controllers: tuple[str, ...], path: str) -> None:
        self.controllers = controllers
        self.path = path


class CgroupMount:
    """A line of /proc/self/mountinfo that is a cgroup file system (proc_pid_mountinfo(5)).

    version: 1 or 2. root: the cgroup that is visible at `mountpoint`. options: of the super
    block, controllers among them.
    """

    __slots__ = ("mountpoint", "options", "root", "version")

    def __init__(self, version: int, root: str, mountpoint: str, options: tuple[str, ...]) -> None:
        self.version = version
        self.root = root
        self.mountpoint = mountpoint
        self.options = options


class Hierarchy:
    """A mounted cgroup hierarchy.

    version: 1 or 2. controllers: as in Membership. mountpoint: absolute path. root: the cgroup
    that is mounted there, "/" unless in a container without a cgroup namespace. own: the
    runtime's own cgroup, below the mount point; "/" when it can't be seen there.
    """

    __slots__ = ("controllers", "mountpoint", "own", "root", "version")

    def __init__(
        self, version: int, controllers: tuple[str, ...], mountpoint: str, root: str, own: str
    ) -> None:
        self.version = version
        self.controllers = controllers
        self.mountpoint = mountpoint
        self.root = root
        self.own = own


class Host:
    """The host's hierarchies.

    mode: "v2"; "hybrid" when controllers are on v1 and cgroup v2 is mounted too; "v1".
    hierarchies: those of v1, in the order of /proc/self/cgroup. unified: that of v2, or None.
    """

    __slots__ = ("hierarchies", "mode", "unified")

    def __init__(self, mode: str, hierarchies: list[Hierarchy], unified: Hierarchy | None) -> None:
        self.mode = mode
        self.hierarchies = hierarchies
        self.unified = unified


def detect() -> Host:
    """Return the hierarchies of the mount namespace that the caller is in.

    Raises OrlopError when no cgroup hierarchy is mounted, OSError when /proc can't be read.
    """
    return of(parse_memberships(files.read(f"{caller.current.proc}/cgroup")))


def of(memberships: Sequence[Membership]) -> Host:
    """Return the hierarchies, with what is `own` of a process by its memberships.

    Raises OrlopError when no cgroup hierarchy is mounted, OSError when /proc can't be read.
    """
    host = conventional(memberships)
    if host is None:
        host = from_mounts(memberships, parse_mountinfo(files.read("/proc/self/mountinfo")))
    return host


def parse_memberships(content: str) -> list[Membership]:
    """Return the lines of a /proc/PID/cgroup."""
    memberships = []
    for line in content.splitlines():
        _, controllers, path = line.split(":", 2)
        memberships.append(Membership(tuple(controllers.split(",")), path))
    return memberships


def parse_mountinfo(content: str) -> list[CgroupMount]:
    """Return the cgroup mounts of a /proc/PID/mountinfo."""
    mounts = []
    for line in content.splitlines():
        if " - cgroup" not in line:
            continue
        mount, _, super_block = line.partition(" - ")
        kind, _, options = super_block.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            fields = mount.split(" ")
            version = 2 if kind == "cgroup2" else 1
            root, mountpoint = _unescape(fields[3]), _unescape(fields[4])
            mounts.append(CgroupMount(version, root, mountpoint, tuple(options.split(","))))
    return mounts


def _unescape(field: str) -> str:
    """Undo the octal escapes of mountinfo: space, tab, newline, backslash, number sign."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#")):
        field = field.replace(escape, character)
    return field.replace("\\134", "\\")


def conventional(memberships: Sequence[Membership], system: str = SYSTEM) -> Host | None:
    """Return the host if all is mounted, whole, below `system` under the usual names; else None.

    Only the root cgroup of a hierarchy has release_agent (v1), only others have cgroup.type (v2).
    """
    own = {membership.controllers: membership.path for membership in memberships}
    if _is_whole_v2(system):
        unified = Hierarchy(2, (UNIFIED,), system, "/", within(own.get((UNIFIED,), "/"), "/"))
        return Host("v2", [], unified)
    hierarchies = []
    for controllers, path in own.items():
        if controllers == (UNIFIED,):
            continue
        name = ",".join(controllers)
        mountpoint = f"{system}/{name.removeprefix('name=')}"
        if not os.path.exists(f"{mountpoint}/release_agent"):
            return None
        hierarchies.append(Hierarchy(1, controllers, mountpoint, "/", within(path, "/")))
    if not hierarchies:
        return None
    mountpoint = f"{system}/unified"
    if (UNIFIED,) not in own or not os.path.exists(mountpoint):
        return Host("v1", hierarchies, None)
    if not _is_whole_v2(mountpoint):
        return None
    unified = Hierarchy(2, (UNIFIED,), mountpoint, "/", within(own[UNIFIED,], "/"))
    return Host("hybrid", hierarchies, unified)


def _is_whole_v2(directory: str) -> bool:
    return os.path.exists(f"{directory}/cgroup.controllers") and not os.path.exists(
        f"{directory}/cgroup.type"
    )


def from_mounts(memberships: Sequence[Membership], mounts: Sequence[CgroupMount]) -> Host:
    """Return the host by its mount table. Raises OrlopError when no hierarchy is mounted."""
    hierarchies: list[Hierarchy] = []
    unified: Hierarchy | None = None
    for membership in memberships:
        mount = _mount_of(membership, mounts)
        if mount is None:
            continue
        own = within(membership.path, mount.root)
        hierarchy = Hierarchy(
            mount.version, membership.controllers, mount.mountpoint, mount.root, own
        )
        if mount.version == 1:
            hierarchies.append(hierarchy)
        else:
            unified = hierarchy
    if unified is not None and (not hierarchies or unified.mountpoint == SYSTEM):
        # A lone v1 hierarchy beside a unified host (net_cls of a VPN, say) is not the containers'.
        return Host("v2", [], unified)
    if not hierarchies:
        raise OrlopError(
            "no cgroup hierarchy is mounted",
            hint="mount cgroup2 on /sys/fs/cgroup",
        )
    return Host("hybrid" if unified else "v1", hierarchies, unified)


def _mount_of(membership: Membership, mounts: Sequence[CgroupMount]) -> CgroupMount | None:
    """The mount where the process sees its own cgroup, else the first one of the hierarchy."""
    if membership.controllers == (UNIFIED,):
        candidates = [mount for mount in mounts if mount.version == 2]  # noqa: PLR2004
    else:
        wanted = set(membership.controllers)
        candidates = [m for m in mounts if m.version == 1 and wanted.issubset(m.options)]
    for mount in candidates:
        if mount.root == "/" or f"{membership.path}/".startswith(f"{mount.root}/"):
            return mount
    return candidates[0] if candidates else None


def within(path: str, root: str) -> str:
    """Return the cgroup `path` below a mount of `root`; "/" when it is not below it.

    A path with `..` is outside the reader's cgroup namespace (cgroup_namespaces(7)).
    """
    if root != "/":
        if not f"{path}/".startswith(f"{root}/"):
            return "/"
        path = path[len(root) :] or "/"
    return "/" if ".." in path.split("/") else path
