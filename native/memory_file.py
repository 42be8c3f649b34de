# SPDX-License-Identifier: Apache-2.0
"""A file without a name, in memory or, where memfd_create is denied, on a tmpfs."""

from __future__ import annotations

import errno
import os

_DIRECTORIES = ("/dev/shm", "/run", "/tmp")  # noqa: S108 - O_TMPFILE has no name to be guessed


def memory_file(name: str, data: bytes) -> int:
    """A close-on-exec descriptor of a new file with this content, at its start. Raises OSError."""
    fd = _create(name)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _create(name: str) -> int:
    try:
        return os.memfd_create(name, os.MFD_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
            raise
        refused = error
    for directory in _DIRECTORIES:
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            continue
    raise refused
