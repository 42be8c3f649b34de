# SPDX-License-Identifier: Apache-2.0
"""Waiting without sleeping, never for ever."""

from __future__ import annotations

import ctypes
import errno
import os
import select
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

#: Emulated guests are some 20 times slower: ORLOP_TEST_SLOWNESS scales every limit.
SLOWNESS = float(os.environ.get("ORLOP_TEST_SLOWNESS", "1"))

_MOVED_TO, _DELETE_SELF = 0x80, 0x400  # sys/inotify.h


def limit(seconds: float) -> float:
    """`seconds`, scaled to this machine."""
    return seconds * SLOWNESS


def pidfd(pid: int) -> int:
    """A pidfd of `pid` (pidfd_open(2)), to be closed by the caller. Raises ProcessLookupError."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.EINVAL:  # Linux 6.1: it is being reaped just now
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error
        raise


def ended(pid: int, seconds: float = 20) -> None:
    """Wait until process `pid`, a child or not, has ended. Raises TimeoutError."""
    try:
        fd = pidfd(pid)
    except ProcessLookupError:
        return
    try:
        readable(fd, seconds, f"process {pid} to end")
    finally:
        os.close(fd)


def readable(fd: int, seconds: float, what: str) -> None:
    """Wait until `fd` can be read, or its other end is closed. Raises TimeoutError."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(limit(seconds) * 1000):
        raise TimeoutError(f"waited {limit(seconds):g} s for {what}")


def removed(path: Path, seconds: float = 30) -> None:
    """Wait until a directory has been removed, renamed before or not. Raises TimeoutError."""
    try:
        watch = _inotify(path, _DELETE_SELF)
    except FileNotFoundError:
        return
    try:
        readable(watch, seconds, f"{path} to be removed")
    finally:
        os.close(watch)


class Replacements:
    """Files of a directory that are replaced by others (inotify(7)), in a `with` statement."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        self._fd = _inotify(self._directory, _MOVED_TO)
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)

    def next(self) -> None:
        """Wait for the next ones since `with`, or since the last call. Raises TimeoutError."""
        readable(self._fd, 30, f"a new file in {self._directory}")
        os.read(self._fd, 65536)


def _inotify(path: Path, mask: int) -> int:
    """An inotify descriptor that watches `path` (inotify(7)). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.inotify_init1(os.O_CLOEXEC)
    if libc.inotify_add_watch(fd, os.fsencode(path), mask) < 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, os.strerror(number), str(path))
    return fd
