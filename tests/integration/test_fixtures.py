# SPDX-License-Identifier: Apache-2.0
"""The tests' own tools do what the tests trust them to do; `RUNTIME=runc` runs these with runc."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, leaks, probe
from tests.support.features import NOBODY, requires

if TYPE_CHECKING:
    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = [requires("root"), pytest.mark.v2]


def test_the_probe_tells_what_the_container_sees(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.spec["hostname"] = "probed"
    bundle.process.update(cwd="/tmp", env=["A=1", "B=two words"])
    answers = run_probe("hostname", "--", "cwd", "--", "env", "A", "--", "env", "B").splitlines()
    assert answers == ["probed", "/tmp", "1", "two words"]


def test_facts_are_read_by_name(run_probe: RunProbe) -> None:
    facts = probe.facts(run_probe("pid", "--", "caps", "--", "id"))
    assert facts["pid"] == "1"
    assert facts["uid"] == "0"
    assert facts["NoNewPrivs"] == "1"


def test_mounts_are_read_by_target(run_probe: RunProbe) -> None:
    mounts = probe.mounts(run_probe("mounts"))
    assert mounts["/proc"].kind == "proc"
    assert "nosuid" in mounts["/dev"].options
    assert mounts["/"].target == "/"


def test_the_status_of_the_program_is_the_runs(container: Container) -> None:
    container.bundle.args("exit", "7")
    assert container.run(check=False).returncode == 7


def test_a_container_lives_from_create_to_delete(container: Container) -> None:
    container.bundle.args("trap", "USR1")
    container.create()
    assert container.status == "created"
    container.start()
    assert container.read_line() == "ready"
    assert container.status == "running"
    assert container.exec("echo", input="through exec").stdout == "through exec"
    container.kill("USR1")
    container.wait()
    assert container.output() == "SIGUSR1\n"
    assert container.status == "stopped"
    container.delete()


def test_a_failure_shows_what_the_runtime_wrote(orlop: Cli) -> None:
    with pytest.raises(AssertionError, match="does not exist"):
        orlop("state", "nobody-made-this")


def test_what_a_container_is_made_of_is_found_as_a_leak(
    container: Container, watch: leaks.Watch
) -> None:
    container.bundle.args("sleep")
    container.run_detached()
    assert container.read_line() == "ready"
    kinds = {line.split(" ")[0] for line in watch.found()}
    assert {"process", "cgroup", "state"} <= kinds
    assert container.pid in hierarchies.processes(container.bundle.cgroup)
    container.close()
    assert watch.found() == []


@requires("cgroup1")
def test_controllers_are_found_on_their_hierarchies(container: Container) -> None:
    container.bundle.resources["pids"] = {"limit": 33}
    container.create()
    directory = hierarchies.directory("pids", container.bundle.cgroup)
    assert (directory / "pids.max").read_text() == "33\n"


@requires("rootless")
def test_a_rootless_container_is_its_users(rootless: Container) -> None:
    rootless.bundle.args("id", "--", "cat", "/proc/self/uid_map")
    lines = rootless.run().stdout.splitlines()
    assert probe.facts("\n".join(lines))["uid"] == "0"
    assert lines[-1].split() == ["0", str(NOBODY), "1"]
