# SPDX-License-Identifier: Apache-2.0
"""From `linux.cgroupsPath` to a directory in each hierarchy (config-linux.md, "Cgroups Path")."""

from __future__ import annotations

import os

from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.cgroups.host import Hierarchy, Host

POINTER = "/linux/cgroupsPath"


class Directory:
    """The directory of a container's cgroup in one hierarchy.

    version: 1 or 2. controllers: as in host.Membership. mountpoint, root: of the hierarchy. path:
    absolute, below the mount point. parents: how many cgroups right above it were made with it.
    """

    __slots__ = ("controllers", "mountpoint", "parents", "path", "root", "version")

    def __init__(
        self, version: int, controllers: tuple[str, ...], mountpoint: str, root: str, path: str
    ) -> None:
        self.version = version
        self.controllers = controllers
        self.mountpoint = mountpoint
        self.root = root
        self.path = path
        self.parents = 0

    @property
    def name(self) -> str:
        """What messages and plans call the hierarchy: its controllers, or "unified"."""
        return ",".join(self.controllers) or "unified"

    @property
    def cgroup(self) -> str:
        """The cgroup as /proc/PID/cgroup shows it to the runtime."""
        below = self.path[len(self.mountpoint) :]
        return below if self.root == "/" else self.root + below

    def saved(self) -> dict[str, object]:
        """Return a JSON-able record for `load`."""
        return {
            "version": self.version,
            "controllers": list(self.controllers),
            "mountpoint": self.mountpoint,
            "root": self.root,
            "path": self.path,
            "parents": self.parents,
        }

    @classmethod
    def load(cls, saved: Mapping[str, object]) -> Directory:
        """Return what was saved. Raises KeyError, TypeError or ValueError on another record."""
        version, controllers = saved["version"], saved["controllers"]
        mountpoint, path = str(saved["mountpoint"]), str(saved["path"])
        if version not in (1, 2) or not isinstance(controllers, list):
            raise ValueError("neither cgroup v1 nor v2")
        if not path.startswith(f"{mountpoint}/") or os.path.normpath(path) != path:
            raise ValueError(f"{path} is not below {mountpoint}")
        names = tuple(str(name) for name in controllers)
        loaded = cls(2 if version == 2 else 1, names, mountpoint, str(saved["root"]), path)  # noqa: PLR2004
        loaded.parents = int(saved["parents"])  # type: ignore[call-overload]
        return loaded


def inner(cgroups_path: str, container_id: str) -> str:
    """Return the cgroup's path for the cgroupfs driver: absolute, or relative to the runtime's own.

    Without cgroupsPath it is the container's id. `..` is resolved, and stops at the top. Raises
    OrlopError for systemd's form and for the top itself, whose processes are not the container's.
    """
    if "/" not in cgroups_path and cgroups_path.count(":") == 2:  # noqa: PLR2004
        raise OrlopError(
            f"{cgroups_path!r} has the form slice:prefix:name, which only the systemd driver takes",
            pointer=POINTER,
            hint="use --systemd-cgroup, or a path",
        )
    if "\0" in cgroups_path or "\n" in cgroups_path:
        raise OrlopError(f"a cgroup can't be named {cgroups_path!r}", pointer=POINTER)
    clean = os.path.normpath(f"/{cgroups_path or container_id}").replace("//", "/", 1)
    if clean == "/":
        text = f"{cgroups_path!r} is the root of the hierarchy, not a cgroup for a container"
        raise OrlopError(text, pointer=POINTER)
    return clean if cgroups_path.startswith("/") else clean[1:]


def directories(host: Host, path: str) -> list[Directory]:
    """Return where the cgroup `path` (of `inner`) is in each of the host's hierarchies, v2's last.

    An absolute path is below the mount point. A relative one is below the runtime's own cgroup on
    v1; on v2 below the parent of that, because the runtime's own has processes and so can't have
    controllers for its children (cgroups(7), "no internal processes" rule). On a hybrid host v2
    is like one more hierarchy of v1.
    """
    found = [_directory(hierarchy, hierarchy.own, path) for hierarchy in host.hierarchies]
    if host.unified is not None:
        own = host.unified.own
        found.append(
            _directory(host.unified, os.path.dirname(own) if host.mode == "v2" else own, path)
        )
    return found


def _directory(hierarchy: Hierarchy, base: str, path: str) -> Directory:
    below = path if path.startswith("/") else f"{base.rstrip('/')}/{path}"
    return Directory(
        hierarchy.version,
        hierarchy.controllers,
        hierarchy.mountpoint,
        hierarchy.root,
        hierarchy.mountpoint + below,
    )


def below(directory: str, sub: str) -> str:
    """Return the path of a directory's sub-cgroup. Raises OrlopError when it is not below."""
    path = os.path.normpath(f"{directory}/{sub}")
    if path != directory and not path.startswith(f"{directory}/"):
        raise OrlopError(f"bad sub cgroup path {sub!r}: it leaves the container's cgroup")
    return path
