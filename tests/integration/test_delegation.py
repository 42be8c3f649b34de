# SPDX-License-Identifier: Apache-2.0
"""Cgroups that are given away: to a container's user, and to the runtime's, on cgroup v2."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, probe
from tests.support.features import NOBODY, requires
from tests.support.namespaces import FIRST, Mapped
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = [requires("root", "cgroup2"), pytest.mark.root, pytest.mark.v2]

LISTED = Path("/sys/kernel/cgroup/delegate").read_text().split()
TOP = "/sys/fs/cgroup"


def directory(container: Container) -> Path:
    return hierarchies.mountpoints()["v2"] / container.bundle.cgroup.lstrip("/")


def mount_writable(bundle: Bundle) -> None:
    for each in bundle.spec["mounts"]:
        if each["type"] == "cgroup":
            each["options"].remove("ro")


def owners(top: Path) -> dict[str, int]:
    """The owner of the directory (".") and of each file."""
    return {".": top.stat().st_uid, **{path.name: path.stat().st_uid for path in top.iterdir()}}


@pytest.fixture
def mapped(
    make_container: Callable[[Bundle], Container], cgroup: str
) -> Iterator[Callable[[], Container]]:
    made = Mapped(make_container, cgroup)
    yield made
    made.close()


class TestOfContainers:
    """The container's user gets its cgroup; the limits stay root's."""

    def test_root_of_a_user_namespace_gets_it(self, mapped: Callable[[], Container]) -> None:
        container = mapped()
        mount_writable(container.bundle)
        container.bundle.resources["pids"] = {"limit": 40}
        container.bundle.args(
            *("mkdir", f"{TOP}/sub", "--", "write", f"{TOP}/sub/cgroup.procs", "0"),
            *("--", "write", f"{TOP}/cgroup.subtree_control", "+pids"),
            *("--", "cat", "/proc/self/cgroup", "--", "write", f"{TOP}/sub/pids.max", "7"),
            *("--", "cat", f"{TOP}/sub/pids.max", "--", "sleep"),
        )
        container.run_detached()
        lines = [container.read_line() for _ in range(3)]
        assert lines == ["0::/sub", "7", "ready"]
        found = owners(directory(container))
        theirs = {name for name, uid in found.items() if uid == FIRST}
        assert theirs - {"sub"} == {".", *LISTED} & found.keys()
        assert found["pids.max"] == 0

    def test_limits_cannot_be_raised(self, mapped: Callable[[], Container]) -> None:
        container = mapped()
        mount_writable(container.bundle)
        container.bundle.args("write", f"{TOP}/pids.max", "max")
        container.bundle.resources["pids"] = {"limit": 40}
        done = container.run(check=False)
        assert done.returncode == 1
        assert "Permission denied" in done.stderr

    def test_read_only_cgroups_are_not_given(self, mapped: Callable[[], Container]) -> None:
        container = mapped()
        container.create()
        assert set(owners(directory(container)).values()) == {0}

    def test_a_user_without_user_namespace(self, container: Container) -> None:
        mount_writable(container.bundle)
        container.bundle.process["user"] = {"uid": 1000, "gid": 1000}
        container.create()
        found = owners(directory(container))
        assert found["."] == found["cgroup.procs"] == 1000
        assert found["cgroup.freeze"] == 0


@pytest.fixture
def delegated(cgroup: str, rootless: Container) -> Iterator[Path]:
    """A cgroup of the unprivileged user, with a cgroup for the runtime in it."""
    assert rootless.cli.user == NOBODY
    top = hierarchies.mountpoints()["v2"] / cgroup.lstrip("/")
    top.mkdir()
    controllers = hierarchies.mountpoints()["v2"] / "cgroup.subtree_control"
    controllers.write_text("+memory +pids")
    (top / "own").mkdir()
    for path in (top, *(top / name for name in LISTED), top / "own", top / "own/cgroup.procs"):
        if path.exists():
            os.chown(path, NOBODY, NOBODY)
    yield top
    hierarchies.remove(cgroup)


def run_inside(own: Path, cli: Cli, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the runtime as its user, from within a cgroup."""
    user = "--reuid $1 --regid $1 --clear-groups"
    script = f'echo 0 > "$0/cgroup.procs" && exec setpriv {user} "${{@:2}}"'
    command = ["bash", "-c", script, str(own), str(cli.user), *cli.command(*argv)]
    return run_command(command, cli.directory)


