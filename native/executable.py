# SPDX-License-Identifier: Apache-2.0
"""orlop-init as a container may see it: sealed, so that nothing inside can write to a host binary.

/proc/self/exe of the init leads here (CVE-2019-5736). A sealed memfd is a copy of 19 KiB that ends
with its last user. Where the host forbids executing memfds (vm.memfd_noexec=2), a detached
read-only mount of the file serves as well: writing to it fails with EROFS, and it is in no mount
namespace in which it could be remounted.
"""

from __future__ import annotations

import errno
import fcntl
import os

from native import syscalls

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "orlop-init")
MFD_EXEC = 0x10  # Linux 6.3; refused as unknown before
_held = b""
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def hold() -> None:
    """Keep the init in memory, for a process that outlives its installation. Raises OSError."""
    global _held  # noqa: PLW0603 - as an import, once for a process
    with open(PATH, "rb") as file:
        _held = file.read()


def sealed_init() -> int:
    """A descriptor of the sealed init, close-on-exec. Raises OSError: no safe form here."""
    try:
        return _memfd()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOSYS):
            raise
    return _read_only_mount()


def _memfd() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("orlop-init", flags | MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create("orlop-init", flags)
    try:
        if _held:
            os.write(fd, _held)
        else:
            _copy(fd)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _copy(fd: int) -> None:
    source = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)
    try:
        left = os.fstat(source).st_size
        while left > 0:
            left -= os.sendfile(fd, source, None, left)
    finally:
        os.close(source)


def _read_only_mount() -> int:
    """Needs CAP_SYS_ADMIN, so that a rootless runtime on such a host gets the error."""
    fd = syscalls.open_tree(
        syscalls.AT_FDCWD, PATH, syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC
    )
    try:
        syscalls.mount_setattr(fd, "", syscalls.AT_EMPTY_PATH, syscalls.MOUNT_ATTR_RDONLY)
    except BaseException:
        os.close(fd)
        raise
    return fd
