# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests with real engines.

Every worker of xdist has rooms of its own (tests/engines/room.py), so that engines' defaults,
networks and sockets never meet. `runtime` runs a test twice: with orlop, and with runc, whose
answers are the ones expected.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.engines import image
from tests.engines.buildah import Buildah
from tests.engines.calls import Calls
from tests.engines.containerd import Containerd
from tests.engines.docker import Docker, DockerOverShim, Plugged
from tests.engines.pod import Pod
from tests.engines.podman import Podman, PodmanRootless
from tests.engines.room import Room
from tests.engines.runtime import Runtime, orlop, runc, shim

if TYPE_CHECKING:
    from collections.abc import Iterator

_Daemon = TypeVar("_Daemon", bound=Docker)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of one busybox (`image.NAME`), as a file for `docker load` and its like."""
    return image.archive(tmp_path_factory.mktemp("image"))


@pytest.fixture(params=["orlop", "runc"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each of the runtimes in turn; a module of Docker's may ask for "shim" too."""
    return {"orlop": orlop, "shim": shim, "runc": runc}[request.param]()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users may pass through, as pytest's own may not be."""
    directory = Path(tempfile.mkdtemp(prefix="orlop-engines-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Docker]:
    """A Docker daemon with its defaults, shared by the tests of a worker."""
    with Room(tmp_path_factory.mktemp("docker")) as room:
        docker = Docker(room)
        docker.start(archive)
        yield docker
        docker.daemon.stop()


@pytest.fixture(scope="session")
def dockerd_over_shim(
    tmp_path_factory: pytest.TempPathFactory, archive: Path
) -> Iterator[DockerOverShim]:
    """A Docker daemon whose containers are our shim's, shared by the tests of a worker."""
    with Room(tmp_path_factory.mktemp("shim")) as room:
        docker = DockerOverShim(room)
        docker.start(archive)
        yield docker
        docker.daemon.stop()


@pytest.fixture
def docker(request: pytest.FixtureRequest) -> Iterator[Docker]:
    """The daemon that has the test's `runtime`; what the test leaves in it fails it."""
    asked = "runtime" in request.fixturenames and request.getfixturevalue("runtime") == shim()
    yield from _cleaned(request.getfixturevalue("dockerd_over_shim" if asked else "dockerd"))


@pytest.fixture
def docker_over_shim(dockerd_over_shim: DockerOverShim) -> Iterator[DockerOverShim]:
    """The daemon over our shim, in the same way."""
    yield from _cleaned(dockerd_over_shim)


@pytest.fixture
def plugs(docker: Docker, docker_over_shim: Docker) -> list[Plugged]:
    """orlop by its command line, by its shim; and runc, whose answers are the ones expected."""
    return [Plugged(docker, "orlop"), Plugged(docker_over_shim, "shim"), Plugged(docker, "runc")]


def _cleaned(docker: _Daemon) -> Iterator[_Daemon]:
    """All containers are removed after the test, and whatever else is left fails it."""
    leftovers = docker.leftovers()
    yield docker
    docker.remove_all()
    leftovers.check()
    if isinstance(docker, DockerOverShim):
        assert docker.offered.runc_calls() == []


@pytest.fixture(scope="session")
def podman_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A room for root's Podman and buildah, shared by the tests of a worker."""
    with Room(tmp_path_factory.mktemp("podman")) as room:
        yield room


@pytest.fixture(scope="session")
def root_podman(podman_room: Room, archive: Path) -> Podman:
    """Podman with its image loaded."""
    podman = Podman(podman_room, podman_room.directory)
    podman.start(archive)
    return podman


@pytest.fixture
def podman(root_podman: Podman) -> Iterator[Podman]:
    """Podman; pods and containers are removed after the test, and what is left then fails it."""
    leftovers = root_podman.leftovers()
    yield root_podman
    root_podman.remove_all()
    leftovers.check()


@pytest.fixture(scope="session")
def unprivileged_podman(
    tmp_path_factory: pytest.TempPathFactory, archive: Path
) -> Iterator[PodmanRootless]:
    """Podman of an unprivileged user, in a room of its own."""
    with Room(tmp_path_factory.mktemp("rootless")) as room:
        podman = PodmanRootless(room)
        podman.start(archive)
        yield podman


@pytest.fixture
def rootless_podman(unprivileged_podman: PodmanRootless) -> Iterator[PodmanRootless]:
    """Podman of an unprivileged user, as `podman` is root's."""
    leftovers = unprivileged_podman.leftovers()
    yield unprivileged_podman
    unprivileged_podman.remove_all()
    leftovers.check()


@pytest.fixture
def buildah(root_podman: Podman) -> Iterator[Buildah]:
    """buildah with Podman's store; its images and containers are removed after the test."""
    leftovers = root_podman.leftovers()
    buildah = Buildah(root_podman)
    yield buildah
    buildah.remove_all()
    leftovers.check()


@pytest.fixture(scope="session")
def containerd_daemon(
    tmp_path_factory: pytest.TempPathFactory, archive: Path
) -> Iterator[Containerd]:
    """A containerd, shared by the tests of a worker."""
    with Room(tmp_path_factory.mktemp("containerd")) as room:
        containerd = Containerd(room)
        containerd.start(archive)
        yield containerd
        containerd.daemon.stop()


@pytest.fixture
def containerd(containerd_daemon: Containerd) -> Iterator[Containerd]:
    """The daemon; ctr's containers are removed after the test, and leftovers fail it."""
    leftovers = containerd_daemon.leftovers()
    yield containerd_daemon
    containerd_daemon.remove_all()
    leftovers.check()


@pytest.fixture
def own_containerd(tmp_path: Path, archive: Path) -> Iterator[Containerd]:
    """A containerd of the test's own, to be killed; what the test leaves in it fails it."""
    with Room(tmp_path) as room:
        containerd = Containerd(room)
        leftovers = containerd.leftovers()
        containerd.start(archive)
        yield containerd
        containerd.remove_all()
        containerd.daemon.stop()
        leftovers.check()


@pytest.fixture
def calls(containerd: Containerd) -> Iterator[Calls]:
    """containerd's own API."""
    with Calls(containerd.room, "default") as calls:
        yield calls


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of busybox, which nobody writes to."""
    return image.rootfs(tmp_path_factory.mktemp("rootfs") / "rootfs")


@pytest.fixture
def pod(containerd: Containerd, runtime: Runtime, tmp_path: Path) -> Iterator[Pod]:
    """A pod of the runtime, by the CRI plugin."""
    with Calls(containerd.room, "k8s.io") as calls:
        pod = Pod(containerd, calls, runtime, tmp_path / "logs")
        yield pod
        pod.remove()
