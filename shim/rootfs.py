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
_MS_REMOUNT = 32  # sys/mount.h
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
    target = rootfs
    if entry["target"]:
        target = os.path.join(rootfs, entry["target"].lstrip("/"))
        beneath = os.path.realpath(target)
        if not beneath.startswith(os.path.realpath(rootfs) + "/"):
            raise OrlopError(f"rootfs: target {entry['target']}: leads out of the bundle")
    kind, source = entry["type"], entry["source"]
    if kind == "bind":
        flags |= syscalls.MS_BIND
    try:
        if len(",".join(data)) > _PAGE:
            data = _shortened(data)
        syscalls.mount(source, target, kind, flags, ",".join(data))
        if flags & syscalls.MS_BIND and flags & ~(syscalls.MS_BIND | syscalls.MS_REC):
            # a bind mount takes its other flags only when it is mounted again
            syscalls.mount(source, target, kind, flags | _MS_REMOUNT)
    except OSError as error:
        raise OrlopError(f"rootfs: {kind} {source} on {target}: {error.strerror}") from error


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
