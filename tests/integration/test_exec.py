# SPDX-License-Identifier: Apache-2.0
"""exec: a further process in a container, as its flags or a process file describe it."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, probe, waiting
from tests.support.features import requires
from tests.support.refusal import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [requires("root"), pytest.mark.v2]

#: Bit of CAP_NET_RAW in the masks of proc_pid_status(5).
NET_RAW = 1 << 13


@pytest.fixture
def running(container: Container) -> Container:
    """A container whose program waits."""
    container.bundle.args("sleep")
    container.run_detached()
    assert container.read_line() == "ready"
    return container


@pytest.fixture
def refuse(running: Container, watch: Watch) -> Refusal:
    """Run an exec that must be refused, in `running`."""
    return Refusal(running.cli, watch, running.bundle)


def run(container: Container, *options: str | Path, facts: tuple[str, ...]) -> str:
    """`exec options... ID /bin/probe facts...`; its output."""
    return container.cli("exec", *options, container.id, "/bin/probe", *facts).stdout


def process_file(path: Path, *argv: str, **members: object) -> Path:
    """Write a process for `--process`."""
    process = {"args": ["/bin/probe", *argv], "cwd": "/", "env": [], **members}
    path.write_text(json.dumps(process))
    return path


class TestStatus:
    """The exit status."""

    @pytest.mark.parametrize("status", [0, 1, 42, 255])
    def test_it_is_the_programs(self, running: Container, status: int) -> None:
        assert running.exec("exit", str(status), check=False).returncode == status

    @pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
    def test_it_is_128_and_the_signal(self, running: Container, name: str) -> None:
        number = signal.Signals[f"SIG{name}"]
        assert running.exec("killself", name, check=False).returncode == 128 + number

    def test_it_is_255_when_the_program_is_missing(
        self, running: Container, refuse: Refusal
    ) -> None:
        message = refuse("exec", running.id, "no-such-program", status=255)
        assert '"no-such-program": executable file not found in $PATH' in message

    def test_it_is_255_when_the_command_is_missing(
        self, running: Container, refuse: Refusal
    ) -> None:
        assert "needs a command" in refuse("exec", running.id, status=255)

    def test_the_container_goes_on(self, running: Container) -> None:
        running.exec("exit", "3", check=False)
        assert running.status == "running"


class TestPlace:
    """Where the process is."""

    def test_it_is_in_the_inits_namespaces(self, running: Container) -> None:
        pid = running.pid
        theirs = [
            os.readlink(f"/proc/{pid}/ns/{name}")
            for name in sorted(os.listdir("/proc/self/ns"))
            if not name.endswith("_for_children")
        ]
        assert running.exec("ns").stdout.split() == theirs

    def test_it_is_in_the_containers_cgroup(self, running: Container) -> None:
        running.cli("exec", "--detach", running.id, "/bin/probe", "sleep")
        assert len(hierarchies.processes(running.bundle.cgroup)) == 2

    def test_its_root_is_the_containers(self, running: Container) -> None:
        assert "probe" in running.exec("ls", "/bin").stdout.split()

    def test_a_created_container_takes_one_too(self, container: Container) -> None:
        container.create()
        assert container.exec("hostname").stdout == "orlop\n"

    def test_it_has_no_descriptors_but_its_stdio(self, running: Container) -> None:
        assert [line.split()[0] for line in running.exec("fds").stdout.splitlines()] == list("012")

    def test_it_leads_its_own_session(self, running: Container) -> None:
        facts = probe.facts(running.exec("pid").stdout)
        assert facts["sid"] == facts["pid"]
        assert facts["pid"] != "1"


class TestFlags:
    """What the flags change; the rest is as in the container's own process."""

    def test_without_flags_it_is_like_the_containers_process(self, container: Container) -> None:
        container.bundle.process.update(
            cwd="/work",
            env=["A=1"],
            user={"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o77},
        )
        facts = ("id", "--", "umask", "--", "cwd", "--", "env", "--", "caps", "--", "rlimits")
        container.bundle.args("sleep")
        container.run_detached()
        answers = container.exec(*facts).stdout
        container.close()
        container.bundle.args(*facts)
        assert container.run().stdout == answers

    @pytest.mark.parametrize("flag", [["-u", "1000:5"], ["--user", "1000:5"], ["--user=1000:5"]])
    def test_user_and_group(self, running: Container, flag: list[str]) -> None:
        facts = probe.facts(run(running, *flag, facts=("id",)))
        assert (facts["uid"], facts["gid"]) == ("1000", "5")

    def test_a_user_without_group_keeps_the_group(self, running: Container) -> None:
        facts = probe.facts(run(running, "-u", "1000", facts=("id",)))
        assert (facts["uid"], facts["gid"]) == ("1000", "0")

    @pytest.mark.parametrize(
        "user", ["1000:", ":5", "1000:5x", "-1", "4294967295", "4294967296", "root", "0x1", " 1"]
    )
    def test_a_user_that_is_no_number_is_refused(
        self, running: Container, refuse: Refusal, user: str
    ) -> None:
        # CVE-2026-30892: a name that is misread becomes another user.
        message = refuse("exec", "--user", user, running.id, "/bin/probe", "id", status=255)
        assert "--user" in message

    def test_additional_groups(self, running: Container) -> None:
        facts = probe.facts(run(running, "-g", "33", "--additional-gids", "44", facts=("id",)))
        assert facts["groups"] == "33 44"

    def test_variables_are_added_and_replaced(self, running: Container) -> None:
        options = ["-e", "A=1", "--env", "TERM=dumb"]
        lines = run(running, *options, facts=("env", "A", "--", "env", "TERM")).splitlines()
        assert lines == ["1", "dumb"]

    def test_the_working_directory(self, running: Container) -> None:
        assert run(running, "--cwd", "/work", facts=("cwd",)) == "/work\n"

    def test_a_capability_is_added_but_never_inheritable(self, running: Container) -> None:
        # CVE-2022-29162.
        before = probe.facts(running.exec("caps").stdout)
        after = probe.facts(run(running, "--cap", "CAP_NET_RAW", facts=("caps",)))
        for name in ("CapBnd", "CapEff", "CapPrm"):
            assert int(after[name], 16) == int(before[name], 16) | NET_RAW
        assert int(after["CapInh"], 16) == int(before["CapInh"], 16) == 0

    def test_an_unknown_capability_is_left_out_with_a_warning(
        self, running: Container, tmp_path: Path
    ) -> None:
        before = running.exec("caps").stdout
        log = tmp_path / "log"
        command = ("exec", "--cap", "CAP_NOPE", running.id, "/bin/probe", "caps")
        result = running.cli("--log", log, *command)
        assert probe.facts(result.stdout) == probe.facts(before)
        assert "--cap CAP_NOPE: no such capability, left out" in log.read_text()

    def test_no_new_privileges(self, container: Container) -> None:
        container.bundle.process["noNewPrivileges"] = False
        container.bundle.args("sleep")
        container.run_detached()
        assert probe.facts(container.exec("caps").stdout)["NoNewPrivs"] == "0"
        changed = run(container, "--no-new-privs", facts=("caps",))
        assert probe.facts(changed)["NoNewPrivs"] == "1"

    def test_no_new_privileges_can_be_taken_back(self, container: Container) -> None:
        container.bundle.process["noNewPrivileges"] = True
        container.bundle.args("sleep")
        container.run_detached()
        for flag, value in (("--no-new-privs=false", "0"), ("--no-new-privs=true", "1")):
            changed = run(container, flag, facts=("caps",))
            assert probe.facts(changed)["NoNewPrivs"] == value

    def test_what_follows_the_id_is_the_programs_own(self, running: Container) -> None:
        words = ["--cwd", "/nowhere", "-d", "", "a b"]
        assert running.exec("args", *words).stdout.splitlines() == ["args", *words]

    def test_a_preserved_descriptor(self, running: Container) -> None:
        # The test's own numbers are not to be disturbed: a shell opens the descriptor.
        command = running.cli.command("exec", "--preserve-fds", "1", running.id)
        pipe, writer = os.pipe()
        script = 'exec 3</etc/hostname && exec "$@" /bin/probe readlink /proc/self/fd/3'
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", script, "sh", *command],
            {"PATH": "/usr/bin:/bin"},
            file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
        )
        os.close(writer)
        with os.fdopen(pipe) as output:
            assert output.read() == "/etc/hostname\n"
        assert os.waitpid(pid, 0)[1] == 0

    def test_a_missing_preserved_descriptor(self, running: Container, refuse: Refusal) -> None:
        argv = ["exec", "--preserve-fds", "2", running.id, "/bin/probe", "true"]
        assert refuse(*argv, status=255).startswith("unable to stat preserved-fd 3")


