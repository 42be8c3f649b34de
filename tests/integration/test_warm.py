# SPDX-License-Identifier: Apache-2.0
"""A warm planner: the same results, for its own user alone, and no harm when anybody is killed."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.planner import KEPT
from runtime.worker import CALLS
from tests.support import cli
from tests.support.features import NOBODY, requires
from tests.support.waiting import limit, readable
from tests.support.warm import Planner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.skipif(not cli.is_orlop(), reason="planners are this project's"),
]


@pytest.fixture
def planner() -> Iterator[Planner]:
    planner = Planner()
    yield planner
    planner.stop()


def call(
    planner: Planner, *words: str, wrapped: Sequence[str] = (), user: int | None = None
) -> tuple[str, str]:
    """Call orlop; returns what the planner said of the call, and the output."""
    process = subprocess.Popen(
        [*wrapped, *cli.program(), *words],
        env={**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)},
        stdout=subprocess.PIPE,
        text=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    output, _ = process.communicate(timeout=limit(30))
    assert process.returncode == 0
    return planner.said(process.pid), output


def test_a_call_is_done_by_the_planner(planner: Planner) -> None:
    said, output = call(planner, "--version")
    assert "a call of 1 words" in said
    assert output.startswith("orlop version")


@pytest.mark.parametrize("words", [["features", "--timeline=x"], ["restore", "--help"]])
def test_what_only_the_process_itself_can_do_is_not_handed_on(
    planner: Planner, words: list[str]
) -> None:
    process = subprocess.Popen(
        [*cli.program(), *words],
        env={**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process.wait(timeout=limit(30))
    assert planner.said(process.pid) == ""


def test_two_callers_at_once_have_two_workers(planner: Planner, orlop: Cli) -> None:
    env = {**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)}
    running = [orlop.spawn("features", env=env) for _ in range(12)]
    assert [each.result(30).returncode for each in running] == [0] * 12
    assert all("a call of" in planner.said(each.process.pid) for each in running)


@pytest.mark.parametrize(
    ("wrapped", "why"),
    [
        (["setpriv", "--bounding-set=-sys_time"], "CapPrm"),
        (["setpriv", "--no-new-privs"], "NoNewPrivs"),
        (["setpriv", "--groups=7"], "Groups"),
        (["unshare", "--uts"], "uts"),
        (["unshare", "--mount"], "mnt"),
    ],
)
def test_whoever_is_different_does_it_cold(planner: Planner, wrapped: list[str], why: str) -> None:
    said, output = call(planner, "--version", wrapped=wrapped)
    assert said.endswith(f'to be done cold for {why}"')
    assert output.startswith("orlop version")


@requires("rootless")
def test_the_planner_of_another_user_is_not_asked() -> None:
    theirs = Planner(user=NOBODY)
    try:
        assert call(theirs, "--version")[0] == ""
        assert "a call of" in call(theirs, "--version", user=NOBODY)[0]
    finally:
        theirs.stop()


@requires("rootless")
def test_another_user_does_not_reach_ours(planner: Planner) -> None:
    planner.directory.chmod(0o755)
    assert call(planner, "--version", user=NOBODY)[0] == ""


def test_the_callers_directory_umask_and_descriptors_are_the_calls(
    planner: Planner, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    subprocess.run(
        ["sh", "-c", 'umask 027; exec "$@" --log made spec', "sh", *cli.program()],
        cwd=tmp_path,
        env={**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)},
        check=True,
        pass_fds=[writer],
        timeout=limit(30),
    )
    os.close(writer)
    assert os.read(reader, 1) == b""  # nobody holds what the caller passed
    os.close(reader)
    assert (tmp_path / "config.json").exists()
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o640


def test_hooks_are_the_callers_children(
    planner: Planner, orlop: Cli, container: Container, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    container.bundle.spec["hooks"] = {
        "prestart": [
            {
                "path": "/bin/sh",
                "args": ["sh", "-c", f"cat /proc/$PPID/comm $0 > {seen}", "/proc/self/cgroup"],
            }
        ]
    }
    container.bundle.write()
    env = {**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)}
    orlop("create", "--bundle", container.bundle.path, container.id, env=env)
    assert seen.read_text().splitlines()[0] == "orlop"
    orlop("delete", "--force", container.id)


def workers(planner: Planner) -> set[int]:
    """Idle ones, and those at work."""
    children = f"/proc/{planner.process.pid}/task/{planner.process.pid}/children"
    with open(children) as file:
        return set(map(int, file.read().split()))


def descriptors(pid: int) -> dict[str, str]:
    """What each of a process's is of."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


