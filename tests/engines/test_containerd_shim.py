# SPDX-License-Identifier: Apache-2.0
"""containerd drives our shim: `ctr run --runtime` names its program."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.engines import image
from tests.engines.client import Terminal
from tests.engines.containerd import SNAPSHOTTER, Containerd
from tests.support.features import requires
from tests.support.waiting import ended

pytestmark = [requires("root", "containerd"), pytest.mark.slow]

SHIM = Path(sys.executable).with_name("containerd-shim-orlop-v1")
SERVICE = ("sh", "-c", "trap 'exit 4' TERM; sleep 1000 & mkfifo /up; while :; do wait; done")


def words(*options: str) -> list[str]:
    """`ctr run` with our shim, up to and with the image."""
    return ["run", "--snapshotter", SNAPSHOTTER, "--runtime", str(SHIM), *options, image.NAME]


@pytest.fixture
def service(containerd: Containerd) -> str:
    """A running task, by its name; its program is ready for signals."""
    containerd(*words("--detach"), "service", *SERVICE)
    containerd(*exec_words("ready"), "until test -p /up; do :; done")
    return "service"


def exec_words(exec_id: str) -> list[str]:
    """`ctr task exec` of a shell's command in the service."""
    return ["task", "exec", "--exec-id", exec_id, "service", "sh", "-c"]


def shims(containerd: Containerd) -> list[int]:
    """The shims that live, as pids of the machine's."""
    found = containerd.room.processes().items()
    return [pid for pid, command in found if SHIM.name in command]


def test_input_output_and_status_pass(containerd: Containerd) -> None:
    command = "read line; echo $line; echo err >&2; exit 3"
    result = containerd(*words("--rm"), "once", "sh", "-c", command, stdin="in\n", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (3, "in\n", "err\n")


def test_a_program_that_is_not_there_is_named(containerd: Containerd) -> None:
    result = containerd(*words("--rm"), "once", "nope", check=False)
    assert result.returncode != 0
    assert 'exec: "nope": executable file not found in $PATH' in result.stderr


def test_a_terminal_is_the_containers(containerd: Containerd) -> None:
    command = containerd.client(*words("--rm", "--tty"), "tty", "tty")
    with Terminal(command) as terminal:
        status, text = terminal.end()
    assert (status, text.strip()) == (0, "/dev/pts/0")


def test_the_shim_is_ours_and_no_runc_is_called(containerd: Containerd, service: str) -> None:
    (shim,) = shims(containerd)
    status = Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
    commands = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in status]
    assert commands == ["sh"]
    assert containerd.status(service) == "RUNNING"


def test_exec_pause_and_metrics(containerd: Containerd, service: str) -> None:
    result = containerd(*exec_words("e1"), "echo in; exit 5", check=False)
    assert (result.returncode, result.stdout) == (5, "in\n")
    containerd("task", "pause", service)
    assert containerd.status(service) == "PAUSED"
    containerd("task", "resume", service)
    metrics = containerd("task", "metrics", service).stdout
    assert re.search(r"pids\.current +[23]\b", metrics)
    assert int(re.findall(r"memory\.usage\w* +(\d+)", metrics)[0]) > 0
    containerd("task", "delete", "--force", service)
    assert containerd.status(service) == ""


def test_events_come_in_order(containerd: Containerd) -> None:
    with containerd.events() as lines:
        containerd(*words("--rm"), "once", "true")
        for topic in ("create", "start", "exit", "delete"):
            assert "once" in lines.until(f"/tasks/{topic} ")


def test_a_restarted_containerd_finds_the_task(own_containerd: Containerd) -> None:
    own_containerd(*words("--detach"), "service", *SERVICE)
    (shim,) = shims(own_containerd)
    own_containerd.daemon.stop(signal.SIGKILL)
    own_containerd.daemon.start()
    assert own_containerd.status("service") == "RUNNING"
    assert shims(own_containerd) == [shim]
    own_containerd(*exec_words("again"), "exit 0")
    own_containerd("task", "delete", "--force", "service")
    ended(shim)


def test_a_killed_shim_leaves_nothing(containerd: Containerd, service: str) -> None:
    (shim,) = shims(containerd)
    os.kill(shim, 9)
    ended(shim)
    containerd("task", "delete", "--force", service, check=False)
    containerd("container", "remove", service)
    assert containerd.status(service) == ""
