# SPDX-License-Identifier: Apache-2.0
"""exec into cgroups below the container's: asked for, or because the container's own is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, waiting
from tests.support.features import requires
from tests.support.refusal import Refusal
from tests.support.running import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [requires("root"), pytest.mark.root, pytest.mark.v2]


@pytest.fixture
def running(container: Container) -> Container:
    """A container whose program waits, in the host's cgroup namespace: cgroups show as they are."""
    container.bundle.drop_namespace("cgroup")
    return started(container)


def make_below(container: Container, name: str) -> None:
    """Make a cgroup below the container's in every hierarchy."""
    for mountpoint in hierarchies.mountpoints().values():
        directory = mountpoint / container.bundle.cgroup.lstrip("/") / name
        directory.mkdir()
        if (directory / "cpuset.cpus").exists() and hierarchies.mode() != "v2":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (directory / file).write_text((directory.parent / file).read_text())


def where(container: Container, *options: str) -> dict[str, str]:
    """The cgroups of an exec's process, by controllers; "" is v2's."""
    done = container.cli("exec", *options, container.id, "/bin/probe", "cat", "/proc/self/cgroup")
    return {line.split(":")[1]: line.split(":", 2)[2] for line in done.stdout.splitlines()}


def test_the_containers_own_is_the_default(running: Container) -> None:
    assert set(where(running).values()) == {running.bundle.cgroup}


@pytest.mark.parametrize("option", ["sub", "/sub", "a/../sub"])
def test_one_path_is_for_all_hierarchies(running: Container, option: str) -> None:
    make_below(running, "sub")
    assert set(where(running, "--cgroup", option).values()) == {f"{running.bundle.cgroup}/sub"}


@requires("cgroup1")
def test_controllers_have_their_own(running: Container) -> None:
    make_below(running, "one")
    make_below(running, "two")
    found = where(running, "--cgroup", "memory:one", "--cgroup", "pids,freezer:/two")
    own = running.bundle.cgroup
    assert (found.pop("memory"), found.pop("pids"), found.pop("freezer")) == (
        f"{own}/one",
        f"{own}/two",
        f"{own}/two",
    )
    assert set(found.values()) == {own}


@pytest.fixture
def refuse(running: Container, watch: Watch) -> Refusal:
    return Refusal(running.cli, watch, running.bundle)


REFUSED = [
    (("none",), "no such file or directory"),
    (("../..",), "bad sub cgroup path '../..'"),
    (("memory:..",), "bad sub cgroup path '..'" if hierarchies.mode() != "v2" else "on cgroup v2"),
    (("nothing:a",), "'nothing'" if hierarchies.mode() != "v2" else "on cgroup v2"),
    (("a", "b"), "a controller and a colon must precede the path"),
    (("memory:a", "b"), "'b': a controller and a colon must precede the path"),
    (("memory:a", "pids,memory:b"), "controller 'memory' is there twice"),
    (("memory,:a",), "a controller's name is missing"),
]


@pytest.mark.parametrize(("paths", "text"), REFUSED)
def test_refused(refuse: Refusal, running: Container, paths: tuple[str, ...], text: str) -> None:
    options = [word for path in paths for word in ("--cgroup", path)]
    assert text in refuse("exec", *options, running.id, "/bin/probe", "true", status=255)


def directory(container: Container) -> Path:
    """The container's cgroup in the v2 hierarchy."""
    return hierarchies.mountpoints()["v2"] / container.bundle.cgroup.lstrip("/")


def share_out(container: Container) -> None:
    """Run a container that moves its init to a cgroup below and shares out controllers."""
    for mount in container.bundle.spec["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"].remove("ro")
    top = "/sys/fs/cgroup"
    container.bundle.args(
        *("mkdir", f"{top}/init", "--", "write", f"{top}/init/cgroup.procs", "0"),
        *("--", "write", f"{top}/cgroup.subtree_control", "+memory +pids", "--", "sleep"),
    )
    container.run_detached()
    assert container.read_line() == "ready"


@requires("cgroup2")
class TestSharedOut:
    """A cgroup that shares out controllers takes no processes (EBUSY)."""

    def test_exec_goes_where_the_init_is(self, container: Container) -> None:
        share_out(container)
        assert where(container) == {"": "/init"}
        assert container.exec("exit", "7", check=False).returncode == 7
        assert str(container.pid) in (directory(container) / "init/cgroup.procs").read_text()

    def test_a_place_that_is_asked_for_is_meant(self, container: Container) -> None:
        share_out(container)
        (directory(container) / "other").mkdir()
        assert where(container, "--cgroup", "other") == {"": "/other"}

    def test_full_places_are_no_places(self, container: Container) -> None:
        share_out(container)
        inner = directory(container) / "full"
        (inner / "below").mkdir(parents=True)
        (inner / "cgroup.subtree_control").write_text("+memory")
        done = container.cli(
            "exec", "--cgroup", "full", container.id, "/bin/probe", "true", check=False
        )
        assert done.returncode == 255
        assert (
            "/linux/cgroupsPath: start of the init: clone3: Device or resource busy" in done.stderr
        )

    def test_delete_takes_all_of_it(self, container: Container) -> None:
        share_out(container)
        top = directory(container)
        container.delete("--force")
        assert not top.exists()

    def test_init_that_left_is_followed(self, running: Container, cgroup: str) -> None:
        elsewhere = hierarchies.mountpoints()["v2"] / cgroup.lstrip("/") / "elsewhere"
        elsewhere.mkdir()
        pid = running.pid
        (elsewhere / "cgroup.procs").write_text(str(pid))
        directory(running).rmdir()
        assert where(running) == {"": f"{cgroup}/elsewhere"}
        running.delete("--force")
        waiting.ended(pid)
        elsewhere.rmdir()
        elsewhere.parent.rmdir()
