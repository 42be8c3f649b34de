# SPDX-License-Identifier: Apache-2.0
"""--no-pivot: the root is moved, for hosts whose own root is one that pivot_root(2) refuses."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import leaks, namespaces, probe
from tests.support.cli import is_orlop
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [requires("root"), pytest.mark.v2]
beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise")


def kernel_mounts(mountinfo: str) -> list[probe.Mount]:
    """Whole proc and sysfs mounts, reachable or not."""
    mounts = [probe.Mount(line) for line in mountinfo.splitlines()]
    return [mount for mount in mounts if mount.kind in ("proc", "sysfs") and mount.root == "/"]


def test_the_container_sees_its_root(container: Container) -> None:
    container.bundle.args("ls", "/", "--", "cwd", "--", "write", "/work/new", "text")
    output = container.run("--no-pivot").stdout
    assert output.split() == [*sorted(p.name for p in container.bundle.rootfs.iterdir()), "/"]
    assert (container.bundle.rootfs / "work" / "new").read_text() == "text"


def test_a_moved_root_can_be_read_only(container: Container) -> None:
    container.bundle.spec["root"]["readonly"] = True
    container.bundle.args("write", "/new")
    assert "Read-only file system" in container.run("--no-pivot", check=False).stderr


def test_the_hosts_proc_and_sysfs_are_gone(container: Container) -> None:
    """Whoever sees a whole one may mount another: the container's masks would be void."""
    container.bundle.args("sleep")
    container.run_detached("--no-pivot")
    assert container.read_line() == "ready"
    with open(f"/proc/{container.pid}/mountinfo", encoding="utf-8") as file:
        found = kernel_mounts(file.read())
    assert sorted(mount.target for mount in found) == ["/proc", "/sys"]
    assert "nosuid" in next(mount for mount in found if mount.target == "/sys").options


def test_processes_can_be_added(container: Container) -> None:
    container.bundle.args("sleep")
    container.run_detached("--no-pivot")
    assert container.read_line() == "ready"
    names = container.exec("ls", "/").stdout.split()
    assert names == sorted(path.name for path in container.bundle.rootfs.iterdir())


@beyond_runc
@pytest.mark.parametrize("word", ["private", "rprivate"])
def test_a_private_root_needs_pivot_root(container: Container, word: str) -> None:
    container.bundle.linux["rootfsPropagation"] = word
    result = container.run("--no-pivot", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"orlop: /linux/rootfsPropagation: {word!r} needs pivot_root")


@pytest.fixture
def shared(watch: leaks.Watch) -> Iterator[Path]:
    """A tmpfs of the host in a peer group, with a proc on it as a second container would have."""
    assert not watch.found()
    # For all to enter: a user namespace's root has to cover what other tests mount meanwhile.
    parent = Path(tempfile.mkdtemp(prefix="orlop-shared-"))
    parent.chmod(0o711)
    directory = parent / "shared"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "shared", directory], check=True)
    subprocess.run(["mount", "--make-shared", directory], check=True)
    (directory / "blank space").mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", directory / "blank space"], check=True)
    yield directory
    subprocess.run(["umount", "--recursive", directory], check=True)
    shutil.rmtree(parent)


@pytest.mark.parametrize("word", [None, "rslave", "shared", "rshared", "slave"])
@beyond_runc
def test_the_host_keeps_its_own(container: Container, shared: Path, word: str | None) -> None:
    """What the container unmounts is unmounted for nobody else, whatever the propagation."""
    bundle = container.bundle
    shutil.copytree(bundle.rootfs, shared / "rootfs")
    bundle.spec["root"]["path"] = str(shared / "rootfs")
    if word is not None:
        bundle.linux["rootfsPropagation"] = word
    container.bundle.args("sleep")
    container.run_detached("--no-pivot")
    assert container.read_line() == "ready"
    with open(f"/proc/{container.pid}/mountinfo", encoding="utf-8") as file:
        assert len(kernel_mounts(file.read())) == 2
    escaped = f"{shared}/blank\\040space"
    assert leaks.mounts(shared.parent) == [f"mount {shared}", f"mount {escaped}"]


@beyond_runc
@requires("userns")
def test_locked_mounts_are_covered(
    make_container: Callable[[Bundle], Container], cgroup: str
) -> None:
    """In a user namespace the host's can't be unmounted."""
    mapped = namespaces.Mapped(make_container, cgroup)
    try:
        container = mapped()
        container.bundle.args("ls", "/", "--", "id")
        assert "uid 0" in container.run("--no-pivot").stdout
    finally:
        mapped.close()
