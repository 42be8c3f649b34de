# SPDX-License-Identifier: Apache-2.0
"""ps and events: what a container's processes are and use, and in the words of runc."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import waiting
from tests.support.features import requires
from tests.support.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [pytest.mark.root, pytest.mark.v2, requires("root")]

_MIB = 1 << 20


def sleeping(container: Container) -> int:
    container.bundle.args("sleep")
    container.run_detached()
    return container.pid


def usage(container: Container) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(container.cli("events", "--stats", container.id).stdout)
    assert (event["type"], event["id"]) == ("stats", container.id)
    data: dict[str, Any] = event["data"]
    return data


def shape(value: object) -> object:
    """The members of an object, at any depth, without the values and the pressure."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items() if name != "psi"}
    return None


def test_ps_json_is_the_pids_on_one_line(container: Container) -> None:
    pid = sleeping(container)
    assert container.cli("ps", "--format", "json", container.id).stdout == f"[{pid}]\n"


def test_ps_shows_the_containers_processes_alone(container: Container) -> None:
    if subprocess.run(["ps", "-ef"], check=False, capture_output=True).returncode:
        pytest.skip("ps -ef doesn't work here: User Mode Linux tells no boot time")
    pid = sleeping(container)
    heading, line = container.cli("ps", container.id).stdout.splitlines()
    column = heading.split().index("PID")
    assert (line.split()[column], "probe" in line) == (str(pid), True)


def test_ps_takes_the_options_of_ps(container: Container) -> None:
    pid = sleeping(container)
    lines = container.cli("ps", container.id, "-e", "-o", "pid,comm").stdout.splitlines()
    assert [line.split() for line in lines] == [["PID", "COMMAND"], [str(pid), "probe"]]


def test_ps_options_without_the_pids_are_refused(container: Container) -> None:
    sleeping(container)
    done = container.cli("ps", container.id, "-e", "-o", "comm", check=False)
    assert (done.returncode, "couldn't find PID field" in done.stderr) == (1, True)


def test_ps_of_a_stopped_container_is_null_in_json(container: Container) -> None:
    sleeping(container)
    container.kill("KILL")
    container.wait()
    assert container.cli("ps", "-f", "json", container.id).stdout == "null\n"


def test_stats_tell_what_a_container_has(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 64 * _MIB}
    container.bundle.resources["pids"] = {"limit": 17}
    sleeping(container)
    data = usage(container)
    assert data["pids"] == {"current": 1, "limit": 17}
    assert data["memory"]["usage"]["limit"] == 64 * _MIB
    assert 0 < data["memory"]["usage"]["usage"] < 64 * _MIB
    assert data["cpu"]["usage"]["total"] > 0
    assert data["network_interfaces"] is None


@requires("runc")
def test_stats_have_the_members_that_runc_prints(
    container: Container, make_bundle: Callable[[], Bundle], tmp_path: Path
) -> None:
    sleeping(container)
    directory = tmp_path / "peer"
    directory.mkdir()
    peer, bundle = Peer(directory), make_bundle().args("sleep")
    bundle.write()
    name = f"peer-{container.id}"
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        peer("run", "--detach", "--bundle", bundle.path, name, stdout=nowhere)
        theirs = json.loads(peer("events", "--stats", name).stdout)["data"]
    finally:
        peer("delete", "--force", name)
        os.close(nowhere)
    ours = usage(container)
    assert shape(ours["cpu"]["usage"]) == shape(theirs["cpu"]["usage"])
    for each in (ours, theirs):
        each["memory"].pop("cache", None)  # left out where it happens to be 0
        each["memory"]["usage"].pop("max", None)  # on v2: memory.peak, younger than runc 1.1
    for name in ("cpuset", "memory", "pids", "intel_rdt", "network_interfaces"):
        assert shape(ours[name]) == shape(theirs[name])
    assert list(ours) == list(theirs)


def test_stats_of_a_stopped_container_are_refused(container: Container) -> None:
    sleeping(container)
    container.kill("KILL")
    container.wait()
    done = container.cli("events", "--stats", container.id, check=False)
    assert (done.returncode, "is not running" in done.stderr) == (1, True)


@pytest.mark.parametrize("interval", ["0s", "-1s", "soon", "5", ""])
def test_an_interval_that_is_no_duration_is_refused(container: Container, interval: str) -> None:
    sleeping(container)
    done = container.cli("events", f"--interval={interval}", container.id, check=False)
    assert (done.returncode, "interval" in done.stderr) == (1, True)


def test_events_print_usage_at_intervals_and_end_with_the_container(container: Container) -> None:
    sleeping(container)
    with follow(container, "20ms") as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        container.kill("KILL")
        assert process.wait(waiting.limit(20)) == 0
    assert [line["type"] for line in lines] == ["stats", "stats"]


def test_the_oom_killer_is_an_event(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 16 * _MIB, "swap": 16 * _MIB}
    container.bundle.args("mem", str(64 * 1024))
    container.create()
    with follow(container, "20ms") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "stats"  # it watches
        container.start()
        rest = [json.loads(line) for line in process.stdout]
        assert process.wait(waiting.limit(20)) == 0
    assert {"type": "oom", "id": container.id} in rest


def follow(container: Container, interval: str) -> subprocess.Popen[str]:
    command = container.cli.command("events", "--interval", interval, container.id)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
