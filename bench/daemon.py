# SPDX-License-Identifier: Apache-2.0
"""orlopd over its socket: a container's life, requests, many containers, and doing nothing."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench import shims
from bench.measure import Row, interleave
from bench.workplace import have_memory
from tests.supervisor.conftest import Orlopd
from tests.support import waiting

if TYPE_CHECKING:
    from bench.workplace import Workplace
    from tests.supervisor.conftest import Client

RUN = [
    Row("daemon-run", "container.run, to the program's end"),
    Row("daemon-exec", "container.exec, to the program's end"),
]
REQUESTS = Row("requests", "system.ping, one client", "1/s")
MANY_REQUESTS = Row("requests-50", "system.ping, 50 clients", "1/s")
GROWTH = [
    Row("growth-first", "create to started, of the first 20 containers"),
    Row("growth-last", "the same, of the last 20"),
]
IDLE = Row("idle", "CPU of orlopd and its shims with all containers idle", "%")
_PINGS = 2000
_CLIENTS = 50
_EDGE = 20
_IDLE_SECONDS = 10
_REST = 2.5  # seconds until shims that nobody asks have given memory back (shim.daemon)
_TICKS = os.sysconf("SC_CLK_TCK")
_NAME = "orlopd"


def measure(place: Workplace) -> None:
    """All rows."""
    orlopd = Orlopd()
    orlopd.start()
    try:
        client = orlopd.client()
        _lives(place, client)
        _requests(place, orlopd, client)
        _many(place, orlopd, client)
    finally:
        orlopd.close()


def _lives(place: Workplace, client: Client) -> None:
    bundle = place.bundle("daemon", "true")
    service = place.bundle("daemon-service", "sleep")
    client.call("container.run", id="service", bundle=str(service.path))

    def run() -> dict[str, float]:
        name = f"d{place.number()}"
        begin = time.perf_counter()
        client.call("container.run", id=name, bundle=str(bundle.path))
        client.call("container.wait", id=name)
        took = time.perf_counter() - begin
        client.call("container.delete", id=name)
        return {"daemon-run": took * 1000}

    def execute() -> dict[str, float]:
        begin = time.perf_counter()
        made = client.call("container.exec", id="service", args=["/bin/probe", "true"])
        client.call("container.wait", id="service", exec=made["exec"])
        return {"daemon-exec": (time.perf_counter() - begin) * 1000}

    interleave(place.results, RUN[:1], {_NAME: run}, place.rounds)
    interleave(place.results, RUN[1:], {_NAME: execute}, place.rounds)
    client.call("container.delete", id="service", force=True)


def _requests(place: Workplace, orlopd: Orlopd, client: Client) -> None:
    def rate(count: int, clients: list[Client]) -> float:
        def ping(one: Client) -> None:
            for _ in range(count // len(clients)):
                one.call("system.ping")

        begin = time.perf_counter()
        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(ping, clients))
        return count / (time.perf_counter() - begin)

    fifty = [orlopd.client() for _ in range(_CLIENTS)]
    for row, clients in ((REQUESTS, [client]), (MANY_REQUESTS, fifty)):
        place.results.add(row, _NAME, [rate(_PINGS, clients) for _ in range(3)])
    for each in fifty:
        each.close()


def _many(place: Workplace, orlopd: Orlopd, client: Client) -> None:
    """Up to place.most containers: what each costs in time and memory, and all of them idle."""
    took = []
    for number in range(1, place.most + 1):
        bundle = place.bundle(f"many-{number}", "sleep")
        have_memory()
        begin = time.perf_counter()
        client.call("container.run", id=f"m{number}", bundle=str(bundle.path))
        took.append((time.perf_counter() - begin) * 1000)
        if number in (1, 100, 500, place.most):
            _memory(place, orlopd, number)
    for row, values in zip(GROWTH, (took[:_EDGE], took[-_EDGE:]), strict=True):
        place.results.add(row, _NAME, values)
    place.results.add(IDLE, _NAME, [_idle(orlopd)])
    for number in range(place.most, 0, -1):
        client.call("container.delete", id=f"m{number}", force=True)


def _memory(place: Workplace, orlopd: Orlopd, count: int) -> None:
    time.sleep(waiting.limit(_REST))
    found = [shims.memory(pid) for pid in orlopd.shims()]
    pss, private = (sum(values) / count for values in zip(*found, strict=True))
    everything = sum(each[0] for each in found) + shims.memory(orlopd.pid)[0]
    for key, title, value in (
        ("pss", "memory of an idle shim (PSS)", pss),
        ("private", "private memory of an idle shim", private),
        ("everything", "memory of orlopd and all shims (PSS)", everything),
    ):
        row = Row(f"{key}-{count}", f"{title}, {count} containers", "MB")
        place.results.add(row, _NAME, [value])


def _idle(orlopd: Orlopd) -> float:
    """Percent of one processor."""
    pids = [orlopd.pid, *orlopd.shims()]
    before = sum(map(_ticks, pids))
    time.sleep(waiting.limit(_IDLE_SECONDS))
    return (sum(map(_ticks, pids)) - before) / _TICKS / waiting.limit(_IDLE_SECONDS) * 100


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])
