# SPDX-License-Identifier: Apache-2.0
"""What orlopd counts about itself: requests and how long they took, events, exits, restarts."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from supervisor import failure

if TYPE_CHECKING:
    from supervisor.journal import Journal

#: Upper ends of the latencies' ranges, in seconds; what took longer is in the sum alone.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_OTHERS = "(none of them)"  # what a client makes up must not become a name that is kept
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Latency:
    """How long one method took."""

    __slots__ = ("counts", "number", "total")

    def __init__(self) -> None:
        self.number = 0
        self.total = 0.0
        self.counts = [0] * len(BUCKETS)

    def add(self, seconds: float) -> None:
        """One more."""
        self.number += 1
        self.total += seconds
        for index, most in enumerate(BUCKETS):
            if seconds <= most:
                self.counts[index] += 1

    def figures(self) -> dict[str, Any]:
        """For `system.metrics`. buckets: [upper end in seconds, how many took no longer]."""
        pairs = [list(pair) for pair in zip(BUCKETS, self.counts, strict=True)]
        return {"count": self.number, "seconds": self.total, "buckets": pairs}


class Meter:
    """Counters since the start, and a line in the journal where something is worth one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._requests: Counter[tuple[str, int]] = Counter()
        self._latencies: dict[str, Latency] = {}
        self.connections = 0
        self.events: Counter[str] = Counter()

    def answered(self, method: str, began: float, error: failure.Failure | None) -> None:
        """A request was. began: time.monotonic() then; error: what it was answered with."""
        seconds = time.monotonic() - began
        code = error.code if error else 0
        known = _OTHERS if code == failure.METHOD_NOT_FOUND else method
        self._requests[known, code] += 1
        self._latencies.setdefault(known, Latency()).add(seconds)
        self._journal.debug("request", method=known, code=code, seconds=round(seconds, 6))
        if error is not None and code == failure.INTERNAL_ERROR:
            self._journal.error("a request met a fault", error.__cause__ or error, method=known)

    def happened(self, topic: str, container: str, data: dict[str, object]) -> None:
        """An event was recorded."""
        self.events[topic] += 1
        self._journal.info(topic, container=container, **data)

    def figures(self) -> dict[str, Any]:
        """All of it, with this process's own."""
        requests = [{"method": method, "code": code, "count": number}
                    for (method, code), number in sorted(self._requests.items())]  # fmt: skip
        latencies = {name: self._latencies[name].figures() for name in sorted(self._latencies)}
        return {
            "requests": requests,
            "latencies": latencies,
            "events": dict(sorted(self.events.items())),
            "connections": self.connections,
            "process": _process(),
        }


def _process() -> dict[str, int | float]:
    """This process: memory in bytes, open descriptors, CPU in seconds."""
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * _PAGE
    used = os.times()
    return {
        "memory": resident,
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,
        "cpu": used.user + used.system,
    }
