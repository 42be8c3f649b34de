# SPDX-License-Identifier: Apache-2.0
"""What users of engines wait for: `ctr run` and `ctr task exec`, `docker run`, `podman run`."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from bench import peers
from bench.launcher import Launcher
from bench.measure import Row, interleave
from tests.engines import image
from tests.engines.containerd import SNAPSHOTTER, Containerd
from tests.engines.docker import IMAGE, Docker
from tests.engines.podman import Podman
from tests.engines.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bench.measure import Attempt
    from bench.workplace import Workplace

CTR = [Row("ctr-run", "ctr run --rm true"), Row("ctr-exec", "ctr task exec true")]
DOCKER = [Row("docker-run", "docker run --rm true")]
PODMAN = [Row("podman-run", "podman run --rm true")]


def measure(place: Workplace) -> None:
    """Each engine that is there, in a room of its own."""
    archive = image.archive(_directory(place, "image"))
    for program, rows, theme in (
        ("containerd", CTR, _containerd),
        ("dockerd", DOCKER, _docker),
        ("podman", PODMAN, _podman),
    ):
        if not peers.find(program):
            place.skip([program], "not installed")
            continue
        launcher = Launcher(place.directory)
        with ExitStack() as stack:
            stack.callback(launcher.close)
            room = stack.enter_context(Room(_directory(place, program)))
            attempts = theme(place, room, archive, launcher, stack)
            interleave(place.results, rows, attempts, max(3, place.rounds // 3))


def _directory(place: Workplace, name: str) -> Path:
    directory = place.directory / name
    directory.mkdir()
    return directory


def _containerd(
    place: Workplace, room: Room, archive: Path, launcher: Launcher, stack: ExitStack
) -> Mapping[str, Attempt]:
    containerd = Containerd(room)
    containerd.start(archive)
    stack.callback(containerd.daemon.stop)
    env = room_environment()
    snapshotter = _snapshotter(containerd, archive)

    def run(name: str, *runtime: str) -> Callable[[], dict[str, float]]:
        words = ("run", "--snapshotter", snapshotter, *runtime)
        service = f"service-{name}"
        containerd(*words, "--detach", image.NAME, service, "sleep", "100000")
        stack.callback(containerd, "task", "delete", "--force", service, check=False)

        def attempt() -> dict[str, float]:
            once = containerd.client(*words, "--rm", image.NAME, f"b{place.number()}", "true")
            execute = ("task", "exec", "--exec-id", f"e{place.number()}", service, "true")
            return {
                "ctr-run": launcher.time(_absolute(once), env=env),
                "ctr-exec": launcher.time(_absolute(containerd.client(*execute)), env=env),
            }

        return attempt

    _planner(room, stack, peers.SHIM)
    return {
        "orlop shim": run("ours", "--runtime", f"{peers.SHIM}-cold"),
        "orlop shim warm": run("warm", "--runtime", str(peers.SHIM)),
        "containerd shim, runc": run("theirs", "--runc-binary", peers.find("runc") or "runc"),
        "containerd shim, orlop": run("mixed", "--runc-binary", str(peers.ORLOP)),
    }


def _snapshotter(containerd: Containerd, archive: Path) -> str:
    """containerd's own choice, or, where the file system can't do that, one that copies images."""
    usual = "overlayfs"
    result = containerd("image", "import", "--snapshotter", usual, archive, check=False)
    return SNAPSHOTTER if result.returncode else usual


def _docker(
    _place: Workplace, room: Room, archive: Path, launcher: Launcher, stack: ExitStack
) -> Mapping[str, Attempt]:
    docker = Docker(room)
    docker.start(archive)
    stack.callback(docker.daemon.stop)
    env = room_environment()

    def run(runtime: str) -> dict[str, float]:
        command = docker.client("run", "--rm", "--runtime", runtime, IMAGE, "true")
        return {"docker-run": launcher.time(_absolute(command), env=env)}

    _planner(room, stack, peers.ORLOP)
    return {"docker, runc": lambda: run("runc"), "docker, orlop warm": lambda: run("orlop")}


def _planner(room: Room, stack: ExitStack, program: Path) -> None:
    """A planner where a program looks for one; the room's end is its own."""
    process = subprocess.Popen(
        room.command(program, "planner"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=room_environment(),
    )
    output = process.stdout
    if output is None or output.readline() != b"ready\n":
        raise RuntimeError("the planner does not start")
    stack.callback(process.wait)
    stack.callback(process.kill)
    stack.callback(output.close)


def _podman(
    _place: Workplace, room: Room, archive: Path, launcher: Launcher, _stack: ExitStack
) -> Mapping[str, Attempt]:
    podman = Podman(room, room.directory)
    podman.start(archive)
    env = room_environment()

    def run(runtime: str) -> dict[str, float]:
        command = podman.client("--runtime", runtime, "run", "--rm", image.NAME, "true")
        return {"podman-run": launcher.time(_absolute(command), env=env)}

    return {f"podman, {name}": partial(run, name) for name in ("runc", "orlop")}


def room_environment() -> dict[str, str]:
    """What commands in a room find in their environment."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}


def _absolute(command: list[str]) -> list[str]:
    return [peers.find(command[0]) or command[0], *command[1:]]
