# SPDX-License-Identifier: Apache-2.0
"""Looks into a root file system that nobody trusts.

Every path is resolved by openat2(2) with RESOLVE_IN_ROOT, as the init does: a symbolic link leads
nowhere else. Descriptors are O_PATH, so that opening a fifo or a device does nothing.
"""

from __future__ import annotations

import errno
import os
import stat

from native import syscalls

_HEAD = 256  # BINPRM_BUF_SIZE: as much of a file as the kernel looks at
_ELF = b"\x7fELF"
_MACHINE = slice(18, 20)


class Rootfs:
    """The tree below a directory of the host. Raises OSError where that can't be opened."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def mode(self, path: str, *, follow: bool = True) -> int:
        """st_mode of a path inside. Raises OSError."""
        fd = self._open(path, 0 if follow else os.O_NOFOLLOW)
        try:
            return os.fstat(fd).st_mode
        finally:
            os.close(fd)

    def head(self, path: str) -> bytes:
        """The beginning of a regular file, b"" of anything else. Raises OSError."""
        fd = self._open(path, 0)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            # By the descriptor, not by its name: it can't have become something else.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            content = os.open(f"/proc/self/fd/{fd}", flags)
            try:
                return os.read(content, _HEAD)
            finally:
                os.close(content)
        finally:
            os.close(fd)

    def refusal(self, path: str) -> int:
        """errno of executing a path, as far as the file decides it; 0: none.

        EISDIR, EACCES without any x bit, or why it can't be resolved.
        """
        try:
            mode = self.mode(path)
        except OSError as error:
            return error.errno or errno.EIO
        if stat.S_ISDIR(mode):
            return errno.EISDIR
        return 0 if stat.S_ISREG(mode) and mode & 0o111 else errno.EACCES

    def interpreter(self, path: str) -> str:
        """What a script's #! line names (execve(2)), "" for another file, or one not readable."""
        try:
            head = self.head(path)
        except OSError:
            return ""
        if not head.startswith(b"#!"):
            return ""
        words = head[2:].split(b"\n", 1)[0].split()
        return os.fsdecode(words[0]) if words else ""

    def foreign(self, path: str) -> bool:
        """Whether it is an ELF file of another architecture, which binfmt_misc alone could run."""
        try:
            head, own = self.head(path), _own_head()
        except OSError:
            return False
        # EI_CLASS and e_machine (elf(5)); 32 bits may well run on 64
        whole = head.startswith(_ELF) and len(head) > _MACHINE.stop
        return whole and head[4] == own[4] and head[_MACHINE] != own[_MACHINE]

    def _open(self, path: str, flags: int) -> int:
        resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
        flags |= os.O_PATH | os.O_CLOEXEC
        return syscalls.openat2(self._fd, path.lstrip("/") or ".", flags, resolve=resolve)


def _own_head() -> bytes:
    with open("/proc/self/exe", "rb") as file:
        return file.read(_HEAD)
