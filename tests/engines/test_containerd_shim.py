# SPDX-License-Identifier: Apache-2.0
"""`ctr` over our shim: what containerd's own shim has no counterpart of in test_containerd.py."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.engines.calls import CallError
from tests.engines.client import Terminal
from tests.engines.runtime import shim
from tests.engines.task import Task
from tests.engines.tree import outside, shim_of
from tests.support.features import requires
from tests.support.waiting import ended, readable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.calls import Calls
    from tests.engines.containerd import Containerd

pytestmark = [requires("root", "containerd"), pytest.mark.slow]

SERVICE = ("sh", "-c", "trap 'exit 4' TERM; sleep 1000 & mkfifo /up; while :; do wait; done")


@pytest.fixture
def service(containerd: Containerd) -> str:
    """A running task, by its name; its program is ready for signals."""
    containerd.run(shim(), "service", *SERVICE, options=("--detach",))
    containerd(*exec_words("ready"), "until test -p /up; do :; done")
    return "service"


def exec_words(exec_id: str, *options: str) -> list[str]:
    """`ctr task exec` of a shell's command in the service."""
    return ["task", "exec", "--exec-id", exec_id, *options, "service", "sh", "-c"]


def test_the_shim_is_ours_and_no_runc_is_called(containerd: Containerd, service: str) -> None:
    shim_of(containerd.room, containerd.pid(service))
    containerd(*exec_words("more"), "true")
    containerd("task", "delete", "--force", service)
    assert containerd.offered.runc_calls() == []


def test_metrics_are_those_of_its_cgroup(containerd: Containerd, service: str) -> None:
    metrics = containerd("task", "metrics", service).stdout
    assert re.search(r"pids\.current +[23]\b", metrics)
    assert int(re.findall(r"memory\.usage\w* +(\d+)", metrics)[0]) > 0


def test_events_come_in_order(containerd: Containerd) -> None:
    with containerd.events() as lines:
        containerd.run(shim(), "service", *SERVICE, options=("--detach",))
        containerd(*exec_words("e1"), "until test -p /up; do :; done; exit 3", check=False)
        containerd("task", "pause", "service")
        containerd("task", "resume", "service")
        containerd("task", "delete", "--force", "service", check=False)
        seen = [
            re.findall(r"/tasks/(\S+) .*?(?:\"exec_id\":\"(\w+)\".*)?$", lines.until("/tasks/"))[0]
            for _ in range(9)
        ]
    assert [topic for topic, _ in seen] == [
        *("create", "start", "exec-added", "exec-started", "exit"),
        *("paused", "resumed", "exit", "delete"),
    ]


def test_a_file_takes_the_output(containerd: Containerd, tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = ("--detach", "--log-uri", f"file://{log}")
    with containerd.events() as lines:
        containerd.run(shim(), "logged", "sh", "-c", "seq 3; echo err >&2", options=options)
        lines.until("/tasks/exit")
    containerd("task", "delete", "logged")
    assert sorted(log.read_text().split()) == ["1", "2", "3", "err"]


def test_a_program_takes_the_output(containerd: Containerd, tmp_path: Path) -> None:
    """Told by the words of the URI, and by the environment, whose output it is."""
    log, program = tmp_path / "log", tmp_path / "logger"
    program.write_text(
        "#!/bin/sh\n"
        f"echo $CONTAINER_NAMESPACE $CONTAINER_ID $* >{log}\n"
        f"exec 5>&-; cat <&3 >>{log}; cat <&4 >>{log}; echo >{log}.end\n"
    )
    program.chmod(0o755)
    options = ("--detach", "--log-uri", f"binary://{program}?colour=blue")
    os.mkfifo(f"{log}.end")
    end = os.open(f"{log}.end", os.O_RDWR)
    try:
        with containerd.events() as lines:
            containerd.run(shim(), "logged", "sh", "-c", "seq 3; echo err >&2", options=options)
            lines.until("/tasks/exit")
        readable(end, 30, "the logger's end")
    finally:
        os.close(end)
    containerd("task", "delete", "logged")
    assert log.read_text().split() == ["default", "logged", "colour", "blue", *"123", "err"]


def test_a_detached_terminal_is_attached(containerd: Containerd) -> None:
    words = containerd.run_words(shim(), "--detach", "--tty")
    with Terminal(containerd.client(*words, "shell", "sh")) as terminal:
        assert terminal.end()[0] == 0
    with Terminal(containerd.client("task", "attach", "shell")) as terminal:
        terminal.type("tty; echo at''tached\n")
        terminal.until("/dev/pts/0")
        terminal.until("attached")
        terminal.type("exit 6\n")
        assert terminal.end()[0] == 6


def test_limits_are_updated(containerd: Containerd, calls: Calls, rootfs: Path) -> None:
    """By the API: ctr has no command for it."""
    task = Task(calls, rootfs, "limited", "sleep", "1000")
    task.run()
    task.update(memory={"limit": 32 << 20}, pids={"limit": 33}, cpu={"shares": 77})
    shown = json.loads(containerd("task", "metrics", "--format", "json", "limited").stdout)
    assert (shown["memory"]["usage"]["limit"], shown["pids"]["limit"]) == (32 << 20, 33)
    with pytest.raises(CallError, match="/memory/limit"):
        task.update(memory={"limit": "much"})
    task.clear()


def test_ids_are_mapped(containerd: Containerd) -> None:
    """For which ctr 1.6 sends options of a type that is older than shims."""
    ids = ("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536")
    command = ("sh", "-c", "cat /proc/self/uid_map; echo out")
    result = containerd.run(shim(), "mapped", *command, options=("--rm", *ids))
    assert result.stdout.split() == ["0", "100000", "65536", "out"]


def test_a_restarted_containerd_finds_the_task(own_containerd: Containerd) -> None:
    own_containerd.run(shim(), "service", *SERVICE, options=("--detach",))
    parent = shim_of(own_containerd.room, own_containerd.pid("service"))
    for number in (signal.SIGTERM, signal.SIGKILL):
        own_containerd.daemon.stop(number)
        own_containerd.daemon.start()
        assert own_containerd.status("service") == "RUNNING"
        assert shim_of(own_containerd.room, own_containerd.pid("service")) == parent
        own_containerd(*exec_words(f"after-{number}"), "exit 0")
    own_containerd("task", "delete", "--force", "service", check=False)
    ended(parent)


def test_a_killed_shim_leaves_nothing(containerd: Containerd, service: str) -> None:
    pid = containerd.pid(service)
    (init,) = outside(containerd.room, pid)
    os.kill(shim_of(containerd.room, pid), signal.SIGKILL)
    ended(init)  # by the shim's delete, which containerd runs
    containerd("task", "delete", "--force", service, check=False)
    containerd("container", "remove", service)
    assert containerd.status(service) == ""
