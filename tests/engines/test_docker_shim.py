# SPDX-License-Identifier: Apache-2.0
"""Docker over our shim: whose child a container is, and engines that are killed meanwhile.

What a container of it is like is in Docker's other files, where the runtime is "shim".
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.engines.client import Lines
from tests.engines.daemon import Daemon
from tests.engines.docker import IMAGE, DockerOverShim, map_nobody
from tests.engines.room import Room
from tests.engines.runtime import shim
from tests.engines.tree import outside, shim_of
from tests.support import waiting
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [requires("root", "docker"), pytest.mark.slow]

_CONTAINERD = "/run/containerd/containerd.sock"
_LISTENS = 'msg="processing event stream" module=libcontainerd namespace=moby'

#: Waits until it is told to go on, and says so: its output is still somebody's.
SURVIVOR = "echo up; mkfifo /go; read line </go; echo $line; exit 4"


def test_a_container_is_the_child_of_our_shim(docker_over_shim: DockerOverShim) -> None:
    docker = docker_over_shim
    for name in ("one", "two"):
        docker.run(shim(), "--detach", "--name", name, IMAGE, "sleep", "1000")
    parents = {shim_of(docker.room, docker.state(name)["Pid"]) for name in ("one", "two")}
    assert len(parents) == 2


def test_a_killed_shim_is_a_container_that_ended(docker_over_shim: DockerOverShim) -> None:
    docker = docker_over_shim
    docker.run(shim(), "--detach", "--name", "lost", IMAGE, "sleep", "1000")
    parent = shim_of(docker.room, docker.state("lost")["Pid"])
    with docker.lines("events", "--filter", "container=lost", "--since", "0") as events:
        os.kill(parent, signal.SIGKILL)
        events.until("container die")
    assert docker.state("lost")["ExitCode"] == 137
    docker("start", "lost")
    assert docker.state("lost")["Running"]


@contextmanager
def _daemon(
    directory: Path, archive: Path, settings: dict[str, object]
) -> Iterator[DockerOverShim]:
    """A daemon of one test."""
    with Room(directory) as room:
        docker = DockerOverShim(room, settings)
        docker.start(archive)
        yield docker
        docker.remove_all()
        docker.daemon.stop()
        assert docker.offered.runc_calls() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_containers_outlive_the_daemon(
    tmp_path: Path, archive: Path, number: signal.Signals
) -> None:
    """dockerd takes its containerd with it, and the shim is all that is left of both."""
    with _daemon(tmp_path, archive, {"live-restore": True}) as docker:
        docker.run(shim(), "--detach", "--name", "survivor", IMAGE, "sh", "-c", SURVIVOR)
        docker.run(shim(), "--detach", "--name", "ended", IMAGE, "sleep", "1000")
        before = docker.state("survivor")["Pid"]
        parent = shim_of(docker.room, before)
        (init,) = outside(docker.room, docker.state("ended")["Pid"])
        docker.daemon.stop(number)
        assert shim_of(docker.room, before) == parent
        os.kill(init, signal.SIGKILL)
        docker.daemon.start()
        assert docker("wait", "ended").stdout == "137\n"
        assert docker.state("survivor")["Pid"] == before
        docker("exec", "survivor", "sh", "-c", "echo gone on >/go")
        assert docker("wait", "survivor").stdout == "4\n"
        assert docker("logs", "survivor").stdout == "up\ngone on\n"
        waiting.ended(parent)


def test_containers_outlive_containerd(tmp_path: Path, archive: Path) -> None:
    """A containerd of the machine's, as Debian sets it up, killed and started again.

    dockerd knows of exits by containerd's events alone, which nobody keeps for it.
    """
    with Room(tmp_path) as room:
        docker = DockerOverShim(room, {"containerd": _CONTAINERD, "debug": True})
        containerd = Daemon(room, "containerd", env=docker.offered.environment)
        containerd.start()
        docker.start(archive)
        docker.run(shim(), "--detach", "--name", "survivor", IMAGE, "sh", "-c", SURVIVOR)
        before = docker.state("survivor")["Pid"]
        parent = shim_of(docker.room, before)
        docker.run(shim(), "--detach", "--name", "ended", IMAGE, "sleep", "1000")
        (init,) = outside(docker.room, docker.state("ended")["Pid"])
        with Lines(["tail", "--follow", "--lines=+1", str(docker.daemon.log)]) as log:
            log.until(_LISTENS)
            containerd.stop(signal.SIGKILL)
            os.kill(init, signal.SIGKILL)
            containerd.start()
            log.until(_LISTENS)
        with docker.lines("events", "--filter", "container=ended", "--since", "0") as events:
            events.until("container die")
        assert docker.state("ended")["ExitCode"] == 137
        docker("exec", "survivor", "sh", "-c", "echo gone on >/go")
        assert docker("wait", "survivor").stdout == "4\n"
        assert docker("logs", "survivor").stdout == "up\ngone on\n"
        waiting.ended(parent)
        docker.remove_all()
        docker.daemon.stop()
        containerd.stop()


def test_a_daemon_maps_ids(open_directory: Path, archive: Path) -> None:
    """Its containers' root opens its stdio by path: the pipes are that user's."""
    with Room(open_directory) as room:
        map_nobody(room)
        docker = DockerOverShim(room, {"userns-remap": "nobody:nogroup"})
        docker.start(archive)
        command = "cat /proc/self/uid_map >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin"
        words = ("run", "--rm", "--interactive", "--runtime", "shim", IMAGE, "sh", "-c", command)
        result = docker(*words, stdin="in")
        assert (result.stdout.split(), result.stderr) == (["0", "200000", "65536", "in"], "err\n")
        docker.run(shim(), "--detach", "--name", "mapped", IMAGE, "sleep", "1000")
        assert docker("exec", "--user", "1000", "mapped", "id", "-u").stdout == "1000\n"
        (init,) = outside(room, docker.state("mapped")["Pid"])
        assert os.stat(f"/proc/{init}").st_uid == 200000
        docker.remove_all()
        docker.daemon.stop()


def test_steps_of_a_build_are_containers_of_our_shim(
    docker_over_shim: DockerOverShim, tmp_path: Path
) -> None:
    """The classic builder's: BuildKit in dockerd runs no shim (test_docker_daemon.py)."""
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo cargo >/home/x && exit 0\n")
    environment = {"DOCKER_BUILDKIT": "0"}
    docker_over_shim("build", "--tag", "built:1", tmp_path, env=environment)
    assert docker_over_shim.run(shim(), "--rm", "built:1", "cat", "/home/x") == "cargo"
    docker_over_shim("image", "rm", "built:1")
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN exit 43\n")
    result = docker_over_shim("build", tmp_path, env=environment, check=False)
    assert result.returncode == 43
