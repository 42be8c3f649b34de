# SPDX-License-Identifier: Apache-2.0
"""Engines checkpoint and restore what runs, through criu; with runc the same way.

The criu of Debian 12 does not know newer kernels; QEMU's guest has one that it knows:
`QEMU=1 scripts/test-vm.sh -- tests/engines/test_checkpoint.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.docker import IMAGE, Docker
from tests.engines.room import Room
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.containerd import Containerd
    from tests.engines.podman import Podman
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "criu-works", "runc"), pytest.mark.slow, pytest.mark.v2]

#: Answers SIGUSR1 by what is in its memory; the pipe is made by whoever comes first.
SERVICE = (
    *("sh", "-c"),
    "trap 'echo same >/up' USR1; mkfifo /up; echo ready >/up; while :; do sleep 1000 & wait; done",
)


def hears(word: str) -> tuple[str, ...]:
    """A command for an exec beside SERVICE: waits for this word of its."""
    return ("sh", "-c", f'mkfifo /up 2>/dev/null; read said </up; test "$said" = {word}')


@requires("containerd")
class TestContainerd:
    @pytest.fixture
    def image(self, containerd: Containerd) -> Iterator[str]:
        """The name of an image to be made of a checkpoint."""
        reference = "docker.io/library/checkpoint:1"
        yield reference
        containerd("image", "remove", reference)

    def test_a_task_goes_on(self, containerd: Containerd, runtime: Runtime, image: str) -> None:
        in_c = ("task", "exec", "--exec-id", "look", "c")
        containerd.run(runtime, "c", *SERVICE, options=("--detach",))
        containerd(*in_c, *hears("ready"))
        containerd("container", "checkpoint", "--task", "c", image)
        containerd.remove_all()
        containerd("container", "restore", "--live", "c", image)
        assert containerd.status("c") == "RUNNING"
        bundle = "/run/containerd/io.containerd.runtime.v2.task/default/c"
        called = containerd.room.path(f"{bundle}/runtime").read_text()
        assert called == str(runtime.path)  # ctr drops its options now and then
        containerd(*in_c, "mkfifo", "/up")  # the checkpoint has no files
        containerd("task", "kill", "--signal", "SIGUSR1", "c")
        containerd(*in_c, *hears("same"))

    def test_it_can_go_on_after_a_checkpoint(
        self, containerd: Containerd, runtime: Runtime, tmp_path: Path
    ) -> None:
        in_c = ("task", "exec", "--exec-id", "look", "c")
        containerd.run(runtime, "c", *SERVICE, options=("--detach",))
        containerd(*in_c, *hears("ready"))
        containerd("task", "checkpoint", "--image-path", tmp_path / "images", "c")
        assert (tmp_path / "images" / "inventory.img").exists()
        containerd("task", "kill", "--signal", "SIGUSR1", "c")
        containerd(*in_c, *hears("same"))


@requires("podman")
class TestPodman:
    @pytest.fixture
    def running(self, podman: Podman, runtime: Runtime) -> Podman:
        """With the container `c`, which is ready."""
        podman.using(runtime, "run", "--detach", "--name=c", "--network=none", IMAGE, *SERVICE)
        podman("exec", "c", *hears("ready"))
        return podman

    def test_a_container_goes_on(self, running: Podman) -> None:
        running("container", "checkpoint", "c")
        assert running.state("c")["Checkpointed"]
        running("container", "restore", "c")
        self.is_the_same(running, "c")

    def test_one_is_made_of_an_archive(self, running: Podman, tmp_path: Path) -> None:
        archive = tmp_path / "c.tar.gz"
        running("container", "checkpoint", "--file-locks", f"--export={archive}", "c")
        running("rm", "c")
        running("container", "restore", "--file-locks", f"--import={archive}", "--name=again")
        self.is_the_same(running, "again")

    def test_a_pre_checkpoint_comes_first(self, running: Podman, tmp_path: Path) -> None:
        first, second = tmp_path / "first.tar.gz", tmp_path / "second.tar.gz"
        running("container", "checkpoint", "--pre-checkpoint", f"--export={first}", "c")
        running("container", "checkpoint", "--with-previous", f"--export={second}", "c")
        running("rm", "c")
        running("container", "restore", f"--import-previous={first}", f"--import={second}")
        self.is_the_same(running, "c")

    def is_the_same(self, podman: Podman, name: str) -> None:
        assert podman.state(name)["Status"] == "running"
        podman("kill", "--signal=USR1", name)
        podman("exec", name, *hears("same"))


@pytest.fixture(scope="module")
def experimental(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Docker]:
    """A daemon that has `docker checkpoint`."""
    with Room(tmp_path_factory.mktemp("experimental")) as room:
        docker = Docker(room, {"experimental": True})
        docker.start(archive)
        yield docker
        docker.remove_all()
        docker.daemon.stop()


@requires("docker")
class TestDocker:
    def test_a_container_goes_on(self, experimental: Docker, runtime: Runtime) -> None:
        name = f"c-{runtime.name}"
        options = ("--detach", f"--name={name}", "--network=none")
        experimental.run(runtime, *options, IMAGE, *SERVICE)
        experimental("exec", name, *hears("ready"))
        experimental("checkpoint", "create", name, "here")
        assert experimental.state(name)["Status"] == "exited"
        experimental("start", "--checkpoint=here", name)
        experimental("kill", "--signal=USR1", name)
        experimental("exec", name, *hears("same"))
