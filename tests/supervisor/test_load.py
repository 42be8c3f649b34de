# SPDX-License-Identifier: Apache-2.0
"""Many clients, many containers, for long: latencies as a table, and nothing that grows.

`make load` is the long one: LOAD_CONTAINERS alive at once, LOAD_SECONDS of run and delete. The
table is what it is on this machine; what is asserted are counts.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import hierarchies
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

CLIENTS = 300
CONTAINERS = int(os.environ.get("LOAD_CONTAINERS", "30"))
SECONDS = float(os.environ.get("LOAD_SECONDS", "15"))
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(SECONDS + 1200)]
_MIB = 1 << 20


class Times:
    """How long calls took, by method."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def call(self, client: Client, method: str, **params: object) -> Any:  # noqa: ANN401
        began = time.monotonic()
        result = client.call(method, **params)
        self.seconds.setdefault(method, []).append(time.monotonic() - began)
        return result

    def table(self) -> str:
        """Milliseconds."""
        lines = [f"{'method':<20} {'calls':>7} {'median':>8} {'p95':>8} {'worst':>8}"]
        for method, taken in sorted(self.seconds.items()):
            order = sorted(taken)
            figures = (statistics.median(order), order[len(order) * 95 // 100], order[-1])
            shown = " ".join(f"{1000 * figure:8.1f}" for figure in figures)
            lines.append(f"{method:<20} {len(order):>7} {shown}")
        return "\n".join(lines)


class Use:
    """What orlopd and its containers use of the machine."""

    def __init__(self, orlopd: Orlopd, cgroup: str) -> None:
        process = Path(f"/proc/{orlopd.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        self.memory = int(status["VmRSS"].split()[0]) << 10
        self.descriptors = len(list((process / "fd").iterdir()))
        self.children = len((process / "task" / str(orlopd.pid) / "children").read_text().split())
        self.cgroups = len(hierarchies.below(cgroup))
        mounts = (process / "mountinfo").read_text()
        self.mounts = sum(str(orlopd.root) in line for line in mounts.splitlines())


def hang_up(client: Client) -> None:
    """Go away, and wait until orlopd has seen it."""
    client.socket.settimeout(limit(30))
    client.socket.shutdown(socket.SHUT_WR)
    while client.socket.recv(_MIB):
        pass  # what was not read


def test_hundreds_of_clients_are_served_among_hostile_ones(
    orlopd: Orlopd, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * CLIENTS)), hard))
    before = Use(orlopd, "/nowhere")
    half = b'{"jsonrpc":"2.0","id":1,"method":"system.ping","params":{'
    hostile = [orlopd.client() for _ in range(60)]
    for number, each in enumerate(hostile):
        each.socket.setblocking(False)  # noqa: FBT003 - takes no keyword
        try:
            if number % 3 == 0:
                each.socket.send(half)  # and never the rest
            elif number % 3 == 1:
                each.socket.send(half + b" " * (900 << 10))
            else:
                line = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n'
                each.socket.send(line * 2000)  # and never reads
        except BlockingIOError:
            pass
    clients, times = [orlopd.client() for _ in range(CLIENTS)], Times()
    asked = [(client, client.begin("container.list")) for client in clients for _ in range(5)]
    assert [client.finish(number) for client, number in asked] == [[]] * len(asked)
    for client in clients:
        assert times.call(client, "system.ping") == "pong"
    loaded = Use(orlopd, "/nowhere")
    with capsys.disabled():
        print(f"\n{times.table()}")  # noqa: T201
    # a line of 1 MiB and answers of some 100 KiB for each of the hostile ones
    assert loaded.memory - before.memory < 150 * _MIB
    for each in (*clients, *hostile):
        hang_up(each)
    assert Use(orlopd, "/nowhere").descriptors <= before.descriptors + 1


def test_so_many_containers_live_at_once(
    orlopd: Orlopd, make_bundle: Callable[[], Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    client, times = orlopd.client(), Times()
    for number in range(CONTAINERS):
        bundle = make_bundle().args("sleep")
        bundle.write()
        times.call(client, "container.run", id=f"c{number}", bundle=str(bundle.path))
    assert len(times.call(client, "container.list", status="running")) == CONTAINERS
    client = orlopd.restart()
    assert len(client.call("container.list", status="running")) == CONTAINERS
    for number in range(CONTAINERS):
        times.call(client, "container.delete", id=f"c{number}", force=True)
    with capsys.disabled():
        print(f"\n{CONTAINERS} containers at once\n{times.table()}")  # noqa: T201
    orlopd.shims_end()


def test_run_and_delete_for_long_lets_nothing_grow(
    orlopd: Orlopd, make_bundle: Callable[[], Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle().args("true")
    bundle.write()
    client, times, number = orlopd.client(), Times(), 0

    def once() -> None:
        nonlocal number
        number += 1
        times.call(client, "container.run", id=f"c{number}", bundle=str(bundle.path))
        times.call(client, "container.wait", id=f"c{number}")
        times.call(client, "container.delete", id=f"c{number}")

    for _ in range(20):
        once()  # what is made once, is made
    before = Use(orlopd, bundle.cgroup)
    end = time.monotonic() + limit(SECONDS)
    while time.monotonic() < end:
        once()
    orlopd.shims_end()
    after = Use(orlopd, bundle.cgroup)
    with capsys.disabled():
        print(f"\n{number} containers, {before.memory >> 10} KiB, then {after.memory >> 10} KiB")  # noqa: T201
        print(times.table())  # noqa: T201
    assert after.descriptors <= before.descriptors
    assert after.children <= before.children
    assert (after.cgroups, after.mounts) == (before.cgroups, before.mounts)
    assert after.memory - before.memory < 8 * _MIB
    assert list((orlopd.root / "logs").iterdir()) == list((orlopd.root / "s").iterdir()) == []
