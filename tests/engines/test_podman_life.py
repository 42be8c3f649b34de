# SPDX-License-Identifier: Apache-2.0
"""A container's life under Podman: detached, looked at, stopped, started again, removed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.engines.client import Lines, Terminal
from tests.engines.podman import IMAGE
from tests.support import waiting
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.podman import Podman
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "podman", "runc"), pytest.mark.slow]


def detached(podman: Podman, runtime: Runtime, *argv: str) -> None:
    """Start the container `c` without a network: `argv` are options, image and command."""
    podman.using(runtime, "run", "--detach", "--name=c", "--network=none", *argv)


def test_at_a_terminal_it_is_interactive(podman: Podman, runtime: Runtime) -> None:
    run = ("--runtime", runtime.name, "run", "-it", "--rm", "--network=none", IMAGE, "sh")
    with Terminal(podman.client(*run)) as terminal:
        terminal.until("# ")
        terminal.type("tty; stty size\n")
        assert terminal.until("24 80").count("/dev/pts/0") == 1
        terminal.until("# ")
        terminal.resize(30, 100)
        terminal.type("while [ \"$(stty size)\" != '30 100' ]; do :; done; echo resi''zed\n")
        terminal.until("resized")
        terminal.type("sh -c 'echo asl''eep; exec sleep 1000'\n")
        terminal.until("asleep\r\n")
        terminal.type("\x03")
        terminal.until("# ")
        terminal.type("exit 5\n")
        assert terminal.end()[0] == 5


def test_exec_at_a_terminal_is_interactive(podman: Podman, runtime: Runtime) -> None:
    detached(podman, runtime, IMAGE, "sleep", "1000")
    with Terminal(podman.client("exec", "-it", "--user=sailor", "c", "sh")) as terminal:
        terminal.until("$ ")
        terminal.type("id -u; tty\n")
        assert "1000\n" in terminal.until("/dev/pts/0")
        terminal.type("exit 6\n")
        assert terminal.end()[0] == 6


def test_a_terminal_is_come_back_to(podman: Podman, runtime: Runtime) -> None:
    detached(podman, runtime, "-it", IMAGE, "sh")
    with Terminal(podman.client("attach", "c")) as terminal:
        terminal.type("echo fir''st; exit 3\n")
        terminal.until("first")
        terminal.end()
    assert podman("wait", "c").stdout == "3\n"


def test_exec_has_what_it_is_given(podman: Podman, runtime: Runtime) -> None:
    detached(podman, runtime, IMAGE, "sleep", "1000")
    options = ("--user=sailor", "--workdir=/home", "--env=SEA=deep")
    shown = podman("exec", *options, "c", "sh", "-c", "id -u; pwd; echo $SEA").stdout
    assert shown == "1000\n/home\ndeep\n"
    assert podman("exec", "-i", "c", "cat", stdin="through").stdout == "through"
    caps = ("grep", "CapEff", "/proc/self/status")
    plain = podman("exec", "c", *caps).stdout
    assert int(podman("exec", "--privileged", "c", *caps).stdout.split()[1], 16) > int(
        plain.split()[1], 16
    )
    podman("exec", "--detach", "c", "sh", "-c", "echo done >/work; exec sleep 1000")
    podman("exec", "c", "sh", "-c", "until test -s /work; do :; done")


def test_logs_and_the_status_are_kept(podman: Podman, runtime: Runtime) -> None:
    script = "trap 'echo told; exit 7' TERM; echo out; echo err >&2; while :; do sleep 0.1; done"
    detached(podman, runtime, IMAGE, "sh", "-c", script)
    with Lines(podman.client("logs", "--follow", "c")) as logs:
        logs.until("err")
    podman("stop", "c")
    assert podman("wait", "c").stdout == "7\n"
    result = podman("logs", "c")
    assert (result.stdout, result.stderr) == ("out\ntold\n", "err\n")
    state = podman.state("c")
    assert (state["Status"], state["ExitCode"]) == ("exited", 7)


def test_stop_kills_what_does_not_listen_and_restart_starts_anew(
    podman: Podman, runtime: Runtime
) -> None:
    detached(podman, runtime, IMAGE, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    first = podman.state("c")["Pid"]
    podman("restart", "--time=0", "c")
    state = podman.state("c")
    assert state["Status"] == "running"
    assert state["Pid"] != first
    podman("stop", "--time=0", "c")
    assert podman.state("c")["ExitCode"] == 137
    podman("start", "c")
    podman("kill", "--signal=KILL", "c")
    assert podman("wait", "c").stdout == "137\n"
    podman("start", "c")
    podman("rm", "--force", "--time=0", "c")
    assert podman("ps", "--all", "--quiet").stdout == ""


def test_signals_arrive(podman: Podman, runtime: Runtime) -> None:
    script = "trap 'echo got; exit 4' USR1; echo ready; while :; do sleep 0.1; done"
    detached(podman, runtime, IMAGE, "sh", "-c", script)
    with Lines(podman.client("logs", "--follow", "c")) as logs:
        logs.until("ready")
        podman("kill", "--signal=USR1", "c")
        logs.until("got")
    assert podman("wait", "c").stdout == "4\n"


def test_a_paused_container_stands_still_and_goes_on(podman: Podman, runtime: Runtime) -> None:
    detached(podman, runtime, IMAGE, "sleep", "1000")
    podman("pause", "c")
    assert podman.state("c")["Status"] == "paused"
    assert podman("exec", "c", "true", check=False).returncode == 255
    podman("unpause", "c")
    assert podman.state("c")["Status"] == "running"
    assert podman("exec", "c", "true").returncode == 0
    podman("pause", "c")
    podman("rm", "--force", "--time=0", "c")


def test_what_is_created_waits_for_start(podman: Podman, runtime: Runtime) -> None:
    podman.using(runtime, "create", "--name=c", "--network=none", IMAGE, "echo", "ahoy")
    podman("init", "c")
    assert podman.state("c")["Status"] == "initialized"
    assert podman("start", "--attach", "c").stdout == "ahoy\n"
    podman.using(runtime, "create", "--name=d", "--network=none", IMAGE, "sleep", "1000")
    podman("init", "d")
    podman("rm", "--force", "--time=0", "d")


def test_top_and_stats_tell_what_runs(podman: Podman, runtime: Runtime) -> None:
    detached(podman, runtime, IMAGE, "sleep", "1000")
    shown = podman("top", "c", "pid", "user", "args", "state", "seccomp").stdout.splitlines()
    assert shown[1].split() == ["1", "root", "sleep", "1000", "S", "filter"]
    stats = podman("stats", "--no-stream", "--format={{.Name}} {{.PIDs}}", "c").stdout
    assert stats == "c 1\n"


@requires("cgroup1")
def test_update_changes_limits_of_a_running_container(podman: Podman, runtime: Runtime) -> None:
    """4.3 sends cpu and memory limits."""
    detached(podman, runtime, "--memory=64m", IMAGE, "sleep", "1000")
    podman("update", "--cpus=0.25", "--memory=32m", "c")
    files = "cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us memory/memory.limit_in_bytes"
    shown = podman("exec", "c", "sh", "-c", f"cd /sys/fs/cgroup; cat {files}").stdout
    assert shown.split() == ["25000", "100000", str(32 << 20)]


def test_a_healthcheck_is_an_exec(podman: Podman, runtime: Runtime) -> None:
    """Run by hand: Podman's timers are systemd's."""
    options = ("--health-cmd=test -e /well", "--health-retries=1", "--health-interval=disable")
    detached(podman, runtime, *options, IMAGE, "sleep", "1000")
    assert podman("healthcheck", "run", "c", check=False).returncode == 1
    assert podman.state("c")["Health"]["Status"] == "unhealthy"
    podman("exec", "c", "touch", "/well")
    assert podman("healthcheck", "run", "c").returncode == 0
    assert podman.state("c")["Health"]["Status"] == "healthy"


def test_what_fails_is_started_again(podman: Podman, runtime: Runtime, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    try:
        options = ("--restart=on-failure:2", f"--volume={tmp_path}:/work")
        detached(podman, runtime, *options, IMAGE, "sh", "-c", "echo once >/work/fifo; exit 1")
        for count in range(3):
            waiting.readable(fifo, 30, f"start {count}")
            assert os.read(fifo, 5) == b"once\n"
    finally:
        os.close(fifo)