class TestWorker:
    """A worker does one call after another, as long as nothing of a call is left."""

    @staticmethod
    def things(pid: int) -> object:
        """Its descriptors, directory, and what the kernel tells of it in a few files."""
        fds = descriptors(pid)
        files = ("cgroup", "limits", "oom_score_adj")
        texts = [Path(f"/proc/{pid}/{name}").read_text() for name in files]
        return sorted(fds.items()), os.readlink(f"/proc/{pid}/cwd"), texts

    @staticmethod
    def all_wait(pids: Iterable[int]) -> None:
        """Wait until each has the listening socket, beside the planner's and that one's copy."""
        end = time.monotonic() + limit(20)
        for pid in pids:
            while sum(link.startswith("socket:") for link in descriptors(pid).values()) < 3:
                assert time.monotonic() < end
                time.sleep(0.01)

    @staticmethod
    def one_ends(pidfds: Iterable[int]) -> None:
        """Wait for the end of one of them."""
        poll = select.poll()
        for pidfd in pidfds:
            poll.register(pidfd, select.POLLIN)
        assert poll.poll(limit(20) * 1000)
        for pidfd in pidfds:
            os.close(pidfd)

    def test_nothing_is_left_of_a_call(
        self, planner: Planner, orlop: Cli, container: Container, tmp_path: Path
    ) -> None:
        first = workers(planner)
        orlop("--version", env=self.env(planner))
        self.all_wait(first)
        before = {pid: self.things(pid) for pid in first}
        env = {**self.env(planner), "SECRET": "1"}
        container.bundle.args("sleep").write()
        reader, writer = os.pipe()
        words = ["--log", tmp_path / "log", "--root", container.cli.root]
        verbs: list[list[str | Path]] = [
            ["create", "--bundle", container.bundle.path], ["start"], ["state"], ["exec"],
            ["kill"], ["delete", "--force"],
        ]  # fmt: skip
        for verb in verbs:
            more = ["/bin/probe", "true"] if verb == ["exec"] else []
            process = subprocess.run(
                ["sh", "-c", 'umask 027; exec "$@"', "sh", *cli.program(), *map(str, words),
                 *map(str, verb), container.id, *more],
                cwd=tmp_path, env=env, pass_fds=[writer], timeout=limit(30), check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert process.returncode == 0, verb
            end = time.monotonic() + limit(20)
            while (now := {pid: self.things(pid) for pid in first}) != before:
                assert time.monotonic() < end, (verb, now)
                time.sleep(0.01)
        os.close(writer)
        assert os.read(reader, 1) == b""
        os.close(reader)
        assert planner.log.read_text().count("a call of") == 1 + len(verbs)

    @staticmethod
    def env(planner: Planner) -> dict[str, str]:
        return {**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)}

    def test_a_call_that_fails_is_its_workers_last(self, planner: Planner, orlop: Cli) -> None:
        pidfds = [os.pidfd_open(pid) for pid in workers(planner)]
        assert orlop("state", "nobody", env=self.env(planner), check=False).returncode == 1
        self.one_ends(pidfds)

    @pytest.mark.parametrize("what", ["oom_score_adj", "limits"])
    def test_one_that_was_changed_ends(self, planner: Planner, orlop: Cli, what: str) -> None:
        orlop("--version", env=self.env(planner))
        found = workers(planner)
        for pid in found:
            if what == "limits":
                resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
            else:
                Path(f"/proc/{pid}/oom_score_adj").write_text("500")
        pidfds = [os.pidfd_open(pid) for pid in found]
        orlop("--version", env=self.env(planner))
        self.one_ends(pidfds)

    def test_after_many_calls_another_goes_on(self, planner: Planner, orlop: Cli) -> None:
        first = {pid: os.pidfd_open(pid) for pid in workers(planner)}
        for _ in range(2 * CALLS * KEPT):
            orlop("--version", env=self.env(planner))
            if not first.keys() & workers(planner):
                break
        for pidfd in first.values():
            readable(pidfd, 20, "a worker to end")
            os.close(pidfd)
        assert "a call of" in call(planner, "--version")[0]

    def test_after_many_at_once_few_stay(self, planner: Planner, orlop: Cli) -> None:
        for running in [orlop.spawn("features", env=self.env(planner)) for _ in range(20)]:
            assert running.result(60).returncode == 0
        end = time.monotonic() + limit(20)
        while len(workers(planner)) > KEPT:
            assert time.monotonic() < end
            time.sleep(0.01)

    def test_where_the_planner_was_killed_nobody_waits_for_one_at_work(
        self, planner: Planner, container: Container, tmp_path: Path
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ > {fifo}; exec sleep 1000"]}
        container.bundle.spec["hooks"] = {"createRuntime": [hook]}
        container.bundle.write()
        env = self.env(planner)
        pidfds = [os.pidfd_open(pid) for pid in workers(planner)]
        words = ("create", "--bundle", container.bundle.path, container.id)
        creating = container.cli.spawn(*words, env=env)
        pid = int(fifo.read_text())
        planner.process.kill()
        planner.process.wait()
        self.one_ends(pidfds)  # one was idle; the one at work goes on
        container.cli("features", env=env)  # cold, or it would wait for the hook
        assert creating.process.poll() is None
        os.kill(pid, signal.SIGKILL)
        assert creating.result(30).returncode == 1


class TestForeground:
    """What comes after a process in the foreground is its worker's, or, in time, another's."""

    @staticmethod
    def running(planner: Planner, container: Container) -> cli.Running:
        """A container whose program is at work."""
        container.bundle.args("sleep").write()
        env = {**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)}
        reader, writer = os.pipe()
        words = ("run", "--bundle", container.bundle.path, container.id)
        running = container.cli.spawn(*words, stdout=writer, env=env)
        os.close(writer)
        with os.fdopen(reader, "rb") as lines:
            assert lines.readline() == b"ready\n"
        return running

    @staticmethod
    def until_it_waits(running: cli.Running) -> None:
        """The caller has been told what to wait for, and what to call then: it has a file of it."""
        directory = f"/proc/{running.process.pid}/fd"

        end = time.monotonic() + limit(20)
        while not any("orlop-texts" in os.readlink(f"{directory}/{fd}")
                      for fd in os.listdir(directory)):  # fmt: skip
            assert time.monotonic() < end
            time.sleep(0.01)

    @staticmethod
    def calls(planner: Planner) -> int:
        return planner.log.read_text().count("a call of")

    def test_the_worker_removes_what_has_ended_soon(
        self, planner: Planner, container: Container
    ) -> None:
        container.bundle.args("exit", "7").write()
        env = {**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)}
        assert container.run(env=env, check=False).returncode == 7
        assert container.id not in container.cli("list").stdout
        assert self.calls(planner) == 1

    def test_poststop_hooks_are_the_callers_children_then_too(
        self, planner: Planner, container: Container, tmp_path: Path
    ) -> None:
        seen = tmp_path / "seen"
        command = ["sh", "-c", f"cat /proc/$PPID/comm > {seen}"]
        container.bundle.spec["hooks"] = {"poststop": [{"path": "/bin/sh", "args": command}]}
        container.bundle.args("exit", "7").write()
        env = {**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)}
        assert container.run(env=env, check=False).returncode == 7
        assert seen.read_text() == "orlop\n"
        assert self.calls(planner) == 1

    def test_another_removes_what_has_taken_its_time(
        self, planner: Planner, container: Container
    ) -> None:
        idle = {pid: os.pidfd_open(pid) for pid in workers(planner)}
        running = self.running(planner, container)
        poll = select.poll()
        for pidfd in idle.values():
            poll.register(pidfd, select.POLLIN)
        assert len(poll.poll(limit(20) * 1000)) == 1  # the container runs, its worker has gone
        for pidfd in idle.values():
            os.close(pidfd)
        container.kill()
        assert running.result(30).returncode == 128 + signal.SIGKILL
        assert container.id not in container.cli("list").stdout
        assert self.calls(planner) == 2  # run, delete

    def test_another_removes_what_a_killed_worker_leaves(
        self, planner: Planner, container: Container
    ) -> None:
        idle = workers(planner)
        running = self.running(planner, container)
        self.until_it_waits(running)
        for pid in idle:
            os.kill(pid, signal.SIGKILL)
        container.kill()
        assert running.result(30).returncode == 128 + signal.SIGKILL
        assert container.id not in container.cli("list").stdout


