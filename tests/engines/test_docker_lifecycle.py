# SPDX-License-Identifier: Apache-2.0
"""A container of Docker's from its start to its end, and what is done with it meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.engines.client import Terminal
from tests.engines.docker import IMAGE
from tests.engines.runtime import EVERY_WAY
from tests.support import waiting
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.engines.docker import Docker
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "docker", "runc"), pytest.mark.slow, EVERY_WAY]

#: Says when it is up, counts what it is sent, ends with 5 when asked to.
SERVICE = (
    "trap 'echo down; exit 5' TERM; trap 'echo usr' USR1;"
    " echo up; sleep 1000 & while :; do wait; done"
)


@pytest.fixture
def service(docker: Docker, runtime: Runtime) -> str:
    """A running container of Docker's, by its name; its program is ready for signals."""
    name = f"service-{runtime.name}"
    docker.run(runtime, "--detach", "--name", name, IMAGE, "sh", "-c", SERVICE)
    wait_for_log(docker, name, "up")
    return name


def wait_for_log(docker: Docker, name: str, text: str) -> None:
    with docker.lines("logs", "--follow", name) as log:
        log.until(text)


class TestExec:
    def test_it_joins_with_user_directory_and_environment(
        self, docker: Docker, service: str
    ) -> None:
        options = ("--user", "sailor", "--workdir", "/tmp", "--env", "SEA=deep")
        shown = docker("exec", *options, service, "sh", "-c", "id -u; pwd; echo $SEA; pidof sleep")
        user, directory, sea, pid = shown.stdout.splitlines()
        assert (user, directory, sea) == ("1000", "/tmp", "deep")
        assert int(pid) > 1

    def test_input_passes(self, docker: Docker, service: str) -> None:
        assert docker("exec", "--interactive", service, "cat", stdin="through").stdout == "through"

    def test_a_terminal_is_its_own(self, docker: Docker, service: str) -> None:
        with Terminal(docker.client("exec", "-it", service, "sh")) as terminal:
            terminal.until("# ")
            terminal.type("tty; exit 4\n")
            assert "/dev/pts/" in terminal.until("/dev/pts/")
            assert terminal.end()[0] == 4

    def test_detached_it_goes_on(self, docker: Docker, service: str) -> None:
        docker("exec", "--detach", service, "sh", "-c", "mkfifo /f; echo in >/f")
        shown = docker("exec", service, "sh", "-c", "until test -p /f; do :; done; cat /f")
        assert shown.stdout == "in\n"


class TestSignals:
    def test_stop_asks_first(self, docker: Docker, service: str) -> None:
        docker("stop", "--time", "30", service)
        assert docker("logs", service).stdout == "up\ndown\n"
        state = docker.state(service)
        assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 5, False)

    def test_stop_kills_who_does_not_listen(self, docker: Docker, runtime: Runtime) -> None:
        docker.run(runtime, "--detach", "--name", "deaf", IMAGE, "sleep", "1000")
        docker("stop", "--time", "0", "deaf")
        assert docker.state("deaf")["ExitCode"] == 137

    def test_kill_sends_any_signal(self, docker: Docker, service: str) -> None:
        docker("kill", "--signal", "USR1", service)
        wait_for_log(docker, service, "usr")
        docker("kill", service)
        assert docker("wait", service).stdout == "137\n"

    def test_restart_starts_it_again(self, docker: Docker, service: str) -> None:
        before = docker.state(service)["Pid"]
        docker("restart", "--time", "30", service)
        with docker.lines("logs", "--follow", service) as log:
            log.until("down")
            log.until("up")
        state = docker.state(service)
        assert state["Status"] == "running"
        assert state["Pid"] != before

    def test_a_policy_restarts_what_fails(self, docker: Docker, runtime: Runtime) -> None:
        command = "echo run >>/count; exit 3"
        policy = ("--restart", "on-failure:2")
        docker.run(runtime, "--detach", "--name", "again", *policy, IMAGE, "sh", "-c", command)
        with docker.lines("events", "--since", "0", "--filter", "container=again") as events:
            for _ in range(3):
                events.until("container die")
        docker("wait", "again")
        assert docker.inspect("again")["RestartCount"] == 2

    def test_pause_freezes_and_unpause_thaws(self, docker: Docker, service: str) -> None:
        docker("pause", service)
        assert docker.state(service)["Status"] == "paused"
        result = docker("exec", service, "true", check=False)
        assert result.returncode == 1
        assert "is paused" in result.stderr
        docker("unpause", service)
        assert docker("exec", service, "echo", "thawed").stdout == "thawed\n"

    def test_a_paused_container_can_be_removed(self, docker: Docker, service: str) -> None:
        docker("pause", service)
        docker("rm", "--force", service)
        assert docker("ps", "--all", "--quiet").stdout == ""


