# SPDX-License-Identifier: Apache-2.0
"""From `linux.cgroupsPath` to a unit of systemd, and to the cgroup that systemd makes for it.

The form `slice:prefix:name` is runc's; the standard leaves it to the runtime (config-linux.md,
"Cgroups Path"). Every part may be empty.
"""

from __future__ import annotations

from runtime.cgroups.paths import POINTER
from spec.errors import OrlopError

SCOPE, SLICE = ".scope", ".slice"
ROOT_SLICE = "-.slice"
PREFIX = "orlop"
"""Before the container's id, where there is no cgroupsPath."""

_FORM = "slice:prefix:name"
_ALLOWED = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@")
_MAX = 255
"""Characters and length of a unit's name (systemd.unit(5), "Description")."""

_CONTROLLERS = frozenset(
    (
        *("cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids"),
        *("bpf-firewall", "bpf-devices", "bpf-foreign", "bpf-socket-bind"),
        "bpf-restrict-network-interfaces",
    )
)
_KERNEL_FILES = frozenset(("notify_on_release", "release_agent", "tasks"))


class Unit:
    """A unit by name, and the slice that it is in.

    name: a scope, or a slice when cgroupsPath asks for one. slice: the parent, "-.slice" for the
    root.
    """

    __slots__ = ("name", "slice")

    def __init__(self, name: str, slice_: str) -> None:
        self.name = name
        self.slice = slice_

    @property
    def is_slice(self) -> bool:
        """Whether the unit is a slice, which needs no process to be made."""
        return self.name.endswith(SLICE)

    @property
    def cgroup(self) -> str:
        """The unit's cgroup, below that of the manager."""
        if self.is_slice:
            return slice_cgroup(self.name)
        return f"{slice_cgroup(self.slice).rstrip('/')}/{_escaped(self.name)}"


def unit(cgroups_path: str, container_id: str, *, rootless: bool) -> Unit:
    """Return the unit that cgroupsPath asks for. Raises OrlopError when it has another form."""
    slice_, prefix, name = "", PREFIX, _plus_escaped(container_id)
    if cgroups_path:
        parts = cgroups_path.split(":")
        if len(parts) != 3:  # noqa: PLR2004 - the form's
            raise OrlopError(
                f"{cgroups_path!r} has not the form {_FORM}, which the systemd driver takes",
                pointer=POINTER,
                hint=f"write {_FORM}, or leave out --systemd-cgroup",
            )
        slice_, prefix, name = parts
    slice_ = slice_ or ("user.slice" if rootless else "system.slice")
    slice_ = ROOT_SLICE if slice_ == "-" else slice_
    slice_cgroup(slice_)
    full = name if name.endswith(SLICE) else f"{prefix}-{name}{SCOPE}"
    if not _ALLOWED.issuperset(full) or len(full) > _MAX:
        raise OrlopError(
            f"{full!r} can't be the name of a unit",
            pointer=POINTER,
            hint=f"at most {_MAX} ASCII letters, digits, and : - _ . \\ @",
        )
    if full.endswith(SLICE):
        slice_cgroup(full)
        slice_ = _parent(full)
    return Unit(full, slice_)


def slice_cgroup(name: str) -> str:
    """Return a slice's cgroup: `-` is what separates it from those that it is in.

    `a-b.slice` is /a.slice/a-b.slice (systemd.slice(5)). Raises OrlopError for another name.
    """
    if name == ROOT_SLICE:
        return "/"
    parts = name.removesuffix(SLICE).split("-")
    if not name.endswith(SLICE) or not all(parts) or not _ALLOWED.issuperset(name):
        text = f"{name!r} can't be the name of a slice"
        raise OrlopError(text, pointer=POINTER, hint="such as a.slice or a-b.slice, without /")
    path = ""
    for count in range(len(parts)):
        path += "/" + _escaped("-".join(parts[: count + 1]) + SLICE)
    return path


def _parent(name: str) -> str:
    """A slice's parent: it follows from the name alone."""
    above = name.removesuffix(SLICE).rpartition("-")[0]
    return f"{above}{SLICE}" if above else ROOT_SLICE


def _plus_escaped(container_id: str) -> str:
    """A container's id may have a `+`, a unit's name not (systemd-escape(1))."""
    return container_id.replace("+", "\\x2b")


def _escaped(name: str) -> str:
    """The directory of a unit: an underscore keeps it from looking like a file of the kernel's."""
    first = name.partition(".")[0]
    if name[0] in "_." or name in _KERNEL_FILES or first == "cgroup" or first in _CONTROLLERS:
        return f"_{name}"
    return name
