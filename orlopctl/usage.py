# SPDX-License-Identifier: Apache-2.0
"""What a container uses per second, from two looks at it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orlop.types import Stats

_DAY = 86400


class Usage:
    """cpu: per cent of one processor. memory, limit: bytes. read, written: bytes a second.

    seen: when it came. Rates are 0 at the first look.
    """

    __slots__ = ("cpu", "limit", "memory", "name", "pids", "read", "seen", "stats", "written")

    def __init__(self, name: str, stats: Stats, seen: float, before: Usage | None) -> None:
        self.name = name
        self.stats = stats
        self.seen = seen
        self.memory = stats["memory"].get("workingSet", stats["memory"]["usage"])
        self.limit = stats["memory"].get("limit")
        self.pids = stats["pids"]["current"]
        self.cpu = self.read = self.written = 0.0
        if before is not None:
            passed = (_clock(stats["time"]) - _clock(before.stats["time"])) % _DAY
            self._rates(before.stats, passed)

    def _rates(self, before: Stats, passed: float) -> None:
        if not passed:
            return
        now = self.stats
        # A container that began again counts from 0.
        self.cpu = max(0.0, (now["cpu"]["usage"] - before["cpu"]["usage"]) / passed / 1e7)
        self.read = max(0.0, (now["io"]["read"] - before["io"]["read"]) / passed)
        self.written = max(0.0, (now["io"]["written"] - before["io"]["written"]) / passed)

    def by(self, column: str) -> float:
        """What it is sorted by."""
        if column == "cpu":
            return self.cpu
        if column == "memory":
            return float(self.memory)
        return self.read + self.written if column == "io" else float(self.pids)


def _clock(time: str) -> float:
    """The seconds of its day, of a time of RFC 3339 in UTC."""
    hours, minutes, seconds = time[11:].removesuffix("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
