# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests with real engines.

Every worker of xdist has rooms of its own (tests/engines/room.py), so that engines' defaults,
networks and sockets never meet. `runtime` runs a test twice: with orlop, and with runc, whose
answers are the ones expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines import image
from tests.engines.buildah import Buildah
from tests.engines.containerd import Containerd
from tests.engines.docker import Docker
from tests.engines.podman import Podman, PodmanRootless
from tests.engines.room import Room
from tests.engines.runtime import Runtime, orlop, runc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of one busybox (`image.NAME`), as a file for `docker load` and its like."""
    return image.archive(tmp_path_factory.mktemp("image"))


@pytest.fixture(params=["orlop", "runc"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each of the runtimes in turn."""
    return orlop() if request.param == "orlop" else runc()


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Docker]:
    """A Docker daemon with its defaults, shared by the tests of a worker."""
    with Room(tmp_path_factory.mktemp("docker")) as room:
        docker = Docker(room)
        docker.start(archive)
        yield docker
        docker.daemon.stop()


@pytest.fixture
def docker(dockerd: Docker) -> Iterator[Docker]:
    """The daemon; all containers are removed after the test, and whatever else is left fails it."""
    leftovers = dockerd.leftovers()
    yield dockerd
    dockerd.remove_all()
    leftovers.check()


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
