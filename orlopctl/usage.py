# SPDX-License-Identifier: Apache-2.0
"""What a container uses per second, from two looks at it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orlop.types import Stats

_DAY = 86400
_PER_CENT = 1e7  # nanoseconds a second


class Usage:
    """cpu: per cent of one processor. memory, limit: bytes. read, written: bytes a second.

    seen: when it came. Rates are 0 at the first look.
    """

    __slots__ = ("cpu", "limit", "memory", "name", "pids", "read", "seen", "stats", "written")

    def __init__(self, name: str, stats: Stats, seen: float, before: Usage | None) -> None:
        self.name = name
        self.stats = stats
        self.seen = seen
        memory = stats["memory"]
        self.memory = memory.get("workingSet") or memory["usage"] or 0
        self.limit = stats["memory"].get("limit")
        self.pids = stats["pids"]["current"] or 0
        self.cpu = self.read = self.written = 0.0
        if before is not None:
            passed = (_clock(stats["time"]) - _clock(before.stats["time"])) % _DAY
            self._rates(before.stats, passed)

    def _rates(self, before: Stats, passed: float) -> None:
        if not passed:
            return
        now = self.stats
        self.cpu = _rate(now["cpu"]["usage"], before["cpu"]["usage"], passed) / _PER_CENT
        self.read = _rate(now["io"]["read"], before["io"]["read"], passed)
        self.written = _rate(now["io"]["written"], before["io"]["written"], passed)

    def by(self, column: str) -> float:
        """What it is sorted by."""
        if column == "cpu":
            return self.cpu
        if column == "memory":
            return float(self.memory)
        return self.read + self.written if column == "io" else float(self.pids)


def _rate(now: int | None, before: int | None, passed: float) -> float:
    """A second; 0 where it isn't counted, or counts from 0 again."""
    return max(0.0, ((now or 0) - (before or 0)) / passed)


def _clock(time: str) -> float:
    """The seconds of its day, of a time of RFC 3339 in UTC."""
    hours, minutes, seconds = time[11:].removesuffix("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