def run_command(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run to the end; output goes to files, because a container keeps a pipe open."""
    with (directory / "output").open("w+") as out, (directory / "errors").open("w+") as errors:
        done = subprocess.run(
            command, stdout=out, stderr=errors, timeout=limit(30), check=False, cwd=directory
        )
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, out.read(), errors.read())


@requires("rootless")
class TestOfRootlessUsers:
    """A user's runtime, with and without a cgroup of the user's own."""

    def test_limits_in_a_delegated_cgroup(self, rootless: Container, delegated: Path) -> None:
        bundle = rootless.bundle
        bundle.resources.update(pids={"limit": 9}, memory={"limit": 32 << 20})
        bundle.args("cat", "/proc/self/cgroup", "--", "fork", "20")
        bundle.write()
        done = run_inside(
            delegated / "own", rootless.cli, "run", "--bundle", bundle.path, rootless.id
        )
        assert done.returncode == 0, done.stderr
        assert "forked 8 EAGAIN" in done.stdout
        assert {path.name for path in delegated.iterdir() if path.is_dir()} == {"own"}

    def test_absolute_path_below_the_delegated(
        self, rootless: Container, delegated: Path, cgroup: str
    ) -> None:
        bundle = rootless.bundle
        bundle.linux["cgroupsPath"] = f"{cgroup}/a/b"
        bundle.resources.update(pids={"limit": 9})
        bundle.write()
        arguments = ("create", "--bundle", bundle.path, rootless.id)
        done = run_inside(delegated / "own", rootless.cli, *arguments)
        assert done.returncode == 0, done.stderr
        assert (delegated / "a/b/pids.max").read_text() == "9\n"
        assert owners(delegated / "a/b")["pids.max"] == NOBODY
        assert str(rootless.pid) in (delegated / "a/b/cgroup.procs").read_text()
        rootless.delete("--force")
        assert not (delegated / "a").exists()

    def test_controllers_that_are_not_delegated(self, rootless: Container, delegated: Path) -> None:
        bundle = rootless.bundle
        bundle.resources.update(unified={"hugetlb.2MB.max": "0"})
        bundle.write()
        arguments = ("create", "--bundle", bundle.path, rootless.id)
        done = run_inside(delegated / "own", rootless.cli, *arguments)
        assert done.returncode == 1
        assert "/linux/resources/unified/hugetlb.2MB.max" in done.stderr
        assert {path.name for path in delegated.iterdir() if path.is_dir()} == {"own"}

    def test_limits_without_a_cgroup_are_refused(self, rootless: Container) -> None:
        rootless.bundle.resources["pids"] = {"limit": 9}
        done = rootless.run(check=False)
        assert done.returncode == 1
        assert "/linux/resources/pids/limit: cannot set pids limit" in done.stderr

    def test_no_limits_need_no_cgroup(self, rootless: Container) -> None:
        rootless.bundle.args("id")
        assert probe.facts(rootless.run().stdout)["uid"] == "0"


class TestOfTheRuntimesOwn:
    """Where the runtime is itself in a cgroup that has no room for others."""

    @pytest.fixture
    def own(self, cgroup: str, container: Container) -> Iterator[Path]:
        """A cgroup for the runtime; removed before the container's fixtures look for leaks."""
        assert container.bundle.cgroup.startswith(cgroup)
        top = hierarchies.mountpoints()["v2"] / cgroup.lstrip("/")
        (top / "own").mkdir(parents=True)
        yield top / "own"
        hierarchies.remove(cgroup)

    def run(self, own: Path, container: Container) -> subprocess.CompletedProcess[str]:
        """Run the container from within `own`."""
        container.bundle.write()
        script = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
        command = container.cli.command("run", "--bundle", container.bundle.path, container.id)
        return run_command(["bash", "-c", script, str(own), *command], container.cli.directory)

    def test_relative_path_is_beside_the_runtime(self, own: Path, container: Container) -> None:
        container.bundle.drop_namespace("cgroup")
        container.bundle.linux["cgroupsPath"] = "beside"
        container.bundle.resources["pids"] = {"limit": 9}
        container.bundle.args("cat", "/proc/self/cgroup", "--", "fork", "20")
        done = self.run(own, container)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"0::/{own.parent.name}/beside", "forked 8 EAGAIN"]

    def test_below_the_runtime_there_is_no_room(
        self, own: Path, container: Container, cgroup: str
    ) -> None:
        container.bundle.linux["cgroupsPath"] = f"{cgroup}/own/below"
        container.bundle.resources["memory"] = {"limit": 32 << 20}
        done = self.run(own, container)
        assert done.returncode == 1
        assert "/linux/resources/memory/limit: enable controller" in done.stderr
        assert "no internal processes" in done.stderr
        assert not (own / "below").exists()

    def test_threaded_subtree(self, own: Path, container: Container, cgroup: str) -> None:
        (own.parent / "threads").mkdir()
        (own.parent / "threads/cgroup.type").write_text("threaded")
        container.bundle.linux["cgroupsPath"] = f"{cgroup}/threads/below"
        done = container.run(check=False)
        assert done.returncode == 1
        assert "/linux/cgroupsPath: cgroup" in done.stderr
        assert "is in a threaded subtree" in done.stderr
