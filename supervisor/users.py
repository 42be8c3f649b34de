# SPDX-License-Identifier: Apache-2.0
"""Users by the names that an image gives them, read from its /etc/passwd and /etc/group.

The image is not trusted: its files are opened within its root (openat2, RESOLVE_IN_ROOT), must be
regular, and are read up to a limit.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from native import syscalls
from supervisor.failure import INVALID_PARAMS, Failure

if TYPE_CHECKING:
    from spec.types import User

_SIZE = 1 << 20
_ID_MAX = 2**32 - 2
_INSIDE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


def resolve(rootfs: str, text: str, pointer: str = "/user") -> User:
    """`USER[:GROUP]`, each a number or a name; the groups of a user that is named are its too.

    Raises Failure.
    """
    name, colon, group_name = text.partition(":")
    entry = _entry(rootfs, name, pointer)
    user: User = {"uid": entry[0], "gid": entry[1]}
    groups = _rows(rootfs, "etc/group", 4)
    if colon:
        user["gid"] = _group(groups, group_name, pointer)
    elif not _is_number(name):
        more = [_id(row[2], pointer) for row in groups if name in row[3].split(",")]
        user["additionalGids"] = sorted({gid for gid in more if gid != user["gid"]})
    return user


def _entry(rootfs: str, name: str, pointer: str) -> tuple[int, int]:
    rows = _rows(rootfs, "etc/passwd", 7)
    column = 2 if _is_number(name) else 0
    for row in rows:
        if row[column] == name:
            return _id(row[2], pointer), _id(row[3], pointer)
    if column == 0:
        raise Failure(
            INVALID_PARAMS, f"{pointer}: user {name!r} is not in /etc/passwd", pointer=pointer
        )
    return _id(name, pointer), 0


def _group(groups: list[list[str]], name: str, pointer: str) -> int:
    if _is_number(name):
        return _id(name, pointer)
    for row in groups:
        if row[0] == name:
            return _id(row[2], pointer)
    raise Failure(
        INVALID_PARAMS, f"{pointer}: group {name!r} is not in /etc/group", pointer=pointer
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _id(text: str, pointer: str) -> int:
    if not _is_number(text) or len(text) > len(str(_ID_MAX)) or int(text) > _ID_MAX:
        what = f"{pointer}: id {text!r} is no number from 0 to {_ID_MAX}"
        raise Failure(INVALID_PARAMS, what, pointer=pointer)
    return int(text)


def _rows(rootfs: str, path: str, columns: int) -> list[list[str]]:
    """The lines of a file with so many fields; none where it is not there."""
    try:
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO would hold us up
            fd = syscalls.openat2(root, path, flags, resolve=_INSIDE)
        finally:
            os.close(root)
    except OSError:
        return []
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        text = os.read(fd, _SIZE).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)
    rows = [line.split(":") for line in text.splitlines()]
    return [row for row in rows if len(row) == columns]
