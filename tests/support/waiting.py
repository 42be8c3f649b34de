# SPDX-License-Identifier: Apache-2.0
"""Waiting without sleeping, never for ever."""

from __future__ import annotations

import os
import select

#: Emulated guests are some 20 times slower: ORLOP_TEST_SLOWNESS scales every limit.
SLOWNESS = float(os.environ.get("ORLOP_TEST_SLOWNESS", "1"))


def limit(seconds: float) -> float:
    """`seconds`, scaled to this machine."""
    return seconds * SLOWNESS


def pidfd(pid: int) -> int:
    """A pidfd of `pid` (pidfd_open(2)), to be closed by the caller. Raises ProcessLookupError."""
    return os.pidfd_open(pid)


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
