# SPDX-License-Identifier: Apache-2.0
"""`idmap` and `ridmap`: owners of a volume's files as the container is to see them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import namespaces
from tests.support.features import requires
from tests.support.mounting import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support import leaks
    from tests.support.bundle import Bundle
    from tests.support.container import Container
    from tests.support.refusal import Refusal

pytestmark = [requires("root", "userns", "idmap"), pytest.mark.v2]


@pytest.fixture
def volume(tmp_path: Path, watch: leaks.Watch) -> Iterator[Path]:
    """A directory of 1000:1001, with another file system below it whose root is 0:0."""
    assert not watch.found()
    top = tmp_path / "volume"
    (top / "below").mkdir(parents=True)
    (top / "file").write_text("the volume's")
    for path in (top, top / "file"):
        os.chown(path, 1000, 1001)
    top.chmod(0o777)
    lower = tmp_path / "lower"
    lower.mkdir()
    subprocess.run(["mount", "--bind", lower, top / "below"], check=True)
    yield top
    subprocess.run(["umount", top / "below"], check=True)


@pytest.fixture
def mapped(
    make_container: Callable[[Bundle], Container], cgroup: str
) -> Iterator[namespaces.Mapped]:
    mapped = namespaces.Mapped(make_container, cgroup)
    yield mapped
    mapped.close()


def maps(inside: int, outside: int, size: int = 1) -> list[dict[str, int]]:
    return [{"containerID": inside, "hostID": outside, "size": size}]


def map_mount(bundle: Bundle, uids: list[dict[str, int]], gids: list[dict[str, int]]) -> None:
    """Give the mount that was added last maps of its own."""
    bundle.spec["mounts"][-1].update(uidMappings=uids, gidMappings=gids)


def owners(output: str) -> list[str]:
    """Owners in the output of `probe stat`."""
    return [line.split()[3] for line in output.splitlines()]


@pytest.mark.parametrize("words", [["idmap"], [], ["ridmap"]])
def test_a_mount_with_maps_of_its_own(
    run_probe: RunProbe, bundle: Bundle, volume: Path, words: list[str]
) -> None:
    """Without the word too: config.md says that there SHOULD be one."""
    add(bundle, "/work", "bind", volume, "rbind", *words)
    map_mount(bundle, maps(1000, 5000), maps(1001, 6000))
    answer = run_probe("stat", "/work", "/work/file", "--", "cat", "/work/file")
    assert owners(answer.rpartition("\n")[0]) == ["5000:6000", "5000:6000"]


@pytest.mark.parametrize(("word", "below"), [("idmap", "0:0"), ("ridmap", "7000:7000")])
def test_only_ridmap_is_for_mounts_below(
    run_probe: RunProbe, bundle: Bundle, volume: Path, word: str, below: str
) -> None:
    add(bundle, "/work", "bind", volume, "rbind", word)
    map_mount(bundle, maps(0, 7000, 2000), maps(0, 7000, 2000))
    assert owners(run_probe("stat", "/work", "/work/below")) == ["8000:8001", below]


def test_new_files_belong_to_the_volumes_owner(
    run_probe: RunProbe, bundle: Bundle, volume: Path
) -> None:
    add(bundle, "/work", "bind", volume, "bind", "idmap")
    map_mount(bundle, maps(1000, 0), maps(1001, 0))
    run_probe("write", "/work/new", "text")
    status = (volume / "new").stat()
    assert (status.st_uid, status.st_gid) == (1000, 1001)


def test_the_user_namespaces_maps_make_host_ids_the_containers(
    mapped: namespaces.Mapped, volume: Path
) -> None:
    container = mapped()
    add(container.bundle, "/work", "bind", volume, "bind", "idmap")
    container.bundle.args("stat", "/work/file", "--", "write", "/work/new", "text")
    assert owners(container.run().stdout) == ["1000:1001"]
    assert (volume / "new").stat().st_uid == 0


def test_maps_of_the_mount_win_in_a_user_namespace(mapped: namespaces.Mapped, volume: Path) -> None:
    container = mapped()
    add(container.bundle, "/work", "bind", volume, "bind", "idmap")
    first = namespaces.FIRST
    map_mount(container.bundle, maps(1000, first + 7), maps(1001, first + 8))
    container.bundle.args("stat", "/work/file")
    assert owners(container.run().stdout) == ["7:8"]


def test_the_maps_of_a_joined_user_namespace(
    container: Container, volume: Path, request: pytest.FixtureRequest
) -> None:
    holder = namespaces.Holder()
    request.addfinalizer(holder.close)
    bundle = container.bundle
    namespaces.join(bundle, holder("user"))
    namespaces.unmap_tty_group(bundle)
    os.chown(volume / "file", 0, 0)
    add(bundle, "/work", "bind", volume, "bind", "idmap")
    bundle.args("stat", "/work/file", "/work")
    assert owners(container.run().stdout) == ["0:0", "65534:65534"]


def test_several_mounts_of_different_maps(
    run_probe: RunProbe, bundle: Bundle, volume: Path
) -> None:
    for target, owner in (("/work", 10), ("/tmp", 20), ("/etc", 10)):
        add(bundle, target, "bind", volume, "bind", "idmap")
        map_mount(bundle, maps(1000, owner), maps(1001, owner))
    answer = run_probe("stat", "/work/file", "/tmp/file", "/etc/file")
    assert owners(answer) == ["10:10", "20:20", "10:10"]


def test_attributes_and_propagation_go_with_it(
    run_probe: RunProbe, bundle: Bundle, volume: Path
) -> None:
    add(bundle, "/work", "bind", volume, "bind", "idmap", "ro", "nosuid", "rprivate")
    map_mount(bundle, maps(1000, 1), maps(1001, 1))
    line = next(line for line in run_probe("mounts").splitlines() if " /work " in line)
    assert {"ro", "nosuid", "idmapped"} <= set(line.split()[5].split(","))


@pytest.fixture
def refusal(request: pytest.FixtureRequest) -> Refusal:
    from tests.support.refusal import Refusal

    get: Any = request.getfixturevalue
    return Refusal(get("orlop"), get("watch"), get("bundle"))


def test_a_file_system_that_can_not(refusal: Refusal) -> None:
    add(refusal.bundle, "/work", "bind", "/proc/self/fdinfo", "bind", "idmap")
    map_mount(refusal.bundle, maps(0, 1), maps(0, 1))
    at = len(refusal.bundle.spec["mounts"]) - 1
    message = refusal.create()
    assert message.startswith(f"/mounts/{at}: bind /proc/self/fdinfo on /work")
    assert "can't map ids" in message
    assert "5.12" in message


def test_maps_that_the_kernel_refuses(refusal: Refusal, volume: Path) -> None:
    add(refusal.bundle, "/work", "bind", volume, "bind", "idmap")
    overlapping = [*maps(0, 0, 10), *maps(20, 5, 10)]
    map_mount(refusal.bundle, overlapping, maps(0, 0))
    assert "/mounts/" in refusal.create()


@requires("rootless")
def test_without_privilege_there_is_none(rootless: Container) -> None:
    add(rootless.bundle, "/work", "bind", "/etc", "bind", "idmap")
    result = rootless.run(check=False)
    assert result.returncode == 1
    assert "id-mapped mounts need root's privileges" in result.stderr
