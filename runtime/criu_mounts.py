# SPDX-License-Identifier: Apache-2.0
"""Mounts that come from outside the container: criu is told of each, by its place inside.

The plan of the container has them all, with sources: those of the configuration, the binds that a
cgroup mount becomes, devices that could only be bound, and masks.
"""

from __future__ import annotations

import errno
import os
import stat

from native import plan, syscalls
from runtime.errors import Unsupported
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native.plan import Op, Plan

lib = plan.lib
_BINDS = frozenset({lib.OP_BIND, lib.OP_BIND_LINK})
_NULL = "/dev/null"
_INSIDE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


def sources(made: Plan) -> list[tuple[str, str]]:
    """Place and host path of each mount from outside, for a restore."""
    found = [(str(op.strings[0]), str(op.strings[1])) for op in made.ops if _is_outside(op)]
    return [*found, (_NULL, _NULL)]


def of_process(made: Plan, pid: int) -> list[tuple[str, str]]:
    """Mount point and name of each mount from outside, as a running container has them.

    The name is what a restore calls it: the place as the plan has it; the mount point may be behind
    a symbolic link of the image. Raises Unsupported for what criu can't restore.
    """
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = []
        for op in made.ops:
            place = str(op.strings[0]) if op.strings else ""
            if _is_outside(op):
                _check_ids(op)
                found.append((_resolved(root, place)[0], place))
            elif op.code == lib.OP_MASK:
                where, directory = _resolved(root, place)
                if where and not directory:  # a directory is masked by a tmpfs of its own
                    found.append((where, _NULL))
        return [(where, name) for where, name in found if where]
    finally:
        os.close(root)


def _is_outside(op: Op) -> bool:
    return op.code in _BINDS or (op.code == lib.OP_DEVICE and bool(op.strings[1]))


def _check_ids(op: Op) -> None:
    words = op.strings[2] if op.code in _BINDS and len(op.strings) > 2 else ()  # noqa: PLR2004
    if "idmap" in words or "ridmap" in words:
        raise Unsupported("criu can't restore an id-mapped mount", pointer=op.pointer)


def _resolved(root: int, place: str) -> tuple[str, bool]:
    """Where a place is in the container, and whether it is a directory; "" where it is not."""
    try:
        fd = syscalls.openat2(root, place.lstrip("/") or ".", os.O_PATH, resolve=_INSIDE)
    except OSError:
        return "", False
    try:
        # of another mount namespace the kernel shows the path from that one's root
        return os.readlink(f"/proc/self/fd/{fd}"), stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def enter(made: Plan, rootfs: str) -> None:
    """Make the calling process's mount namespace one where criu can restore.

    Its root must be a mount (criu's --root), with all mount points in it. In a namespace of its
    own nothing is left of that on the host, whenever criu or the caller is killed.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount(rootfs, rootfs, "", syscalls.MS_BIND | syscalls.MS_REC)
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    bound: list[int] = []
    fresh: list[str] = []
    try:
        for op in made.ops:
            if op.code not in (*_BINDS, lib.OP_MOUNT):
                continue
            place = str(op.strings[0])
            if any(place.startswith(f"{above}/") for above in fresh):
                continue  # criu restores what is in a tmpfs, and /proc and /sys have their own
            try:
                _prepare(root, op, place, bound, fresh)
            except OSError as error:
                text = f"mount point {place}: {error.strerror}"
                raise OrlopError(text, pointer=op.pointer) from error
        for fd in reversed(bound):
            syscalls.umount2(f"/proc/self/fd/{fd}", syscalls.MNT_DETACH)
    finally:
        for fd in (*bound, root):
            os.close(fd)


def _prepare(root: int, op: Op, place: str, bound: list[int], fresh: list[str]) -> None:
    """One mount point. A bind is made for the moment: later ones may be inside it."""
    if op.code == lib.OP_MOUNT:
        fresh.append(place)
        os.close(_mount_point(root, place, directory=True))
        return
    source = str(op.strings[1])
    fd = _mount_point(root, place, directory=os.path.isdir(source))
    try:
        syscalls.mount(source, f"/proc/self/fd/{fd}", "", syscalls.MS_BIND | syscalls.MS_REC)
    finally:
        os.close(fd)
    bound.append(_open(root, place))


def _open(root: int, place: str) -> int:
    return syscalls.openat2(root, place.lstrip("/") or ".", os.O_PATH, resolve=_INSIDE)


def _mount_point(root: int, place: str, *, directory: bool) -> int:
    """A descriptor of the place, made where it isn't there; no link leads out of the root."""
    try:
        return _open(root, place)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    above, name = os.path.split(place)
    parent = _mount_point(root, above, directory=True)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o755, dir_fd=parent))
    finally:
        os.close(parent)
    return _open(root, place)