class TestLooking:
    def test_top_shows_its_processes(self, docker: Docker, service: str) -> None:
        assert "sleep 1000" in docker("top", service).stdout
        lines = docker("top", service, "-o", "pid,args").stdout.splitlines()
        assert lines[0].split() == ["PID", "COMMAND"]
        assert len(lines) == 3

    def test_stats_counts_them(self, docker: Docker, service: str) -> None:
        shown = docker("stats", "--no-stream", "--format", "{{json .}}", service).stdout
        statistics = json.loads(shown)
        assert statistics["PIDs"] == "2"
        used, _, limit = statistics["MemUsage"].partition(" / ")
        assert not used.startswith("0B")
        assert not limit.startswith("0B")

    def test_a_health_check_runs_inside(self, docker: Docker, runtime: Runtime) -> None:
        check = ("--health-cmd", "test -e /ok", "--health-interval", "200ms")
        docker.run(runtime, "--detach", "--name", "patient", *check, IMAGE, "sleep", "1000")
        filters = ("--filter", "container=patient", "--filter", "event=health_status")
        with docker.lines("events", "--since", "0", *filters) as events:
            events.until("health_status: unhealthy")
            docker("exec", "patient", "touch", "/ok")
            events.until("health_status: healthy")


class TestMemory:
    def test_the_kernel_killing_it_is_shown(self, docker: Docker, runtime: Runtime) -> None:
        """tail keeps one endless line in memory."""
        limit = ("--memory", "16m", "--memory-swap", "16m")
        hungry = ("tail", "/dev/zero")
        result = docker(
            *("run", "--runtime", runtime.name, "--name", "hungry", *limit, IMAGE, *hungry),
            check=False,
        )
        assert result.returncode == 137
        state = docker.state("hungry")
        assert (state["ExitCode"], state["OOMKilled"]) == (137, True)

    def test_an_update_changes_what_is_named_alone(self, docker: Docker, service: str) -> None:
        """Docker sends zero for what it leaves alone."""
        docker("update", "--memory", "64m", "--memory-swap", "128m", service)
        docker("update", "--cpu-shares", "77", "--pids-limit", "55", service)
        docker("update", "--cpus", "0.5", "--cpuset-cpus", "0", service)
        files = [
            "memory/memory.limit_in_bytes",
            "memory/memory.memsw.limit_in_bytes",
            "cpu/cpu.shares",
            "pids/pids.max",
            "cpu/cpu.cfs_quota_us",
            "cpuset/cpuset.cpus",
        ]
        shown = docker("exec", service, "cat", *(f"/sys/fs/cgroup/{name}" for name in files)).stdout
        assert shown.split() == ["67108864", "134217728", "77", "55", "50000", "0"]


class TestTerminal:
    def test_typing_and_output_pass_and_the_status_is_the_programs(
        self, docker: Docker, runtime: Runtime
    ) -> None:
        command = docker.client("run", "--rm", "-it", "--runtime", runtime.name, IMAGE, "sh")
        with Terminal(command) as terminal:
            terminal.until("# ")
            terminal.type("tty; ls -l /dev/console | cut -c1\n")
            terminal.until("/dev/pts/0\r\n")
            terminal.until("c\r\n")
            terminal.type("exit 7\n")
            assert terminal.end()[0] == 7

    def test_a_new_size_reaches_the_program(self, docker: Docker, runtime: Runtime) -> None:
        resized = "trap 'stty size' WINCH; echo ready; while ! read line; do :; done"
        command = docker.client("run", "--rm", "-it", "--runtime", runtime.name, IMAGE)
        with Terminal([*command, "sh", "-c", resized]) as terminal:
            terminal.until("ready\r\n")
            for columns in range(101, 116):  # docker may begin to listen after the program
                terminal.resize(33, columns)
                if terminal.shows(f"33 {columns}\r\n", 2):
                    break
            else:
                pytest.fail("no new size reached it")
            terminal.type("\n")
            assert terminal.end()[0] == 0

    def test_an_interrupt_is_the_programs(self, docker: Docker, runtime: Runtime) -> None:
        caught = "trap 'echo caught; exit 3' INT; echo ready; while :; do read line; done"
        command = docker.client("run", "--rm", "-it", "--runtime", runtime.name, IMAGE)
        with Terminal([*command, "sh", "-c", caught]) as terminal:
            terminal.until("ready\r\n")
            terminal.type("\x03")
            terminal.until("caught\r\n")
            assert terminal.end()[0] == 3

    def test_one_can_detach_and_attach_again(self, docker: Docker, runtime: Runtime) -> None:
        command = docker.client("run", "-it", "--runtime", runtime.name, "--name", "left", IMAGE)
        with Terminal([*command, "sh"]) as terminal:
            terminal.until("# ")
            terminal.type("\x10\x11")
            assert terminal.end()[0] == 0
        assert docker.state("left")["Running"]
        with Terminal(docker.client("attach", "left")) as terminal:
            terminal.type("echo ba''ck; exit 6\n")
            terminal.until("back")
            assert terminal.end()[0] == 6


def test_all_output_is_in_the_logs(docker: Docker, runtime: Runtime) -> None:
    command = "seq 5000; echo err >&2"
    docker.run(runtime, "--name", "talker", IMAGE, "sh", "-c", command)
    result = docker("logs", "talker")
    assert result.stdout.split() == [str(n) for n in range(1, 5001)]
    assert result.stderr == "err\n"


def test_its_processes_end_with_it(docker: Docker, service: str) -> None:
    docker("exec", "--detach", service, "sleep", "1000")
    pids = [pid for pid, command in docker.room.processes().items() if command == "sleep 1000 "]
    assert len(pids) >= 1
    docker("kill", service)
    for pid in pids:
        waiting.ended(pid)
