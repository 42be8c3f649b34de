# SPDX-License-Identifier: Apache-2.0
"""Processes by identity: a pid alone may be somebody else's by now.

A process is named by its pid, its start time and the boot that both belong to (proc_pid_stat(5)).
"""

from __future__ import annotations

import errno
import os

from runtime.host import read_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ZOMBIE = ("Z", "X")


def boot_id() -> str:
    """This boot's identity (random(4))."""
    return read_small("/proc/sys/kernel/random/boot_id").strip()


def stat(pid: int) -> tuple[str, int]:
    """State letter and start time (clock ticks since boot), the same for all who ask.

    The kernel shifts it by the reader's own time namespace (time_namespaces(7)). Raises
    ProcessLookupError.
    """
    try:
        text = read_small(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(3, "no such process") from None
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19]) - _boot_shift()


def runs(pid: int) -> bool:
    """Whether a process has this pid and has not ended: a zombie has."""
    try:
        return stat(pid)[0] not in _ZOMBIE
    except ProcessLookupError:
        return False


def _boot_shift() -> int:
    """Clock ticks by which our time namespace moves CLOCK_BOOTTIME."""
    try:
        text = read_small("/proc/self/timens_offsets")
    except FileNotFoundError:
        return 0  # a kernel without time namespaces
    for line in text.splitlines():
        clock, seconds, nanoseconds = line.split()
        if clock in ("boottime", "7"):
            ticks = os.sysconf("SC_CLK_TCK")
            return int(seconds) * ticks + int(nanoseconds) * ticks // 1_000_000_000
    return 0


def pid_inside(pid: int) -> int:
    """The process's pid in its own pid namespace: the last of NSpid (proc_pid_status(5))."""
    for line in read_small(f"/proc/{pid}/status").splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return pid


class Identity:
    """A process, for good."""

    __slots__ = ("boot", "pid", "start_time")

    def __init__(self, pid: int, start_time: int, boot: str) -> None:
        self.pid = pid
        self.start_time = start_time
        self.boot = boot

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The process that has this pid now. Raises ProcessLookupError."""
        return cls(pid, stat(pid)[1], boot_id())

    @classmethod
    def load(cls, saved: Mapping[str, object]) -> Identity:
        """From `save`'s form."""
        return cls(int(str(saved["pid"])), int(str(saved["startTime"])), str(saved["bootId"]))

    def save(self) -> dict[str, object]:
        """As it is kept in the state."""
        return {"pid": self.pid, "startTime": self.start_time, "bootId": self.boot}

    def is_alive(self) -> bool:
        """Whether it still runs: a zombie has ended."""
        try:
            state, start_time = stat(self.pid)
        except ProcessLookupError:
            return False
        return start_time == self.start_time and state not in _ZOMBIE and self.boot == boot_id()

    def open(self) -> int:
        """A pidfd of exactly this process. Raises ProcessLookupError where it has ended."""
        try:
            fd = os.pidfd_open(self.pid)
        except OSError as error:
            # a thread has the number now (Linux says ENOENT or EINVAL), or nobody
            if error.errno in (errno.ENOENT, errno.EINVAL, errno.ESRCH):
                raise ProcessLookupError(3, "no such process") from None
            raise
        if self.is_alive():
            return fd
        os.close(fd)
        raise ProcessLookupError(3, "no such process")
