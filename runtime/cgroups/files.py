# SPDX-License-Identifier: Apache-2.0
"""Reading and writing cgroup files in three system calls; Python's file objects make a dozen.

Nothing is created and no final symbolic link is followed: a missing file is ENOENT (opened with
O_CREAT, cgroup file systems answer EPERM, which misleads).
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

GONE = (errno.ENOENT, errno.ENODEV)
"""The errno of a file whose cgroup was removed: before it was opened, or after."""

_CHUNK = 1 << 16


def read(path: str) -> str:
    """Return the content of a file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return read_fd(fd)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)


def read_fd(fd: int) -> str:
    """Return what is left to read of an open file. Raises OSError."""
    content = os.read(fd, _CHUNK)
    if len(content) < 4096:  # noqa: PLR2004 - seq_file gives a page at a time, so this was all
        return content.decode()
    while chunk := os.read(fd, _CHUNK):
        content += chunk
    return content.decode()


def read_if_there(path: str) -> str | None:
    """Return the content of a file, or None when it or its cgroup doesn't exist. Raises OSError."""
    try:
        return read(path)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def write(path: str, *texts: str) -> None:
    """Write to an existing file, each text with a write(2) of its own. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        for text in texts:
            os.write(fd, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)


def integers(content: str) -> list[int]:
    """Return the numbers of a file with one on each line, such as cgroup.procs."""
    return [int(word) for word in content.split()]


def flat_keyed(content: str) -> dict[str, int]:
    """Return a flat keyed file (`KEY VALUE` lines; cgroup-v2.rst, "Format"); `max` is -1."""
    pairs: Iterable[list[str]] = (line.split() for line in content.splitlines())
    return {pair[0]: -1 if pair[1] == "max" else int(pair[1]) for pair in pairs if len(pair) == 2}  # noqa: PLR2004
