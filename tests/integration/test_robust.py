# SPDX-License-Identifier: Apache-2.0
"""The runtime killed, raced and starved: what it leaves can be removed, one of a race wins."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires
from tests.support.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli, Running
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = requires("root")


@pytest.fixture
def refuse(orlop: Cli, watch: Watch, bundle: Bundle) -> Refusal:
    """Run what must be refused."""
    return Refusal(orlop, watch, bundle)


class TestKilled:
    """SIGKILL of a creator; test_killed_verbs.py has every step of every verb."""

    def test_a_container_of_a_killed_creator_is_stopped(self, container: Container) -> None:
        # The hook's parent is the creator.
        hook = {"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}
        container.bundle.spec["hooks"] = {"createRuntime": [hook]}
        assert container.run(check=False).returncode == -signal.SIGKILL
        assert container.status == "stopped"
        assert "stopped" in container.cli("list").stdout
        container.delete()

    def test_an_id_can_be_used_again_after_a_killed_creator(self, container: Container) -> None:
        hook = {"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}
        container.bundle.spec["hooks"] = {"createRuntime": [hook]}
        assert container.run(check=False).returncode == -signal.SIGKILL
        container.delete("--force")
        del container.bundle.spec["hooks"]
        assert container.run().returncode == 0


class TestWhileCreating:
    """While a create is at work: it waits in a hook until the test lets it go."""

    @pytest.fixture
    def creator(self, container: Container, tmp_path: Path) -> Running:
        """A create of `container` that waits in a hook."""
        os.mkfifo(tmp_path / "waits")
        os.mkfifo(tmp_path / "go")
        script = f"echo > {tmp_path}/waits; read line < {tmp_path}/go"
        hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
        container.bundle.spec["hooks"] = {"createRuntime": [hook]}
        container.bundle.args("sleep").write()
        creator = container.cli.spawn("create", "--bundle", container.bundle.path, container.id)
        with (tmp_path / "waits").open() as waits:
            assert waits.read() == "\n"
        return creator

    @staticmethod
    def let_go(directory: Path) -> None:
        """Let the hook end."""
        with (directory / "go").open("w") as go:
            go.write("\n")

    def test_the_status_is_creating(
        self, container: Container, creator: Running, tmp_path: Path
    ) -> None:
        assert container.status == "creating"
        assert "creating" in container.cli("list").stdout
        self.let_go(tmp_path)
        assert creator.result().returncode == 0
        assert container.status == "created"

    @pytest.mark.parametrize("verb", ["start", "kill", "delete", "exec"])
    def test_other_verbs_are_refused(
        self, container: Container, creator: Running, refuse: Refusal, tmp_path: Path, verb: str
    ) -> None:
        argv = ["/bin/probe", "true"] if verb == "exec" else []
        message = refuse(verb, container.id, *argv, status=255 if verb == "exec" else 1)
        assert "creating" in message
        self.let_go(tmp_path)
        assert creator.result().returncode == 0

    def test_delete_force_ends_the_creator_and_removes_all(
        self, container: Container, creator: Running, watch: Watch, tmp_path: Path
    ) -> None:
        container.delete("--force")
        assert creator.result().returncode == -signal.SIGKILL
        assert list(container.cli.root.iterdir()) == []
        self.let_go(tmp_path)  # the hook is the administrator's, and not ended
        assert watch.settled() == []

    def test_what_an_ended_create_leaves_delete_force_removes(
        self, container: Container, creator: Running, watch: Watch, tmp_path: Path
    ) -> None:
        creator.process.terminate()
        creator.result()
        self.let_go(tmp_path)
        container.delete("--force")
        assert watch.settled() == []


class TestRaces:
    """Several command lines at once."""

    def test_of_creates_of_one_id_exactly_one_wins(
        self, container: Container, make_bundle: Callable[[], Bundle], watch: Watch
    ) -> None:
        watch.parents = False  # a cgroup above several containers' belongs to none of them
        bundles = [container.bundle, *(make_bundle() for _ in range(7))]
        for bundle in bundles:
            bundle.args("sleep").write()
        argv = [("create", "--bundle", bundle.path, container.id) for bundle in bundles]
        started = [container.cli.spawn(*words) for words in argv]
        results = [running.result() for running in started]
        assert sorted(result.returncode for result in results) == [0, *[1] * 7]
        refused = [result.stderr for result in results if result.returncode]
        assert all("container with given ID already exists" in text for text in refused)
        winner = bundles[[result.returncode for result in results].index(0)]
        assert container.state()["bundle"] == str(winner.path)
        container.start()
        container.delete("--force")
        assert watch.found() == []

    def test_of_starts_exactly_one_wins(self, container: Container) -> None:
        container.bundle.args("sleep")
        container.create()
        started = [container.cli.spawn("start", container.id) for _ in range(8)]
        results = [running.result() for running in started]
        assert sorted(result.returncode for result in results) == [0, *[1] * 7]
        refused = [result.stderr for result in results if result.returncode]
        assert set(refused) == {"orlop: cannot start an already running container\n"}
        assert container.read_line() == "ready"
        assert container.status == "running"

    def test_deletes_of_one_container_all_end_well(
        self, container: Container, watch: Watch
    ) -> None:
        container.bundle.args("sleep").write()
        container.cli("create", "--bundle", container.bundle.path, container.id)
        started = [container.cli.spawn("delete", "--force", container.id) for _ in range(8)]
        results = [running.result() for running in started]
        assert [(result.returncode, result.stderr) for result in results] == [(0, "")] * 8
        assert watch.found() == []

    def test_start_and_delete_leave_nothing(self, container: Container, watch: Watch) -> None:
        container.bundle.args("sleep").write()
        for _ in range(8):
            container.cli("create", "--bundle", container.bundle.path, container.id)
            start = container.cli.spawn("start", container.id)
            delete = container.cli.spawn("delete", "--force", container.id)
            assert delete.result().returncode == 0
            result = start.result()
            assert len(result.stderr.splitlines()) == result.returncode
            assert watch.settled() == []


@pytest.mark.v2
class TestMemory:
    """Nothing of the runtime is in the container's memory: a container starts with very little."""

    def test_a_container_starts_under_512_kib(self, container: Container) -> None:
        container.bundle.resources["memory"] = {"limit": 512 * 1024}
        for _ in range(10):
            assert container.run().returncode == 0

    def test_a_limit_that_is_too_low_for_anything_is_said(self, refuse: Refusal) -> None:
        refuse.bundle.resources["memory"] = {"limit": 4096}
        message = refuse.create()
        assert message.startswith("/linux/resources/memory/limit: ")
        assert "memory" in message.partition(": ")[2]
