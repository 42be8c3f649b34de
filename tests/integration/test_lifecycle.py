# SPDX-License-Identifier: Apache-2.0
"""create, start, state, kill, delete, run: what each does and says, as runc does and says it."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, waiting
from tests.support.features import requires
from tests.support.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [requires("root"), pytest.mark.v2]

#: RFC 3339 with a fraction of a second, as Go's time.RFC3339Nano writes it in UTC.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z")


@pytest.fixture
def refuse(orlop: Cli, watch: Watch, bundle: Bundle) -> Refusal:
    """Run what must be refused."""
    return Refusal(orlop, watch, bundle)


@pytest.fixture
def created(container: Container) -> Container:
    """A created container, whose program will say "ready" and then end by SIGTERM."""
    container.bundle.args("sleep")
    container.create()
    return container


@pytest.fixture
def running(created: Container) -> Container:
    """The same, running."""
    created.start()
    assert created.read_line() == "ready"
    return created


@pytest.fixture
def stopped(running: Container) -> Container:
    """The same, ended."""
    pidfd = waiting.pidfd(running.pid)
    running.kill("KILL")
    waiting.readable(pidfd, 20, "the init's end")
    os.close(pidfd)
    return running


class TestSuccess:
    """What goes well is silent."""

    def test_no_verb_says_anything(self, container: Container) -> None:
        container.bundle.args("sleep")
        verbs = (container.create, container.start, container.kill)
        said = [(result.stdout, result.stderr) for result in (verb() for verb in verbs)]
        container.wait()
        deleted = container.delete()
        assert [*said, (deleted.stdout, deleted.stderr)] == [("", "")] * 4


class TestState:
    """`state`, and what each verb does to it."""

    def test_it_has_runcs_members_in_runcs_layout(self, created: Container) -> None:
        text = created.cli("state", created.id).stdout
        state = json.loads(text)
        assert text == json.dumps(state, indent=2)
        members = "ociVersion id pid status bundle rootfs created owner"
        assert list(state) == members.split()
        assert state["id"] == created.id
        assert state["bundle"] == str(created.bundle.path)
        assert state["rootfs"] == str(created.bundle.rootfs)
        assert state["owner"] == ""
        assert re.fullmatch(r"1\.\d+\.\d+(-.*)?", state["ociVersion"])
        assert TIME.fullmatch(state["created"])

    def test_annotations_are_in_it(self, container: Container) -> None:
        container.bundle.spec["annotations"] = {"org.example.key": "välue"}
        container.create()
        assert container.state()["annotations"] == {"org.example.key": "välue"}

    def test_its_pid_is_the_inits_on_the_host(self, created: Container) -> None:
        root = os.stat(f"/proc/{created.pid}/root")
        rootfs = os.stat(created.bundle.rootfs)
        assert (root.st_dev, root.st_ino) == (rootfs.st_dev, rootfs.st_ino)

    def test_the_program_does_not_run_before_start(self, container: Container) -> None:
        container.bundle.args("write", "/work/ran")
        container.create()
        assert container.status == "created"
        assert not (container.bundle.rootfs / "work/ran").exists()
        pid = container.pid
        container.start()
        waiting.ended(pid)
        assert (container.bundle.rootfs / "work/ran").exists()

    def test_start_keeps_the_pid(self, created: Container) -> None:
        before = created.state()
        created.start()
        assert created.state() == {**before, "status": "running"}

    def test_it_is_stopped_with_pid_0_when_the_init_has_ended(self, stopped: Container) -> None:
        state = stopped.state()
        assert (state["status"], state["pid"]) == ("stopped", 0)

    def test_it_is_stopped_when_the_init_died_before_start(self, created: Container) -> None:
        pid = created.pid
        pidfd = waiting.pidfd(pid)
        os.kill(pid, 9)
        waiting.readable(pidfd, 20, "the init's end")
        os.close(pidfd)
        assert created.status == "stopped"
        created.delete()

    def test_start_returns_when_the_program_runs(self, created: Container) -> None:
        pid = created.pid
        created.start()
        with open(f"/proc/{pid}/cmdline", encoding="ascii") as file:
            assert file.read() == "/bin/probe\0sleep\0"

    def test_changes_of_the_bundle_after_create_do_not_matter(self, created: Container) -> None:
        (created.bundle.path / "config.json").unlink()
        created.start()
        assert created.read_line() == "ready"
        assert created.status == "running"


class TestKill:
    """`kill`."""

    @pytest.mark.parametrize("form", ["USR1", "SIGUSR1", "usr1", "sigusr1", "10"])
    def test_a_signal_has_many_names(self, container: Container, form: str) -> None:
        container.bundle.args("trap", "USR1")
        container.run_detached()
        assert container.read_line() == "ready"
        container.kill(form)
        assert container.output() == "SIGUSR1\n"

    @pytest.mark.parametrize(
        ("form", "number"),
        [("RTMIN", 34), ("SIGRTMIN+5", 39), ("rtmax-3", 61), ("RTMAX", 64), ("64", 64), ("34", 34)],
    )
    def test_real_time_signals_have_names_too(
        self, container: Container, form: str, number: int
    ) -> None:
        container.bundle.args("trap", str(number))  # waits for this one alone
        container.run_detached()
        assert container.read_line() == "ready"
        container.kill(form)
        assert container.read_line().startswith("SIG")

    def test_0_asks_whether_it_runs(self, created: Container) -> None:
        created.kill("0")
        assert created.status == "created"
        created.kill("KILL")
        created.wait()
        result = created.kill("0", check=False)
        assert (result.returncode, result.stderr) == (1, "orlop: container not running\n")

    def test_an_empty_signal_is_the_usual_one(self, container: Container) -> None:
        container.bundle.args("trap", "TERM")
        container.run_detached()
        assert container.read_line() == "ready"
        container.kill("")
        assert container.output() == "SIGTERM\n"

    def test_it_sends_sigterm_unless_told_otherwise(self, container: Container) -> None:
        container.bundle.args("trap", "TERM", "KILL")
        container.run_detached()
        assert container.read_line() == "ready"
        container.cli("kill", container.id)
        assert container.output() == "SIGTERM\n"

    def test_a_created_container_can_be_killed(self, created: Container) -> None:
        pidfd = waiting.pidfd(created.pid)
        created.kill("KILL")
        waiting.readable(pidfd, 20, "the init's end")
        os.close(pidfd)
        assert created.status == "stopped"

    def test_all_makes_a_stopped_container_no_error(self, stopped: Container) -> None:
        for options in (["--all"], ["-a"], ["--all=true"]):
            stopped.cli("kill", *options, stopped.id, "KILL")

    def test_sigkill_ends_all_of_a_container_that_shares_pids(self, container: Container) -> None:
        container.bundle.drop_namespace("pid")
        container.bundle.args("sleep")
        container.run_detached()
        assert container.read_line() == "ready"
        container.cli("exec", "--detach", container.id, "/bin/probe", "sleep")
        pids = hierarchies.processes(container.bundle.cgroup)
        assert len(pids) == 2
        pidfds = [waiting.pidfd(pid) for pid in pids]
        container.kill("KILL")
        for pidfd in pidfds:
            waiting.readable(pidfd, 20, "a process of the container to end")
            os.close(pidfd)


class TestDelete:
    """`delete`."""

    def test_it_removes_all_of_a_stopped_container(self, stopped: Container, watch: Watch) -> None:
        stopped.delete()
        assert [line for line in watch.found() if not line.startswith("descriptor")] == []
        result = stopped.cli("state", stopped.id, check=False)
        assert "container does not exist" in result.stderr

    def test_it_removes_all_of_a_created_container(self, created: Container, watch: Watch) -> None:
        created.delete()
        assert [line for line in watch.found() if not line.startswith("descriptor")] == []

    def test_force_removes_all_of_a_running_container(
        self, running: Container, watch: Watch
    ) -> None:
        running.delete("--force")
        assert [line for line in watch.found() if not line.startswith("descriptor")] == []

    def test_force_ends_all_of_a_container_that_shares_pids(
        self, container: Container, watch: Watch
    ) -> None:
        container.bundle.drop_namespace("pid")
        container.bundle.args("sleep")
        container.run_detached()
        assert container.read_line() == "ready"
        container.cli("exec", "--detach", container.id, "/bin/probe", "sleep")
        container.delete("-f")
        assert [line for line in watch.found() if not line.startswith("descriptor")] == []

    @pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
    def test_force_removes_cgroups_that_the_container_made(
        self, running: Container, watch: Watch, *, frozen: bool
    ) -> None:
        cgroup = running.bundle.cgroup
        tops = [path for path in hierarchies.below(cgroup) if path.name == cgroup.split("/")[-1]]
        for top in tops:
            (top / "sub/sub").mkdir(parents=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (top / name).exists() and "cpuset" in str(top):
                    for below in (top / "sub", top / "sub/sub"):
                        (below / name).write_text((top / name).read_text())
        running.cli(*("exec", "--detach", "--cgroup", "sub/sub", running.id, "/bin/probe", "sleep"))
        if frozen:
            v1 = hierarchies.mode() != "v2"
            top = hierarchies.directory("freezer", cgroup) / "sub"
            (top / ("freezer.state" if v1 else "cgroup.freeze")).write_text("FROZEN" if v1 else "1")
        running.delete("--force")
        assert [line for line in watch.settled() if not line.startswith("descriptor")] == []

    def test_force_of_what_is_not_there_is_no_error(self, running: Container) -> None:
        for _ in range(3):
            running.delete("--force")

    def test_an_id_can_be_used_again(self, stopped: Container) -> None:
        stopped.delete()
        stopped.cli("create", "--bundle", stopped.bundle.path, stopped.id)
        assert stopped.status == "created"


class TestWrongStatus:
    """A verb that the status does not allow changes nothing."""

    def test_start_of_a_running_container(self, running: Container, refuse: Refusal) -> None:
        assert refuse("start", running.id) == "cannot start an already running container"

    def test_start_of_a_stopped_container(self, stopped: Container, refuse: Refusal) -> None:
        assert refuse("start", stopped.id) == "cannot start a container that has stopped"

    def test_delete_of_a_running_container(self, running: Container, refuse: Refusal) -> None:
        expected = f"cannot delete container {running.id} that is not stopped: running"
        assert refuse("delete", running.id).startswith(expected)
        assert running.status == "running"

    def test_kill_of_a_stopped_container(self, stopped: Container, refuse: Refusal) -> None:
        assert refuse("kill", stopped.id, "TERM") == "container not running"

    def test_exec_in_a_stopped_container(self, stopped: Container, refuse: Refusal) -> None:
        message = refuse("exec", stopped.id, "/bin/probe", "true", status=255)
        assert message == "cannot exec in a stopped container"

    @pytest.mark.parametrize("status", ["created", "running", "stopped"])
    def test_create_with_the_same_id(
        self, request: pytest.FixtureRequest, refuse: Refusal, status: str
    ) -> None:
        container: Container = request.getfixturevalue(status)
        message = refuse("create", "--bundle", container.bundle.path, container.id)
        assert "container with given ID already exists" in message
        assert container.status == status

    def test_run_with_the_same_id(self, running: Container, refuse: Refusal) -> None:
        for options in ([], ["--detach"]):
            message = refuse("run", *options, "--bundle", running.bundle.path, running.id)
            assert "container with given ID already exists" in message
        assert running.status == "running"


class TestPidFile:
    """`--pid-file`."""

    @pytest.mark.parametrize("verb", ["create", "run_detached"])
    def test_it_has_the_pid_and_no_newline(
        self, container: Container, tmp_path: Path, verb: str
    ) -> None:
        container.bundle.args("sleep")
        getattr(container, verb)("--pid-file", str(tmp_path / "pid"))
        assert (tmp_path / "pid").read_text() == str(container.pid)
        assert not (tmp_path / ".pid").exists()

    def test_it_replaces_another_file_by_rename(self, container: Container, tmp_path: Path) -> None:
        (tmp_path / "pid").write_text("old")
        os.link(tmp_path / "pid", tmp_path / "old")
        container.create("--pid-file", str(tmp_path / "pid"))
        assert (tmp_path / "pid").read_text() == str(container.pid)
        assert (tmp_path / "old").read_text() == "old"

    def test_it_may_be_relative(self, container: Container, tmp_path: Path) -> None:
        container.create("--pid-file", "pid", cwd=tmp_path)
        assert (tmp_path / "pid").read_text() == str(container.pid)


class TestRun:
    """`run`."""

    def test_it_removes_the_container_and_has_the_programs_status(
        self, container: Container, watch: Watch
    ) -> None:
        container.bundle.args("exit", "41")
        assert container.run(check=False).returncode == 41
        assert watch.found() == []

    def test_keep_keeps_the_container(self, container: Container) -> None:
        container.bundle.args("exit", "3")
        assert container.run("--keep", check=False).returncode == 3
        assert container.status == "stopped"
        container.delete()

    def test_detach_returns_while_the_program_runs(self, container: Container) -> None:
        container.bundle.args("sleep")
        container.run_detached()
        assert container.status == "running"

    def test_a_detached_container_stays_when_its_program_has_ended(
        self, container: Container
    ) -> None:
        container.bundle.args("exit", "3")
        container.run_detached()
        container.wait()
        assert container.status == "stopped"

    def test_the_bundle_is_the_working_directory_unless_told_otherwise(
        self, container: Container
    ) -> None:
        container.bundle.args("hostname").write()
        result = container.cli("run", container.id, cwd=container.bundle.path)
        assert result.stdout == "orlop\n"

    def test_the_programs_input_and_output_are_the_callers(self, container: Container) -> None:
        container.bundle.args("echo")
        assert container.run(input="typed").stdout == "typed"

    def test_it_works_with_an_empty_environment(self, container: Container) -> None:
        container.bundle.args("env", "PATH")
        assert container.run(env={}).stdout.startswith("/usr/local/sbin:")


class TestStateRoot:
    """`--root`."""

    def test_it_is_made_for_its_owner_alone(self, created: Container) -> None:
        mode = os.stat(created.cli.root).st_mode
        assert stat.S_IMODE(mode) == 0o700
        assert stat.S_IMODE(os.stat(created.cli.root / created.id).st_mode) == 0o700

    def test_one_id_may_be_under_two_roots(
        self, created: Container, make_bundle: Callable[[], Bundle], tmp_path: Path
    ) -> None:
        bundle = make_bundle()
        bundle.write()
        other = ["--root", f"{tmp_path}/other"]
        created.cli(*other, "create", "--bundle", bundle.path, created.id)
        created.cli(*other, "delete", "--force", created.id)
        assert created.status == "created"
        assert list((tmp_path / "other").iterdir()) == []

    def test_it_may_have_any_length(self, orlop: Cli, bundle: Bundle, tmp_path: Path) -> None:
        # A path of a unix socket has at most 107 bytes (unix(7)).
        root = tmp_path / ("long" * 50)
        bundle.args("write", "/work/ran").write()
        orlop("--root", root, "run", "--bundle", bundle.path, "c")
        assert (bundle.rootfs / "work/ran").exists()

    def test_it_may_be_relative(self, orlop: Cli, bundle: Bundle, tmp_path: Path) -> None:
        bundle.write()
        orlop("--root", "here", "create", "--bundle", "bundle-1", "c", cwd=tmp_path)
        assert (tmp_path / "here/c/state.json").exists()
        orlop("--root=here", "delete", "-f", "c", cwd=tmp_path)
