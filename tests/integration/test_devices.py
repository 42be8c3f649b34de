# SPDX-License-Identifier: Apache-2.0
"""Devices: nodes where they can be made, the host's where a user namespace forbids it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import namespaces, probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.mounting import add, drop_dev, make_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [
    requires("root", "userns"),
    pytest.mark.v2,
    pytest.mark.skipif(not is_orlop(), reason="runc 1.1 binds whatever is there"),
]
FUSE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}


@pytest.fixture
def mapped(
    make_container: Callable[[Bundle], Container], cgroup: str
) -> Iterator[namespaces.Mapped]:
    mapped = namespaces.Mapped(make_container, cgroup)
    yield mapped
    mapped.close()


def refused(container: Container) -> str:
    """What the runtime says to a container that it must not make."""
    result = container.run(check=False)
    assert result.returncode == 1
    return result.stderr


def with_device(container: Container, **members: Any) -> Container:  # noqa: ANN401
    """Add a device like /dev/fuse; `members` are those that differ."""
    container.bundle.linux.setdefault("devices", []).append({**FUSE, **members})
    return container


def test_a_device_is_read_and_written_by_all_unless_it_says_otherwise(
    container: Container,
) -> None:
    with_device(container, path="/dev/one", major=1, minor=5)
    with_device(container, path="/work/two", type="u", major=1, minor=3, fileMode=0o600)
    with_device(container, path="/dev/three", type="p")
    container.bundle.args("stat", "/dev/one", "/work/two", "/dev/three")
    lines = [line.split()[1:5] for line in container.run().stdout.splitlines()]
    assert lines == [
        ["char", "0666", "0:0", "1:5"],
        ["char", "0600", "0:0", "1:3"],
        ["fifo", "0666", "0:0", "0:0"],
    ]


def test_the_type_in_a_file_mode_is_passed_over(container: Container) -> None:
    """Engines copy st_mode of the host's node."""
    with_device(container, path="/dev/zero2", major=1, minor=5, fileMode=stat.S_IFCHR | 0o640)
    container.bundle.args("stat", "/dev/zero2")
    assert container.run().stdout.split()[1:3] == ["char", "0640"]


def test_a_multiplexer_is_the_containers_own(container: Container) -> None:
    """Engines list the host's /dev/ptmx with --privileged; config-linux.md, "Default Devices"."""
    with_device(container, path="/dev/ptmx", major=5, minor=2)
    container.bundle.args("readlink", "/dev/ptmx")
    assert container.run().stdout == "pts/ptmx\n"


def test_a_node_of_the_image_is_taken(container: Container) -> None:
    os.mknod(container.bundle.rootfs / "work" / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with_device(container, path="/work/null", major=1, minor=3, uid=5, gid=6)
    container.bundle.args("stat", "/work/null")
    assert container.run().stdout.split()[1:5] == ["char", "0600", "5:6", "1:3"]


@pytest.mark.parametrize("what", ["file", "directory", "link", "device"])
def test_another_file_in_the_place_of_a_device_is_an_error(container: Container, what: str) -> None:
    """config-linux.md, "Devices"; a link is not followed, wherever it leads."""
    place = container.bundle.rootfs / "work" / "device"
    if what == "file":
        place.write_text("")
    elif what == "directory":
        place.mkdir()
    elif what == "link":
        place.symlink_to("/dev/null")
    else:
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    with_device(container, path="/work/device", major=1, minor=3)
    message = refused(container)
    assert message.startswith("orlop: /linux/devices/0: device /work/device c 1:3")
    assert "another file is in its place" in message


def test_in_a_user_namespace_the_hosts_nodes_are_bound(mapped: namespaces.Mapped) -> None:
    container = mapped()
    names = ("null", "zero", "full", "random", "urandom", "tty")
    paths = [f"/dev/{name}" for name in names]
    container.bundle.args("stat", *paths, "--", "write", "/dev/null", "x", "--", "mounts")
    lines = container.run().stdout.splitlines()
    mounts = probe.mounts("\n".join(lines[len(names) :]))
    assert [line.split()[1] for line in lines[: len(names)]] == ["char"] * len(names)
    assert set(paths) <= mounts.keys()


def test_in_a_user_namespace_a_device_must_be_on_the_host(mapped: namespaces.Mapped) -> None:
    container = with_device(mapped(), path="/dev/not-on-this-host", minor=77)
    message = refused(container)
    assert message.startswith("orlop: /linux/devices/0: ")
    assert "making device nodes is refused here, and the host has none at this path" in message


def test_in_a_user_namespace_another_device_is_not_taken(mapped: namespaces.Mapped) -> None:
    container = with_device(mapped(), path="/dev/zero", major=1, minor=3)
    assert "the host's file at this path is another" in refused(container)


def test_in_a_user_namespace_a_fifo_is_made(mapped: namespaces.Mapped) -> None:
    container = with_device(mapped(), path="/dev/pipe", type="p", uid=3, gid=4)
    container.bundle.args("stat", "/dev/pipe")
    assert container.run().stdout.split()[1:4] == ["fifo", "0666", "3:4"]


def test_in_a_user_namespace_a_second_start_finds_the_mount_points(
    mapped: namespaces.Mapped,
) -> None:
    container = mapped()
    drop_dev(container.bundle)
    container.bundle.args("stat", "/dev/null")
    for _ in range(2):
        assert container.run().stdout.split()[1] == "char"


def test_a_bound_dev_gets_no_links_either(
    run_probe: RunProbe, bundle: Bundle, tmp_path: Path
) -> None:
    source = make_source(tmp_path)
    drop_dev(bundle)
    bundle.linux["devices"] = [FUSE]
    add(bundle, "/dev/", "none", source, "rbind")
    assert run_probe("ls", "/dev") == "file\n"
    assert [path.name for path in source.iterdir()] == ["file"]


@pytest.mark.parametrize("relative", [False, True])
def test_a_dev_that_is_a_link_is_followed_inside(
    container: Container,
    tmp_path: Path,
    relative: bool,  # noqa: FBT001
) -> None:
    """CVE-2026-41579, with the tmpfs of the default configuration on it."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "ptmx").write_text("the host's")
    bundle = container.bundle
    (bundle.rootfs / "dev").rmdir()
    target = os.path.relpath(canary, bundle.rootfs) if relative else str(canary)
    (bundle.rootfs / "dev").symlink_to(target)
    bundle.args("stat", "/dev/null")
    assert container.run().stdout.split()[1] == "char"
    assert [path.name for path in canary.iterdir()] == ["ptmx"]
    assert (canary / "ptmx").read_text() == "the host's"