class TestProcessFile:
    """`--process`."""

    @pytest.mark.parametrize("flag", ["-p", "--process"])
    def test_it_says_all(self, running: Container, tmp_path: Path, flag: str) -> None:
        path = process_file(
            tmp_path / "process.json",
            *("id", "--", "cwd", "--", "env"),
            cwd="/work",
            env=["A=1"],
            user={"uid": 7, "gid": 8},
        )
        answers = running.cli("exec", flag, path, running.id).stdout
        assert probe.facts(answers)["uid"] == "7"
        assert answers.splitlines()[-3:] == [
            "/work",
            "A=1",
            "HOME=/",
        ]  # nobody's passwd names uid 7

    def test_without_capabilities_it_has_the_containers(
        self, running: Container, tmp_path: Path
    ) -> None:
        path = process_file(tmp_path / "process.json", "caps")
        facts = probe.facts(running.cli("exec", "--process", path, running.id).stdout)
        container = probe.facts(running.exec("caps").stdout)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert facts[name] == container[name]

    def test_with_empty_capabilities_it_has_none(self, running: Container, tmp_path: Path) -> None:
        path = process_file(tmp_path / "process.json", "caps", capabilities={})
        facts = probe.facts(running.cli("exec", "--process", path, running.id).stdout)
        assert {facts[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}

    def test_a_missing_one(self, running: Container, refuse: Refusal, tmp_path: Path) -> None:
        message = refuse("exec", "--process", tmp_path / "nowhere", running.id, status=255)
        assert message == f"process file {tmp_path}/nowhere: no such file or directory"

    def test_all_its_violations_are_said_at_once(
        self, running: Container, refuse: Refusal, tmp_path: Path
    ) -> None:
        path = process_file(tmp_path / "process.json", cwd="work", oomScoreAdj=2000)
        message = refuse("exec", "--process", path, running.id, status=255)
        assert "/cwd: found " in message
        assert "/oomScoreAdj: found 2000" in message

    def test_a_command_beside_it_is_refused(
        self, running: Container, refuse: Refusal, tmp_path: Path
    ) -> None:
        path = process_file(tmp_path / "process.json", "true")
        message = refuse("exec", "-p", path, running.id, "/bin/probe", "true", status=255)
        assert "--process" in message


class TestChangedConfiguration:
    """config.json is read at each exec; what it says by then."""

    def test_a_process_has_what_it_says_now(self, running: Container) -> None:
        running.bundle.process["cwd"] = "/bin"
        running.bundle.write()
        assert running.exec("cwd").stdout == "/bin\n"

    def test_what_concerns_no_further_process_is_not_looked_at(self, running: Container) -> None:
        running.bundle.spec["hooks"] = {"prestart": [{"path": "not absolute"}]}
        running.bundle.write()
        assert running.exec("cwd").stdout == "/\n"

    def test_what_does_is(self, running: Container, refuse: Refusal) -> None:
        spec = running.bundle.spec
        running.bundle.process["oomScoreAdj"] = 2000
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}
        running.bundle.process["env"] = ["A=\0"]
        running.bundle.write()
        message = refuse("exec", running.id, "/bin/probe", "true", status=255)
        for pointer in ("/process/oomScoreAdj", "/linux/seccomp/defaultErrnoRet", "/process/env/0"):
            assert pointer in message
        spec["linux"]["seccomp"] = {"defaultAction": 1}
        running.bundle.write()
        message = refuse("exec", running.id, "/bin/probe", "true", status=255)
        assert "/linux/seccomp/defaultAction" in message


