# SPDX-License-Identifier: Apache-2.0
"""No space, no descriptors, no processes, no memory, signals all the time: said, and undone."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import ENVIRONMENT, Cli, is_orlop
from tests.support.features import requires
from tests.support.running import started
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.security.attacker import Attacker
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.skipif(not is_orlop(), reason="for this runtime"),
]


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """What a failing runtime said, which is one line of its own and no traceback."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("orlop: ")
    return lines[0]


def limited(cli: Cli, kind: int, value: int, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the runtime with a soft resource limit (setrlimit(2))."""
    hard = resource.getrlimit(kind)[1]
    stem = cli.directory / f"limited-{kind}-{value}"
    with stem.open("w+") as err:
        status = subprocess.call(
            cli.command(*argv),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            timeout=limit(30),
            preexec_fn=lambda: resource.setrlimit(kind, (value, hard)),
        )
    return subprocess.CompletedProcess([], status, "", stem.read_text())


class TestNoSpace:
    """The state directory's file system is full, or can't be written."""

    @pytest.fixture
    def small(self, orlop: Cli) -> Iterator[Path]:
        """A state root of 64 KiB."""
        orlop.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", orlop.root], check=True)
        yield orlop.root
        subprocess.run(["umount", orlop.root], check=True)

    @staticmethod
    def fill(directory: Path) -> None:
        """Leave no byte free."""
        with (directory / "~filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def test_a_create_is_refused_and_undone(
        self, small: Path, container: Container, orlop: Cli
    ) -> None:
        self.fill(small)
        container.bundle.write()
        argv = ("create", "--bundle", container.bundle.path, container.id)
        result = orlop(*argv, check=False)
        assert result.returncode == 1
        assert "No space left on device" in one_line(result)
        assert [entry.name for entry in small.iterdir()] == ["~filler"]
        (small / "~filler").unlink()
        container.create()
        container.delete("--force")
        assert orlop("list", "--quiet").stdout == ""

    def test_what_runs_can_be_used_and_deleted(self, small: Path, container: Container) -> None:
        started(container)
        self.fill(small)
        assert container.status == "running"
        assert container.exec("pid").stdout
        container.delete("--force")
        assert [entry.name for entry in small.iterdir()] == ["~filler"]

    def test_what_was_created_can_be_started(self, small: Path, container: Container) -> None:
        container.bundle.args("hostname")
        container.create()
        self.fill(small)
        container.start()
        assert container.output() == "orlop\n"
        container.wait()
        container.delete()

    def test_a_state_root_that_can_not_be_written(self, small: Path, container: Container) -> None:
        started(container)
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        assert container.status == "running"
        assert "Read-only file system" in one_line(container.delete("--force", check=False))
        subprocess.run(["mount", "-o", "remount,rw", small], check=True)
        container.delete("--force")
        assert list(small.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        argv = ("create", "--bundle", container.bundle.path, container.id)
        result = container.cli(*argv, check=False)
        assert "Read-only file system" in one_line(result)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["create", "exec", "delete"])
def test_too_few_descriptors_are_said(container: Container, watch: Watch, verb: str) -> None:
    """At each limit it works, or says why not; then nothing is left."""
    container.bundle.write()
    argv: tuple[str | Path, ...] = ("create", "--bundle", container.bundle.path, container.id)
    if verb != "create":
        started(container)
        argv = ("exec", container.id, "/bin/probe", "true") if verb == "exec" else argv
        argv = ("delete", "--force", container.id) if verb == "delete" else argv
    ends = []
    before = watch.found()
    for count in range(4, 100, 3):
        result = limited(container.cli, resource.RLIMIT_NOFILE, count, *argv)
        ends.append(result.returncode)
        if result.returncode == 0:
            break
        if "orlop: " in result.stderr:  # with even less, the interpreter can't load the program
            assert "Too many open files" in one_line(result), count
        assert watch.found() == before or verb == "delete", count
    assert ends[0] != 0
    assert ends[-1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["create", "exec"])
def test_too_little_memory_is_said(container: Container, watch: Watch, verb: str) -> None:
    """An address space that ends in the middle of the runtime's work."""
    container.bundle.write()
    argv: tuple[str | Path, ...] = ("create", "--bundle", container.bundle.path, container.id)
    if verb == "exec":
        started(container)
        argv = ("exec", container.id, "/bin/probe", "true")
    before = watch.found()
    ends, said = [], []
    for kib in range(12 * 1024, 64 * 1024, 768):
        result = limited(container.cli, resource.RLIMIT_AS, kib * 1024, *argv)
        ends.append(result.returncode)
        if result.returncode == 0:
            break
        if " in main\n" in result.stderr or "orlop: " in result.stderr:  # else it never came so far
            said.append(one_line(result))
        assert watch.found() == before, kib
    assert ends[-1] == 0
    assert said


class Around:
    """A cgroup (v1) that the runtime itself is in, beside the test's, with a limit."""

    def __init__(self, cgroup: str, controller: str, file: str, value: int) -> None:
        self._directory = Path(f"/sys/fs/cgroup/{controller}{cgroup}-around-{value}")
        self._directory.mkdir()
        (self._directory / file).write_text(str(value))

    def __call__(self, cli: Cli, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the runtime inside."""
        stem = cli.directory / "around"
        with stem.open("w+") as err:
            status = subprocess.call(
                [
                    "sh",
                    "-c",
                    'echo 0 >"$0"/tasks && exec "$@"',
                    self._directory,
                    *cli.command(*argv),
                ],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                timeout=limit(30),
            )
        self._directory.rmdir()
        return subprocess.CompletedProcess([], status, "", stem.read_text())


@requires("cgroup1")
@pytest.mark.parametrize("verb", ["create", "exec"])
def test_too_few_processes_are_said(
    container: Container, cgroup: str, watch: Watch, verb: str
) -> None:
    container.bundle.write()
    argv: tuple[str | Path, ...] = ("create", "--bundle", container.bundle.path, container.id)
    if verb == "exec":
        started(container)
        argv = ("exec", container.id, "/bin/probe", "true")
    before = watch.found()
    result = Around(cgroup, "pids", "pids.max", 1)(container.cli, *argv)
    assert "Resource temporarily unavailable" in one_line(result)
    assert watch.found() == before


@requires("cgroup1")
@pytest.mark.slow
def test_what_a_runtime_without_memory_leaves_is_deleted(
    container: Container, cgroup: str, watch: Watch
) -> None:
    """The kernel kills it, wherever it is."""
    container.bundle.args("sleep").write()
    ends = []
    for mib in range(1, 32):
        around = Around(cgroup, "memory", "memory.limit_in_bytes", mib << 20)
        argv = ("create", "--bundle", container.bundle.path, container.id)
        ends.append(around(container.cli, *argv).returncode)
        container.delete("--force")
        assert watch.found() == [], mib
        if ends[-1] == 0:
            break
    assert -9 in ends
    assert ends[-1] == 0


def test_a_log_that_is_full_changes_nothing(container: Container) -> None:
    result = container.cli("--log", "/dev/full", "state", "missing", check=False)
    assert "container does not exist" in one_line(result)
    container.bundle.write()
    container.cli(
        "--log", "/dev/full", "--debug", "run", "--bundle", container.bundle.path, container.id
    )


@pytest.mark.slow
def test_signals_interrupt_nothing(
    container: Container, attacker: Callable[..., Attacker], tmp_path: Path
) -> None:
    """Sent all the time to a runtime that waits: in a hook, for the program, for another's lock."""
    os.mkfifo(tmp_path / "waits")
    script = f"echo $PPID >{tmp_path}/waits; exec sleep 0.3"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    container.bundle.spec["hooks"] = {"createRuntime": [hook], "poststart": [hook]}
    container.bundle.args("hostname").write()
    running = container.cli.spawn("run", "--bundle", container.bundle.path, container.id)
    sender = attacker("send", running.process.pid)
    for _ in range(2):
        assert int((tmp_path / "waits").read_text()) == running.process.pid
    result = running.result()
    assert (result.returncode, result.stdout, result.stderr) == (0, "orlop\n", "")
    assert sender.stop()["sent"] > 100


def test_a_clock_that_jumps_changes_no_status(container: Container) -> None:
    """Nothing but `created` is of a clock that can be set; those that can't may be shifted."""
    started(container)
    state = container.cli.command("state", container.id)
    for clock in ("--monotonic", "--boottime"):
        shifted = ["unshare", "--time", "--fork", clock, "100000", *state]
        done = subprocess.run(shifted, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["status"] == "running", clock
