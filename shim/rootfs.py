# SPDX-License-Identifier: Apache-2.0
"""The rootfs of a bundle: the mounts that come with Create, and their end.

mount(2) takes a page of data. The list of an image with many layers is longer: then the paths are
made relative to the directory that they share, and the worker goes there.
"""

from __future__ import annotations

import errno
import os

from native import syscalls
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.protobuf import Values

_PAGE = 4095
_FLAGS: dict[str, tuple[int, int]] = {
    # word -> flags to set, flags to clear (mount(2))
    "ro": (syscalls.MS_RDONLY, 0),
    "rw": (0, syscalls.MS_RDONLY),
    "bind": (syscalls.MS_BIND, 0),
    "rbind": (syscalls.MS_BIND | syscalls.MS_REC, 0),
    "nosuid": (syscalls.MS_NOSUID, 0),
    "suid": (0, syscalls.MS_NOSUID),
    "nodev": (syscalls.MS_NODEV, 0),
    "dev": (0, syscalls.MS_NODEV),
    "noexec": (syscalls.MS_NOEXEC, 0),
    "exec": (0, syscalls.MS_NOEXEC),
    "noatime": (syscalls.MS_NOATIME, 0),
    "nodiratime": (syscalls.MS_NODIRATIME, 0),
    "relatime": (syscalls.MS_RELATIME, 0),
    "strictatime": (syscalls.MS_STRICTATIME, 0),
    "defaults": (0, 0),
}
_ATTRIBUTES = {
    # of mount(2) -> of mount_setattr(2)
    syscalls.MS_RDONLY: syscalls.MOUNT_ATTR_RDONLY,
    syscalls.MS_NOSUID: syscalls.MOUNT_ATTR_NOSUID,
    syscalls.MS_NODEV: syscalls.MOUNT_ATTR_NODEV,
    syscalls.MS_NOEXEC: syscalls.MOUNT_ATTR_NOEXEC,
    syscalls.MS_NOATIME: syscalls.MOUNT_ATTR_NOATIME,
    syscalls.MS_NODIRATIME: syscalls.MOUNT_ATTR_NODIRATIME,
    syscalls.MS_STRICTATIME: syscalls.MOUNT_ATTR_STRICTATIME,
}
_ATIME = syscalls.MS_NOATIME | syscalls.MS_STRICTATIME | syscalls.MS_RELATIME
_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS
_STACK = 64  # mounts on one another, at most


def mount(mounts: Sequence[Values], rootfs: str) -> None:
    """Mount them, one on the other. Raises OrlopError; then nothing is left mounted."""
    if not mounts:
        return
    os.makedirs(rootfs, mode=0o711, exist_ok=True)
    try:
        for entry in mounts:
            _mount(entry, rootfs)
    except BaseException:
        unmount(rootfs)
        raise


def _mount(entry: Values, rootfs: str) -> None:
    flags, data = _parsed(entry["options"])
    kind, source = entry["type"], entry["source"]
    if kind == "bind":
        flags |= syscalls.MS_BIND
    try:
        if len(",".join(data)) > _PAGE:
            data = _shortened(data)
        place = _place(rootfs, entry["target"])
        try:
            if flags & syscalls.MS_BIND:
                _bind(source, place, flags)
            else:
                syscalls.mount(source, f"/proc/self/fd/{place}", kind, flags, ",".join(data))
        finally:
            os.close(place)
    except OSError as error:
        target = os.path.join(rootfs, entry["target"].lstrip("/"))
        raise OrlopError(f"rootfs: {kind} {source} on {target}: {error.strerror}") from error


def _place(rootfs: str, target: str) -> int:
    """Where to mount, as a descriptor: what is mounted already may be changed meanwhile.

    Raises OrlopError, OSError.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not target:
        return root
    try:
        return syscalls.openat2(root, target.lstrip("/"), os.O_PATH, resolve=_BENEATH)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OrlopError(f"rootfs: target {target}: leads out of the bundle") from error
        raise
    finally:
        os.close(root)


def _bind(source: str, place: int, flags: int) -> None:
    """A bind mount has its flags before it is anywhere. Raises OSError."""
    recursive = syscalls.AT_RECURSIVE if flags & syscalls.MS_REC else 0
    how = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC | recursive
    tree = syscalls.open_tree(syscalls.AT_FDCWD, source, how)
    try:
        attributes = sum(attribute for flag, attribute in _ATTRIBUTES.items() if flags & flag)
        atime = syscalls.MOUNT_ATTR__ATIME if flags & _ATIME else 0
        if attributes or atime:
            syscalls.mount_setattr(tree, "", syscalls.AT_EMPTY_PATH, attributes, atime)
        whole = syscalls.MOVE_MOUNT_F_EMPTY_PATH | syscalls.MOVE_MOUNT_T_EMPTY_PATH
        syscalls.move_mount(tree, "", place, "", whole)
    finally:
        os.close(tree)


def _parsed(options: Sequence[str]) -> tuple[int, list[str]]:
    flags, data = 0, []
    for option in options:
        if option in _FLAGS:
            set_, clear = _FLAGS[option]
            flags = flags & ~clear | set_
        elif option:
            data.append(option)
    return flags, data


def _shortened(data: Sequence[str]) -> list[str]:
    """The layers of an overlay, relative to where the process is from now on."""
    layers = next((option for option in data if option.startswith("lowerdir=")), "")
    paths = layers.removeprefix("lowerdir=").split(":")
    common = os.path.commonpath(paths) if all(paths) else "/"
    os.chdir(common)
    relative = "lowerdir=" + ":".join(os.path.relpath(path, common) for path in paths)
    return [relative if option == layers else option for option in data]


def unmount(rootfs: str) -> None:
    """Take away all that is mounted there, at once, whoever uses it (MNT_DETACH).

    Nothing mounted there, or no such directory, is fine. Raises OSError, OrlopError.
    """
    for _ in range(_STACK + 1):
        try:
            syscalls.umount2(rootfs, syscalls.MNT_DETACH)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise
    raise OrlopError(f"rootfs: {rootfs}: more than {_STACK} mounts on one another")