class TestDetach:
    """`--detach`."""

    @pytest.mark.parametrize("flag", ["-d", "--detach"])
    def test_it_returns_while_the_program_runs(
        self, running: Container, tmp_path: Path, flag: str
    ) -> None:
        argv = ["exec", flag, "--pid-file", f"{tmp_path}/pid", running.id, "/bin/probe", "sleep"]
        result = running.cli(*argv)
        text = (tmp_path / "pid").read_text()
        assert text == str(int(text))
        assert int(text) in hierarchies.processes(running.bundle.cgroup)
        assert result.stderr == ""

    def test_it_fails_when_the_program_can_not_start(
        self, running: Container, refuse: Refusal, tmp_path: Path
    ) -> None:
        argv = ["exec", "-d", "--pid-file", f"{tmp_path}/pid", running.id, "/no/such/program"]
        assert "executable file not found" in refuse(*argv, status=255)
        assert not (tmp_path / "pid").exists()

    def test_its_program_ends_with_the_init(self, running: Container, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        running.cli("exec", "-d", "--pid-file", path, running.id, "/bin/probe", "sleep")
        pidfd = waiting.pidfd(int(path.read_text()))
        running.kill("KILL")
        waiting.readable(pidfd, 20, "the process to end")
        os.close(pidfd)

    def test_the_foreground_writes_a_pid_file_too(self, running: Container, tmp_path: Path) -> None:
        running.cli("exec", "--pid-file", tmp_path / "pid", running.id, "/bin/probe", "exit", "0")
        assert (tmp_path / "pid").read_text().isdecimal()
