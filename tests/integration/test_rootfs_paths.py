# SPDX-License-Identifier: Apache-2.0
"""No path of the configuration leads out of the root file system, whatever the image holds."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.mounting import add, drop_dev, make_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container


pytestmark = requires("root")

beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise")

AT_FDCWD = -100


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that must stay as it is."""
    directory = tmp_path / "canary"
    directory.mkdir()
    (directory / "ptmx").write_text("the host's\n")
    yield directory
    assert [path.name for path in directory.iterdir()] == ["ptmx"]
    assert (directory / "ptmx").read_text() == "the host's\n"


def refused(container: Container) -> str:
    """What the runtime says to a container that it must not make."""
    result = container.run(check=False)
    assert result.returncode == 1
    return result.stderr


def test_a_missing_working_directory_is_made(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/work/not/yet"
    assert run_probe("cwd") == "/work/not/yet\n"
    assert stat.S_IMODE((bundle.rootfs / "work" / "not").stat().st_mode) == 0o755


def test_a_relative_destination_begins_at_the_root(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "work/relative", "bind", source, "bind")
    assert run_probe("cat", "/work/relative/file") == "from the host\n"


@pytest.mark.parametrize("relative", [False, True])
def test_a_destination_behind_a_link_stays_inside(
    run_probe: RunProbe,
    bundle: Bundle,
    source: Path,
    canary: Path,
    relative: bool,  # noqa: FBT001
) -> None:
    target = Path(os.path.relpath(canary, bundle.rootfs)) if relative else canary
    (bundle.rootfs / "work" / "link").symlink_to(".." / target if relative else target)
    inside = canary.name if relative else str(canary).lstrip("/")
    add(bundle, "/work/link/sub", "bind", source, "bind")
    assert run_probe("cat", f"/{inside}/sub/file") == "from the host\n"


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_dangling_link_as_destination_is_made_inside(
    run_probe: RunProbe, bundle: Bundle, source: Path, canary: Path, kind: str
) -> None:
    (bundle.rootfs / "work" / "link").symlink_to(canary / "made")
    bound = source if kind == "directory" else source / "file"
    add(bundle, "/work/link", "bind", bound, "bind")
    path = "/work/link/file" if kind == "directory" else "/work/link"
    assert run_probe("cat", path) == "from the host\n"
    assert (bundle.rootfs / str(canary).lstrip("/") / "made").exists()


@beyond_runc
def test_a_working_directory_behind_a_link_is_made_inside(
    run_probe: RunProbe, bundle: Bundle, canary: Path
) -> None:
    (bundle.rootfs / "work" / "link").symlink_to(canary)
    bundle.process["cwd"] = "/work/link/sub"
    assert run_probe("cwd") == f"{canary}/sub\n"


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_kernel_file_systems_want_an_ordinary_directory(container: Container, name: str) -> None:
    """CVE-2019-16884, CVE-2019-19921, CVE-2023-27561: the image redirects what we write there."""
    (container.bundle.rootfs / name).rmdir()
    (container.bundle.rootfs / name).symlink_to("work")
    message = refused(container)
    assert "ordinary directory" in message
    assert f"/{name}" in message


@beyond_runc
@pytest.mark.parametrize("relative", [False, True])
def test_a_dev_that_is_a_link_changes_nothing_outside(
    container: Container,
    canary: Path,
    relative: bool,  # noqa: FBT001
) -> None:
    """CVE-2026-41579: a ptmx outside would be removed. Whether it starts is not the point."""
    bundle = container.bundle
    drop_dev(bundle)
    (bundle.rootfs / "dev").rmdir()
    target = os.path.relpath(canary, bundle.rootfs) if relative else str(canary)
    (bundle.rootfs / "dev").symlink_to(target)
    container.run(check=False)
    assert (canary / "ptmx").read_text() == "the host's\n"


def test_masks_behind_a_link_are_inside(run_probe: RunProbe, bundle: Bundle, canary: Path) -> None:
    inside = bundle.rootfs / str(canary).lstrip("/")
    inside.mkdir(parents=True)
    (inside / "ptmx").write_text("the image's")
    (bundle.rootfs / "work" / "link").symlink_to(canary)
    bundle.linux["maskedPaths"] = ["/work/link/ptmx"]
    assert run_probe("cat", f"{canary}/ptmx") == ""


class Swapper(threading.Thread):
    """Exchanges two names of a directory, over and over, until `stop` is set."""

    def __init__(self, first: Path, second: Path) -> None:
        super().__init__()
        self.names = os.fsencode(first), os.fsencode(second)
        self.stop = threading.Event()
        self.swaps = 0

    def run(self) -> None:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        while not self.stop.is_set():
            exchange = 2  # RENAME_EXCHANGE, linux/fs.h
            assert renameat2(AT_FDCWD, self.names[0], AT_FDCWD, self.names[1], exchange) == 0
            self.swaps += 1


@pytest.mark.slow
def test_a_volume_whose_directories_are_swapped_for_links_leads_nowhere(
    make_container: Callable[[Bundle], Container],
    make_bundle: Callable[[], Bundle],
    source: Path,
    canary: Path,
) -> None:
    """CVE-2021-30465, CVE-2024-45310: another container of the volume plays with it meanwhile."""
    (source / "directory").mkdir()
    (source / "link").symlink_to(canary)
    swapper = Swapper(source / "directory", source / "link")
    swapper.start()
    statuses = []
    try:
        for _ in range(8):
            bundle = make_bundle().args("mounts")
            add(bundle, "/work", "bind", source, "rbind")
            add(bundle, "/work/directory/sub", "tmpfs", "raced")
            result = make_container(bundle).run(check=False)
            statuses.append(result.returncode)
            raced = [m for m in probe.mounts(result.stdout).values() if m.source == "raced"]
            assert len(raced) == (result.returncode == 0)
    finally:
        swapper.stop.set()
        swapper.join()
    assert 0 in statuses
    assert swapper.swaps > len(statuses)
