# SPDX-License-Identifier: Apache-2.0
"""What the container sees of its mounts is what Debian's runc shows of the same bundle.

Where runc 1.1 does otherwise than the runc of today, a test elsewhere says what is expected:
the root's own propagation, the tmpfs above read-only cgroup v1 mounts, and masks.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies
from tests.support.cli import Cli, is_orlop
from tests.support.features import requires
from tests.support.mounting import add, make_source
from tests.support.peer import Peer, see

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import leaks
    from tests.support.bundle import Bundle

pytestmark = [
    requires("root", "runc"),
    pytest.mark.skipif(not is_orlop(), reason="compares this runtime with runc"),
    pytest.mark.v2,
]

BINDS = [
    "bind", "rbind", "bind,ro", "rbind,rw,nosuid", "bind,noatime,nodiratime", "bind,strictatime",
    "rbind,sync,nodev,noexec", "rbind,rro,rnosuid", "rbind,rprivate", "rbind,slave",
    "rbind,rslave", "rbind,shared", "rbind,rshared", "rbind,unbindable", "rbind,runbindable",
    "rbind,rslave,rshared", "bind,dest-nofollow", "rbind,relatime,nosymfollow",
]  # fmt: skip
TMPFS = [
    "mode=755", "mode=1777,ro", "size=1m,nosuid,mode=700", "sync,lazytime,mode=755",
    "dirsync,noexec,mode=755", "mode=755,noatime", "iversion,mode=755,nodev", "loud,mode=750",
]  # fmt: skip


def writable_cgroups(bundle: Bundle) -> None:
    """runc 1.1 leaves the tmpfs above read-only hierarchies writable."""
    for mount in bundle.spec["mounts"]:
        if mount["destination"] == "/sys/fs/cgroup":
            mount["options"].remove("ro")


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    bundle.linux.update(maskedPaths=[], readonlyPaths=[])
    return bundle


@pytest.fixture
def tree(tmp_path: Path, watch: leaks.Watch) -> Iterator[Path]:
    """A shared mount of the host with a mount below it, and one that shares nothing."""
    assert not watch.found()
    top = tmp_path / "tree"
    for directory, kind in ((top, "shared"), (top / "below", "shared"), (top / "own", "private")):
        directory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nodev", "tree", directory], check=True)
        subprocess.run(["mount", f"--make-{kind}", directory], check=True)
    yield top
    subprocess.run(["umount", "--recursive", top], check=True)


def assert_same(tmp_path: Path, bundle: Bundle, *options: str, below: str = "/") -> None:
    """Both runtimes' containers see the same mounts at and below a path."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours = see(Cli(tmp_path / "ours"), bundle, *options, below=below)
    theirs = see(Peer(tmp_path / "theirs"), bundle, *options, below=below)
    hierarchies.remove(os.path.dirname(bundle.cgroup))  # runc leaves the cgroup above its own
    assert ours == theirs
    assert ours


@pytest.mark.parametrize("cgroupns", [True, False])
def test_the_default_mounts(tmp_path: Path, bundle: Bundle, cgroupns: bool) -> None:  # noqa: FBT001
    writable_cgroups(bundle)
    if not cgroupns:
        bundle.drop_namespace("cgroup")
    assert_same(tmp_path, bundle)


@pytest.mark.parametrize("options", BINDS)
def test_binds(tmp_path: Path, bundle: Bundle, tree: Path, options: str) -> None:
    words = options.split(",")
    known = [word for word in words if word not in ("dest-nofollow", "nosymfollow")]
    add(bundle, "/work", "bind", tree, *known)
    assert_same(tmp_path, bundle, below="/work")


@pytest.mark.parametrize("options", TMPFS)
def test_a_tmpfs(tmp_path: Path, bundle: Bundle, options: str) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs", *options.split(","))
    assert_same(tmp_path, bundle, below="/work")


@pytest.mark.parametrize("word", ["private", "rprivate", "rslave", "shared", "rshared", None])
@pytest.mark.parametrize("options", ["rbind", "rbind,rprivate", "rbind,rslave", "rbind,shared"])
def test_binds_with_rootfs_propagation(
    tmp_path: Path, bundle: Bundle, tree: Path, word: str | None, options: str
) -> None:
    if word is not None:
        bundle.linux["rootfsPropagation"] = word
    if word == "rshared" and "shared" not in options:
        pytest.skip("runc 1.1 sets it before the root changes, and so on the host's mounts alone")
    add(bundle, "/work", "bind", tree, *options.split(","))
    assert_same(tmp_path, bundle, below="/work")


def test_an_overlay(tmp_path: Path, bundle: Bundle, tree: Path) -> None:
    for name in ("lower", "upper", "work"):
        (tree / name).mkdir()
    data = [f"{kind}dir={tree / kind}" for kind in ("lower", "upper", "work")]
    add(bundle, "/work", "overlay", "overlay", *data, "nosuid")
    assert_same(tmp_path, bundle, below="/work")


@pytest.mark.parametrize("options", ["remount,bind,ro", "remount,bind", "remount,bind,nodev,rw"])
def test_a_remount_of_a_mount(tmp_path: Path, bundle: Bundle, options: str) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs", "nosuid", "noexec", "mode=755")
    add(bundle, "/work", "bind", make_source(tmp_path), *options.split(","))
    assert_same(tmp_path, bundle, below="/work")


def test_a_remount_of_a_file_system(tmp_path: Path, bundle: Bundle) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=1m")
    add(bundle, "/work", "tmpfs", "tmpfs", "remount", "noexec", "size=2m")
    assert_same(tmp_path, bundle, below="/work")


def test_a_root_on_the_root(tmp_path: Path, bundle: Bundle) -> None:
    writable_cgroups(bundle)
    mount = {"destination": "/", "type": "bind", "source": str(bundle.rootfs)}
    bundle.spec["mounts"].insert(0, {**mount, "options": ["rbind", "nosuid"]})
    assert_same(tmp_path, bundle)


def test_a_moved_root(tmp_path: Path, bundle: Bundle) -> None:
    writable_cgroups(bundle)
    assert_same(tmp_path, bundle, "--no-pivot")
