# SPDX-License-Identifier: Apache-2.0
"""Detached mount trees that the parent opens for the init: with its rights, and with id maps.

mount_setattr(2) takes an id map from a user namespace. The container's own is not there yet, and a
mount may have maps of its own, so that a helper process makes one for each distinct pair of maps.
"""

from __future__ import annotations

import errno
import os

from native import syscalls
from native.plan import lib
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native.plan import Op

_NO_IDS = "id-mapped mounts need Linux 5.12, on tmpfs 6.3, on overlay 5.19 (as a lower layer)"


class Trees:
    """Opens trees; the user namespaces of their id maps live until `close`."""

    __slots__ = ("_namespaces",)

    def __init__(self) -> None:
        self._namespaces: dict[tuple[str, ...], int] = {}

    def open(self, op: Op) -> int:
        """The tree of an OP_BIND, as plan.h says. Raises OrlopError with the pointer.

        The words in the operation's third string: `slave`, out of the host's propagation;
        `idmap` or `ridmap`, followed by lines of maps or by `userns PATH`.
        """
        flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC
        flags |= syscalls.AT_RECURSIVE if op.flags & lib.FLAG_RECURSIVE else 0
        flags |= syscalls.AT_SYMLINK_NOFOLLOW if op.flags & lib.FLAG_SOURCE_NOFOLLOW else 0
        try:
            tree = syscalls.open_tree(syscalls.AT_FDCWD, str(op.strings[1]), flags)
        except OSError as error:
            raise OrlopError(f"{op.describe()}: {error.strerror}", pointer=op.pointer) from error
        try:
            self._prepare(tree, op)
        except BaseException:
            os.close(tree)
            raise
        return tree

    def _prepare(self, tree: int, op: Op) -> None:
        words = [str(word) for word in op.strings[2]]
        whole = syscalls.AT_EMPTY_PATH | syscalls.AT_RECURSIVE
        if "slave" in words:
            syscalls.mount_setattr(tree, "", whole, propagation=syscalls.MS_SLAVE)
        for at, word in enumerate(words):
            if word in ("idmap", "ridmap"):
                flags = whole if word == "ridmap" else syscalls.AT_EMPTY_PATH
                self._map_ids(tree, flags, tuple(words[at + 1 :]), op)

    def _map_ids(self, tree: int, flags: int, maps: tuple[str, ...], op: Op) -> None:
        namespace = self._namespaces.get(maps)
        try:
            if namespace is None:
                namespace = self._namespaces[maps] = _user_namespace(maps)
            idmap = syscalls.MOUNT_ATTR_IDMAP
            syscalls.mount_setattr(tree, "", flags, attr_set=idmap, userns_fd=namespace)
        except OSError as error:
            unable = error.errno == errno.EINVAL and "mount_setattr" in (error.strerror or "")
            text = f"{op.describe()}: {error.strerror}"
            if unable:
                text += " (this kernel can't map ids on the source's file system)"
            hint = _NO_IDS if unable else ""
            raise OrlopError(text, pointer=op.pointer, hint=hint) from error

    def close(self) -> None:
        """Close the namespaces; mounts that use them keep them."""
        for fd in self._namespaces.values():
            os.close(fd)
        self._namespaces.clear()


def _user_namespace(maps: tuple[str, ...]) -> int:
    """A descriptor of a user namespace with these maps, or of the one at a path. Raises OSError."""
    if maps[0].startswith("userns "):
        return os.open(maps[0].removeprefix("userns "), os.O_RDONLY | os.O_CLOEXEC)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    waits, ends = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if not child:
        os.close(ends)
        _hold_namespace(writer, waits)
    os.close(writer)
    os.close(waits)
    try:
        number = int.from_bytes(os.read(reader, 4), "little")
        if number:
            raise OSError(number, f"unshare(CLONE_NEWUSER): {os.strerror(number)}")
        for kind in ("gid", "uid"):
            lines = [line.removeprefix(f"{kind} ") for line in maps if line.startswith(kind)]
            _write(f"/proc/{child}/{kind}_map", "\n".join(lines))
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(reader)
        os.close(ends)
        os.waitpid(child, 0)


def _hold_namespace(writer: int, waits: int) -> None:
    """The helper: makes the namespace, says so, lives until its parent closes the other pipe."""
    try:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            number = 0
        except OSError as error:
            number = error.errno or errno.EIO
        os.write(writer, number.to_bytes(4, "little"))
        os.read(waits, 1)
    finally:
        os._exit(0)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        text = f"write {path.rpartition('/')[2]}: {error.strerror}"
        raise OSError(error.errno, text) from error
    finally:
        os.close(fd)
