# SPDX-License-Identifier: Apache-2.0
"""An unprivileged user's containers: with one id or many, with cgroups of the user's and without.

A real user, without any capability: nobody, where root runs the tests.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, probe, waiting
from tests.support.cli import ENVIRONMENT, program
from tests.support.features import NOBODY, requires
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.container import Container

pytestmark = [requires("root", "rootless"), pytest.mark.root, pytest.mark.v2]


class TestWithOneId:
    """The user's own id is the container's root; there is no cgroup."""

    def test_a_whole_life(self, rootless: Container) -> None:
        rootless.bundle.args("id", "--", "sleep")
        rootless.create()
        assert rootless.status == "created"
        rootless.start()
        assert probe.facts("\n".join(rootless.read_line() for _ in range(2)))["uid"] == "0"
        assert os.stat(f"/proc/{rootless.pid}").st_uid in (0, NOBODY)  # 0: it can't be dumped
        row = json.loads(rootless.cli("list", "--format", "json").stdout)
        assert [(each["id"], each["owner"]) for each in row] == [(rootless.id, "nobody")]
        rootless.kill("TERM")
        rootless.wait()
        assert rootless.status == "stopped"
        rootless.delete()
        assert list(rootless.cli.root.iterdir()) == []

    def test_exec_is_in_all_its_namespaces(self, rootless: Container) -> None:
        started(rootless)
        command = ("exec", rootless.id, "/bin/probe", "id", "--", "ns")
        said = rootless.cli(*command).stdout
        assert probe.facts(said)["uid"] == "0"
        theirs = {os.readlink(path) for path in Path(f"/proc/{rootless.pid}/ns").iterdir()}
        host = {os.readlink(path) for path in Path("/proc/self/ns").iterdir()}
        own = theirs - host
        assert len(own) >= 5  # user, mount, pid, ipc and uts
        assert own <= set(said.splitlines())

    def test_a_status_of_exec_and_of_run_is_the_programs(self, rootless: Container) -> None:
        started(rootless)
        command = ("exec", rootless.id, "/bin/probe", "exit", "7")
        assert rootless.cli(*command, check=False).returncode == 7
        rootless.delete("--force")
        rootless.bundle.args("exit", "8")
        assert rootless.run(check=False).returncode == 8

    def test_force_ends_and_removes_it(self, rootless: Container) -> None:
        pid = started(rootless).pid
        rootless.delete("--force")
        waiting.ended(pid)
        assert list(rootless.cli.root.iterdir()) == []

    def test_a_pause_without_a_cgroup_is_refused(self, rootless: Container) -> None:
        started(rootless)
        for verb in ("pause", "resume"):
            result = rootless.cli(verb, rootless.id, check=False)
            assert result.returncode == 1
            assert "no cgroup" in result.stderr

    def test_another_id_is_refused_with_the_reason(self, rootless: Container) -> None:
        rootless.bundle.process["user"] = {"uid": 5, "gid": 0}
        result = rootless.create(check=False)
        assert result.returncode == 1
        assert "/process/user" in result.stderr

    def test_the_runtimes_own_switch_says_that_permission_may_not_lack(
        self, rootless: Container
    ) -> None:
        rootless.bundle.write()
        command = ("create", "--bundle", rootless.bundle.path, rootless.id)
        result = rootless.cli("--rootless", "false", *command, check=False)
        assert result.returncode == 1
        assert "make cgroup" in result.stderr
        assert list(rootless.cli.root.iterdir()) == []
        for value in ("true", "auto", "1"):
            rootless.cli(f"--rootless={value}", *command)
            rootless.delete("--force")


class TestSpec:
    """`spec --rootless` is run as it is."""

    def test_it_runs_as_it_is_on_the_users_terminal(self, rootless: Container) -> None:
        folder = rootless.bundle.path
        shutil.copy(probe.build(), rootless.bundle.rootfs / "bin/sh")
        rootless.cli("spec", "--rootless", cwd=folder)
        master, slave = pty.openpty()
        try:
            os.fchown(slave, NOBODY, NOBODY)
            running = rootless.cli.spawn("run", rootless.id, cwd=folder, stdin=slave, stdout=slave)
            result = running.result()
        finally:
            os.close(master)
            os.close(slave)
        assert (result.returncode, result.stderr) == (0, "")


class TestStateRoot:
    """Without --root it is below XDG_RUNTIME_DIR."""

    def run(self, rootless: Container, *argv: str | Path) -> str:
        """Run the runtime as its user, in an environment as systemd makes it for users."""
        directory = rootless.cli.directory
        env = {**ENVIRONMENT, "XDG_RUNTIME_DIR": str(directory)}
        with (directory / "said").open("w+") as said:
            subprocess.run(
                [*program(), *map(str, argv)],
                env=env,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                stdout=said,
                check=True,
                timeout=waiting.limit(30),
            )
            said.seek(0)
            return said.read()

    def test_it_has_the_sticky_bit(self, rootless: Container) -> None:
        """The XDG Base Directory Specification: what has it is not cleaned up."""
        rootless.bundle.args("sleep").write()
        self.run(rootless, "create", "--bundle", rootless.bundle.path, rootless.id)
        root = rootless.cli.directory / (program()[0].rpartition("/")[2])
        assert (root / rootless.id).is_dir()
        assert stat.S_IMODE(root.stat().st_mode) == 0o1700
        assert self.run(rootless, "list", "--quiet") == f"{rootless.id}\n"
        self.run(rootless, "delete", "--force", rootless.id)
        assert rootless.id not in os.listdir(root)


FIRST, COUNT = 700000, 5000


@requires("newuidmap")
class TestWithSubordinateIds:
    """newuidmap(1) and newgidmap(1) write the maps that /etc/subuid and /etc/subgid allow."""

    def create(self, container: Container, stdout: int, *, allowed: int = COUNT) -> tuple[int, str]:
        """Create it where the two files, for this process alone, give the user a range.

        Returns the status, and what was said of an error.
        """
        for kind in ("uid", "gid"):
            own = {"containerID": 0, "hostID": NOBODY, "size": 1}
            more = {"containerID": 1, "hostID": FIRST, "size": COUNT}
            container.bundle.linux[f"{kind}Mappings"] = [own, more]
        container.bundle.write()
        directory = container.cli.directory
        table = directory / "table"
        table.write_text(f"nobody:{FIRST}:{allowed}\n")
        mounts = " && ".join(f'mount --bind "$0" /etc/sub{kind}' for kind in ("uid", "gid"))
        user = f"--reuid {NOBODY} --regid {NOBODY} --clear-groups"
        script = f'{mounts} && exec setpriv {user} "$@"'
        argv = container.cli.command("create", "--bundle", container.bundle.path, container.id)
        command = ["unshare", "--mount", "sh", "-c", script, str(table), *argv]
        with (directory / "err").open("w+") as err:
            done = subprocess.run(
                command,
                stdout=stdout,
                stderr=err,
                cwd=directory,
                timeout=waiting.limit(30),
                check=False,
            )
            err.seek(0)
            return done.returncode, err.read()

    def test_a_program_may_be_any_of_them(self, rootless: Container) -> None:
        rootless.bundle.process["user"] = {"uid": 33, "gid": 44, "additionalGids": [55]}
        rootless.bundle.args("id", "--", "sleep")
        reader, writer = os.pipe()
        created = self.create(rootless, writer)
        os.close(writer)
        assert created == (0, "")
        rootless.start()
        with open(reader) as output:
            facts = probe.facts("".join(iter(output.readline, "ready\n")))
        assert (facts["uid"], facts["gid"], facts["groups"]) == ("33", "44", "55")
        assert os.stat(f"/proc/{rootless.pid}").st_uid in (0, FIRST + 32)
        command = ("exec", "--user", "70:71", rootless.id, "/bin/probe", "id")
        facts = probe.facts(rootless.cli(*command).stdout)
        assert (facts["uid"], facts["gid"]) == ("70", "71")
        rootless.kill("TERM")
        rootless.wait()
        rootless.delete()

    def test_more_than_the_files_allow_is_refused_with_their_word(
        self, rootless: Container
    ) -> None:
        status, message = self.create(rootless, subprocess.DEVNULL, allowed=10)
        assert status == 1
        assert "idMappings: new" in message
        assert "not allowed" in message
        assert list(rootless.cli.root.iterdir()) == []


@requires("cgroup1")
class TestWithCgroupsOfItsOwn:
    """Directories of cgroup v1 that belong to the user: all that a cgroup gives is there."""

    @pytest.fixture
    def delegated(self, cgroup: str, rootless: Container) -> Iterator[str]:
        """A cgroup of the user's in each hierarchy."""
        assert rootless.cli.user == NOBODY
        for top in hierarchies.mountpoints().values():
            path = top / cgroup.lstrip("/")
            path.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (path / name).exists():
                    (path / name).write_text((top / name).read_text())
            os.chown(path, NOBODY, NOBODY)
            for name in ("tasks", "cgroup.procs"):
                if (path / name).exists():
                    os.chown(path / name, NOBODY, NOBODY)
        yield f"{cgroup}/own"
        hierarchies.remove(cgroup)

    def test_limits_hold(self, rootless: Container, delegated: str) -> None:
        rootless.bundle.linux["cgroupsPath"] = delegated
        rootless.bundle.resources["pids"] = {"limit": 9}
        rootless.bundle.args("fork", "20")
        assert "forked 8 EAGAIN" in rootless.run().stdout

    def test_it_is_paused_resumed_killed_and_removed(
        self, rootless: Container, delegated: str
    ) -> None:
        rootless.bundle.linux["cgroupsPath"] = delegated
        started(rootless)
        assert rootless.pid in hierarchies.processes(delegated)
        rootless.cli("pause", rootless.id)
        assert rootless.status == "paused"
        rootless.cli("resume", rootless.id)
        assert rootless.status == "running"
        rootless.cli("pause", rootless.id)
        rootless.delete("--force")
        assert hierarchies.below(delegated) == []

    def test_exec_joins_them(self, rootless: Container, delegated: str) -> None:
        rootless.bundle.linux["cgroupsPath"] = delegated
        started(rootless)
        rootless.cli("exec", "--detach", rootless.id, "/bin/probe", "sleep")
        assert len(hierarchies.processes(delegated)) == 2
