# SPDX-License-Identifier: Apache-2.0
"""`ctr run`: containerd's runc shim calls the runtime (`--runc-binary`), or ours is the shim."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from tests.engines.client import Terminal
from tests.engines.runtime import EVERY_WAY
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.containerd import Containerd
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "containerd", "runc"), pytest.mark.slow, EVERY_WAY]

_numbers = itertools.count(1)

SERVICE = ("sh", "-c", "trap 'exit 4' TERM; sleep 1000 & mkfifo /up; while :; do wait; done")


@pytest.fixture
def service(containerd: Containerd, runtime: Runtime) -> str:
    """A running task, by its name; its program is ready for signals."""
    containerd.run(runtime, "service", *SERVICE, options=("--detach",))
    exec_in(containerd, "service", "until test -p /up; do :; done")
    return "service"


def exec_in(containerd: Containerd, name: str, command: str) -> tuple[int, str]:
    """`ctr task exec` of a shell's command: the status and the output."""
    words = ("task", "exec", "--exec-id", f"look-{next(_numbers)}", name, "sh", "-c", command)
    result = containerd(*words, check=False)
    return result.returncode, result.stdout


def is_lost(shown: str, runtime: Runtime) -> bool:
    """With runc, ctr 1.6 was seen to lose what an exec wrote; with ours never."""
    return runtime.name == "runc" and not shown


def test_input_output_and_status_pass(containerd: Containerd, runtime: Runtime) -> None:
    """A line of input: ctr 1.6 doesn't pass its end on."""
    words = containerd.run_words(runtime, "--rm")
    command = "read line; echo $line; echo err >&2; exit 3"
    result = containerd(*words, "once", "sh", "-c", command, stdin="in\n", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (3, "in\n", "err\n")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("/bin/no-permission", 'exec: "/bin/no-permission": permission denied'),
        ("/bin", "permission denied"),
    ],
)
def test_the_runtimes_own_words_are_the_error(
    containerd: Containerd, runtime: Runtime, command: str, text: str
) -> None:
    result = containerd.run(runtime, "wrong", command, options=("--rm",), check=False)
    assert result.returncode == 1
    assert "OCI runtime create failed: " in result.stderr
    assert text in result.stderr
    assert ("runc create failed" in result.stderr) == (runtime.name == "runc")


def test_a_terminal_passes(containerd: Containerd, runtime: Runtime) -> None:
    command = containerd.client(*containerd.run_words(runtime, "--rm", "--tty"), "shell", "sh")
    with Terminal(command) as terminal:
        terminal.until("# ")
        terminal.type("tty\n")
        terminal.until("/dev/pts/0")
        # ctr hands the size on after the start.
        terminal.type("until stty size | grep '24 80'; do :; done; echo si''zed\n")
        terminal.until("sized")
        terminal.type("exit 7\n")
        assert terminal.end()[0] == 7


def test_a_task_runs_detached_and_is_joined(
    containerd: Containerd, runtime: Runtime, service: str
) -> None:
    assert containerd.status(service) == "RUNNING"
    status, shown = exec_in(containerd, service, "echo in; exit 7")
    assert status == 7
    assert shown == "in\n" or is_lost(shown, runtime)
    words = ("task", "exec", "--exec-id", "user", "--user", "1000", "--cwd", "/tmp", service)
    assert containerd(*words, "sh", "-c", "id -u; pwd").stdout == "1000\n/tmp\n"


def test_exec_at_a_terminal(containerd: Containerd, service: str) -> None:
    words = ("task", "exec", "--exec-id", "tty", "--tty", service, "sh")
    with Terminal(containerd.client(*words)) as terminal:
        terminal.until("# ")
        terminal.type("tty; exit 5\n")
        terminal.until("/dev/pts/")
        assert terminal.end()[0] == 5


def test_pause_and_resume(containerd: Containerd, runtime: Runtime, service: str) -> None:
    containerd("task", "pause", service)
    assert containerd.status(service) == "PAUSED"
    containerd("task", "resume", service)
    assert containerd.status(service) == "RUNNING"
    status, shown = exec_in(containerd, service, "echo thawed")
    assert status == 0
    # With runc, ctr 1.6 was seen to lose what an exec wrote; with ours never.
    assert shown == "thawed\n" or (runtime.name == "runc" and not shown)


def test_a_signal_ends_it_and_its_status_is_kept(containerd: Containerd, service: str) -> None:
    with containerd.events() as events:
        containerd("task", "kill", "--signal", "SIGTERM", service)
        assert '"exit_status":4' in events.until("/tasks/exit").replace(" ", "")
    assert containerd.status(service) == "STOPPED"
    deleted = containerd("task", "delete", service)
    assert "exit code 4" in deleted.stderr
    result = containerd("task", "kill", service, check=False)
    assert result.returncode == 1
    assert "not found" in result.stderr


def test_all_of_a_tasks_processes_can_be_killed(containerd: Containerd, service: str) -> None:
    containerd("task", "exec", "--exec-id", "more", "--detach", service, "sleep", "1000")
    with containerd.events() as events:
        containerd("task", "kill", "--all", "--signal", "SIGKILL", service)
        events.until('"exit_status":137')
    assert containerd.status(service) == "STOPPED"


def test_events_tell_its_life(containerd: Containerd, runtime: Runtime) -> None:
    with containerd.events() as events:
        containerd.run(runtime, "told", "true", options=("--rm",))
        for topic in ("create", "start", "exit", "delete"):
            assert '"told"' in events.until(f"/tasks/{topic}")


def test_limits_are_seen_and_measured(containerd: Containerd, runtime: Runtime) -> None:
    limits = ("--memory-limit", "33554432", "--cpu-quota", "50000", "--cpu-period", "100000")
    containerd.run(runtime, "limited", *SERVICE, options=("--detach", *limits))
    shown = json.loads(containerd("task", "metrics", "--format", "json", "limited").stdout)
    assert shown["memory"]["usage"]["limit"] == 33554432
    assert shown["memory"]["usage"]["usage"] > 0
    assert shown["pids"]["current"] >= 1
    assert shown["cpu"]["usage"]["total"] > 0
    cgroups = containerd.room.path("/sys/fs/cgroup")
    if (cgroups / "cpu").is_dir():
        assert (cgroups / "cpu/default/limited/cpu.cfs_quota_us").read_text() == "50000\n"


def test_the_runtime_lists_a_tasks_processes(containerd: Containerd, service: str) -> None:
    lines = containerd("task", "ps", service).stdout.splitlines()[1:]
    assert len(lines) == 2
    assert lines[0].split()[0] == str(containerd.pid(service))


def test_a_bundle_is_mounted_as_asked(
    containerd: Containerd, runtime: Runtime, tmp_path: Path
) -> None:
    (tmp_path / "given").write_text("from outside")
    mount = f"type=bind,src={tmp_path},dst=/hold,options=rbind:ro"
    options = ("--rm", "--read-only", "--mount", mount)
    command = "cat /hold/given; touch /x /hold/x 2>&1; true"
    shown = containerd.run(runtime, "held", "sh", "-c", command, options=options).stdout
    assert shown == (
        "from outsidetouch: /x: Read-only file system\ntouch: /hold/x: Read-only file system\n"
    )
