# SPDX-License-Identifier: Apache-2.0
"""pause and resume: what runs stops where it is, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.container import Container

pytestmark = [pytest.mark.root, pytest.mark.v2, requires("root")]


def status(container: Container) -> str:
    return str(container.state()["status"])


def test_a_paused_container_is_paused_until_it_is_resumed(container: Container) -> None:
    container.bundle.args("sleep")
    container.run_detached()
    container.cli("pause", container.id)
    assert status(container) == "paused"
    container.cli("resume", container.id)
    assert status(container) == "running"


def test_exec_into_a_paused_container_is_refused(container: Container) -> None:
    container.bundle.args("sleep")
    container.run_detached()
    container.cli("pause", container.id)
    done = container.exec("true", check=False)
    assert (done.returncode, "paused container" in done.stderr) == (255, True)


def test_a_paused_container_is_killed_and_deleted(container: Container) -> None:
    container.bundle.args("sleep")
    container.run_detached()
    container.cli("pause", container.id)
    container.cli("delete", "--force", container.id)
    assert container.cli("state", container.id, check=False).returncode == 1


def test_sigkill_ends_a_paused_container(container: Container) -> None:
    container.bundle.args("sleep")
    container.run_detached()
    container.cli("pause", container.id)
    container.kill("KILL")
    container.wait()
    assert status(container) == "stopped"


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_stopped_container_is_refused(container: Container, verb: str) -> None:
    container.bundle.args("true")
    container.run("--keep")
    done = container.cli(verb, container.id, check=False)
    assert done.returncode == 1
    expected = "container not running" if verb == "pause" else "container not paused"
    assert expected in done.stderr
