# SPDX-License-Identifier: Apache-2.0
"""What engines do in a room stays there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engines.leftovers import Leftovers
from tests.engines.room import Room
from tests.support import hierarchies, waiting
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [requires("root", "tini", "ip"), pytest.mark.slow]

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as room:
        yield room


def test_the_machines_network_and_run_are_not_the_rooms(room: Room) -> None:
    forwarding = FORWARDING.read_text()
    room.run("sh", "-c", f"echo 1 >{FORWARDING}; ip link add ship0 type bridge; mkdir /run/ship")
    assert FORWARDING.read_text() == forwarding
    assert "ship0:" not in Path("/proc/net/dev").read_text()
    assert not Path("/run/ship").exists()
    assert room.path("/run/ship").is_dir()


def test_the_rooms_cgroup_looks_like_the_root(room: Room) -> None:
    lines = room.run("cat", "/proc/self/cgroup").stdout.split()
    assert {line.partition(":")[2].partition(":")[2] for line in lines} <= {"/", "/room"}
    pids = hierarchies.directory("pids", "/") if hierarchies.mode() != "v2" else None
    if pids is not None:
        room.run("mkdir", pids / "made")
        assert (pids / room.cgroup.lstrip("/") / "made").is_dir()
        assert room.cgroups() == {"made"}


@pytest.mark.v2
@requires("cgroup2")
def test_all_controllers_are_the_rooms(room: Room) -> None:
    top = hierarchies.mountpoints()["v2"]
    room.run("mkdir", top / "made")
    made = top / room.cgroup.lstrip("/") / "made"
    controllers = (top / "cgroup.controllers").read_text()
    assert (made / "cgroup.controllers").read_text() == controllers


def test_all_that_runs_in_a_room_ends_with_it(tmp_path: Path) -> None:
    with Room(tmp_path) as room:
        daemon = room.spawn("sh", "-c", "sleep 1000 & exec sleep 1000", output=tmp_path / "log")
        room.run("sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 &")
        pids = set(room.processes())
        assert len(pids) >= 4
    daemon.wait(waiting.limit(20))
    for pid in pids:
        waiting.ended(pid)
    assert hierarchies.below(room.cgroup) == []


def test_what_is_left_in_a_room_is_found(room: Room, tmp_path: Path) -> None:
    states = Path("/run/states")
    leftovers = Leftovers(room, states)
    leftovers.check()
    top = next(iter(hierarchies.mountpoints().values()))
    room.run("mkdir", "-p", states / "one", top / "left", tmp_path / "mounted")
    room.run("mount", "-t", "tmpfs", "tmpfs", tmp_path / "mounted")
    with pytest.raises(AssertionError) as raised:
        leftovers.check()
    text = str(raised.value)
    assert f"mount {tmp_path}/mounted" in text
    assert "cgroup left" in text
    assert "state " in text