class TestKilled:
    """A create that waits in a hook, and somebody's end."""

    @pytest.fixture
    def fifo(self, tmp_path: Path, bundle: Bundle) -> Path:
        path = tmp_path / "fifo"
        os.mkfifo(path)
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ > {path}; exec sleep 1000"]}
        bundle.spec["hooks"] = {"createRuntime": [hook]}
        bundle.write()
        return path

    @staticmethod
    def begin(planner: Planner, orlop: Cli, bundle: Bundle, fifo: Path) -> tuple[cli.Running, int]:
        env = {**cli.ENVIRONMENT, "ORLOP_PLANNER": str(planner.socket)}
        running = orlop.spawn("create", "--bundle", bundle.path, "waits", env=env)
        return running, int(fifo.read_bytes())

    def test_the_caller(self, planner: Planner, orlop: Cli, bundle: Bundle, fifo: Path) -> None:
        before = {pid: os.pidfd_open(pid) for pid in workers(planner)}
        running, hook = self.begin(planner, orlop, bundle, fifo)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(timeout=limit(10))
        poll = select.poll()
        for pidfd in before.values():
            poll.register(pidfd, select.POLLIN)
        assert poll.poll(limit(10) * 1000)  # its worker has ended, too
        for pidfd in before.values():
            os.close(pidfd)
        os.kill(hook, signal.SIGKILL)
        assert '"status": "stopped"' in orlop("state", "waits").stdout
        orlop("delete", "--force", "waits")
        assert "waits" not in orlop("list").stdout

    def test_the_planner(self, planner: Planner, orlop: Cli, bundle: Bundle, fifo: Path) -> None:
        running, hook = self.begin(planner, orlop, bundle, fifo)
        planner.process.kill()
        planner.process.wait()
        assert running.process.poll() is None  # what was begun goes on
        assert '"status": "creating"' in orlop("state", "waits").stdout
        os.kill(hook, signal.SIGKILL)
        assert running.result(30).returncode == 1  # a hook that fails
        assert "waits" not in orlop("list").stdout

    def test_the_worker(self, planner: Planner, orlop: Cli, bundle: Bundle, fifo: Path) -> None:
        idle = workers(planner)
        running, hook = self.begin(planner, orlop, bundle, fifo)
        for pid in idle:
            os.kill(pid, signal.SIGKILL)
        result = running.result(30)
        os.kill(hook, signal.SIGKILL)
        assert result.returncode == 1
        assert "the planner ended" in result.stderr
        orlop("delete", "--force", "waits")
        assert "waits" not in orlop("list").stdout
