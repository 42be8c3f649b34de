# SPDX-License-Identifier: Apache-2.0
"""Mounts of the configuration: binds, file systems, propagation."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, leaks, probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.mounting import add, make_source
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container


pytestmark = [requires("root"), pytest.mark.v2]

beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path)


@pytest.fixture
def shared(tmp_path: Path, watch: leaks.Watch) -> Iterator[Path]:
    """A tmpfs of the host in a peer group of its own."""
    assert not watch.found()
    directory = tmp_path / "shared"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "shared", directory], check=True)
    subprocess.run(["mount", "--make-shared", directory], check=True)
    yield directory
    subprocess.run(["umount", "--recursive", directory], check=True)


@pytest.fixture
def on_shared(bundle: Bundle, shared: Path) -> Bundle:
    """The bundle, its root file system on a shared mount, as on a host with systemd."""
    shutil.copytree(bundle.rootfs, shared / "rootfs")
    bundle.spec["root"]["path"] = str(shared / "rootfs")
    return bundle


# Binds


def test_a_bind_shows_the_hosts_directory(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "/work", "bind", source, "bind")
    assert run_probe("cat", "/work/file") == "from the host\n"


def test_what_is_written_in_a_bind_is_the_hosts(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "/work", "bind", source, "bind", "rw")
    run_probe("write", "/work/new", "from inside")
    assert (source / "new").read_text() == "from inside"


def test_a_read_only_bind_can_not_be_written(container: Container, source: Path) -> None:
    add(container.bundle, "/work", "bind", source, "bind", "ro")
    container.bundle.args("write", "/work/file", "changed")
    result = container.run(check=False)
    assert "Read-only file system" in result.stderr
    assert (source / "file").read_text() == "from the host\n"


def test_options_alone_make_a_bind(run_probe: RunProbe, bundle: Bundle, source: Path) -> None:
    """config.md, "Mounts": `bind` among the options, whatever the type."""
    add(bundle, "/work", "none", source, "rbind")
    assert run_probe("cat", "/work/file") == "from the host\n"


def test_a_file_is_bound_on_a_path_that_is_made(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "/etc/deep/er/file", "bind", source / "file", "bind", "ro")
    assert run_probe("cat", "/etc/deep/er/file") == "from the host\n"


def test_a_file_is_bound_on_a_file(run_probe: RunProbe, bundle: Bundle, source: Path) -> None:
    (bundle.rootfs / "etc" / "passwd").write_text("the image's\n")
    add(bundle, "/etc/passwd", "bind", source / "file", "bind")
    assert run_probe("cat", "/etc/passwd") == "from the host\n"
    assert (bundle.rootfs / "etc" / "passwd").read_text() == "the image's\n"


def test_an_rbind_brings_the_mounts_below_it(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work", "bind", "/dev", "rbind")
    assert probe.mounts(run_probe("mounts"))["/work/pts"].kind == "devpts"


def test_a_bind_leaves_the_mounts_below_it_out(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work", "bind", "/dev", "bind")
    mounts = probe.mounts(run_probe("mounts"))
    assert [target for target in mounts if target.startswith("/work")] == ["/work"]


def test_rro_makes_the_whole_tree_read_only(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work", "bind", "/dev", "rbind", "rro")
    mounts = probe.mounts(run_probe("mounts"))
    tree = {t: m.options[0] for t, m in mounts.items() if t.split("/")[1] == "work"}
    assert len(tree) > 1
    assert set(tree.values()) == {"ro"}


def test_ro_of_an_rbind_is_for_its_top_alone(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work", "bind", "/dev", "rbind", "ro")
    mounts = probe.mounts(run_probe("mounts"))
    assert (mounts["/work"].options[0], mounts["/work/shm"].options[0]) == ("ro", "rw")


def test_attributes_of_a_bind_are_set(run_probe: RunProbe, bundle: Bundle, source: Path) -> None:
    add(bundle, "/work", "bind", source, "bind", "nosuid", "nodev", "noexec", "noatime")
    options = probe.mounts(run_probe("mounts"))["/work"].options
    assert {"nosuid", "nodev", "noexec", "noatime"} <= set(options)


def test_a_later_mount_lies_over_an_earlier_one(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs")
    add(bundle, "/work/below", "bind", source, "bind")
    assert run_probe("ls", "/work", "--", "ls", "/work/below").split() == ["below", "file"]
    assert list((bundle.rootfs / "work").iterdir()) == []


# File systems


@beyond_runc
def test_a_tmpfs_has_the_size_and_mode_asked_for(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs", "nosuid", "size=64k", "mode=1770")
    lines = run_probe("stat", "/work", "--", "mounts").splitlines()
    mount = probe.mounts("\n".join(lines[1:]))["/work"]
    assert lines[0].split()[1:3] == ["directory", "1770"]
    assert "size=64k" in mount.superoptions
    assert "nosuid" in mount.options


def test_tmpcopyup_begins_with_what_it_covers(run_probe: RunProbe, bundle: Bundle) -> None:
    work = bundle.rootfs / "work"
    (work / "sub").mkdir(mode=0o751)
    (work / "sub" / "file").write_text("the image's")
    (work / "sub" / "file").chmod(0o4711)
    os.chown(work / "sub", 12, 34)
    (work / "link").symlink_to("sub/file")
    add(bundle, "/work", "tmpfs", "tmpfs", "tmpcopyup")
    facts = ("stat", "/work/sub", "/work/sub/file", "--", "cat", "/work/link", "--")
    directory, file, content = run_probe(*facts, "write", "/work/new", "x").splitlines()
    assert directory.split()[1:4] == ["directory", "0751", "12:34"]
    assert file.split()[1:3] == ["file", "4711"]
    assert content == "the image's"


@pytest.mark.parametrize(
    ("options", "seen"),
    [((), ["0751", "0:0"]), (("mode=1700", "uid=5", "gid=6"), ["1700", "5:6"])],
)
def test_a_tmpcopyup_has_the_mode_and_owner_that_are_asked_for(
    run_probe: RunProbe, bundle: Bundle, options: tuple[str, ...], seen: list[str]
) -> None:
    (bundle.rootfs / "work").chmod(0o751)
    os.chown(bundle.rootfs / "work", 12, 34)
    add(bundle, "/work", "tmpfs", "tmpfs", "tmpcopyup", *options)
    assert run_probe("stat", "/work").split()[2:4] == seen


def test_tmpcopyup_leaves_the_image_alone(run_probe: RunProbe, bundle: Bundle) -> None:
    (bundle.rootfs / "work" / "file").write_text("the image's")
    add(bundle, "/work", "tmpfs", "tmpfs", "tmpcopyup")
    assert run_probe("write", "/work/file", "new", "--", "cat", "/work/file") == "new"
    assert (bundle.rootfs / "work" / "file").read_text() == "the image's"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"),
        ("/dev/mqueue", "mqueue"), ("/dev/shm", "tmpfs"),
    ],
)  # fmt: skip
def test_a_default_mount_has_its_kind_and_options(
    run_probe: RunProbe, bundle: Bundle, target: str, kind: str
) -> None:
    asked = next(m for m in bundle.spec["mounts"] if m["destination"] == target)
    mount = probe.mounts(run_probe("mounts"))[target]
    attributes = {"nosuid", "noexec", "nodev", "ro"}
    assert mount.kind == kind
    assert attributes & set(mount.options) == attributes & set(asked.get("options", ()))


def test_devpts_is_an_instance_of_its_own(run_probe: RunProbe) -> None:
    listed, node = run_probe("ls", "/dev/pts", "--", "stat", "/dev/pts/ptmx").splitlines()
    assert listed == "ptmx"
    assert node.split()[1:5] == ["char", "0666", "0:0", "5:2"]


def test_an_overlay_with_long_options_is_mounted(
    run_probe: RunProbe, bundle: Bundle, tmp_path: Path
) -> None:
    """fsconfig(2) takes 255 bytes a value; images have more layers than that."""
    layers = [tmp_path / ("layer-" + "x" * 60 + str(n)) for n in range(8)]
    for n, layer in enumerate(layers):
        layer.mkdir()
        (layer / f"file-{n}").write_text(str(n))
    lower = "lowerdir=" + ":".join(map(str, layers))
    add(bundle, "/work", "overlay", "overlay", lower)
    assert run_probe("ls", "/work").split() == [f"file-{n}" for n in range(8)]


@beyond_runc
@pytest.mark.parametrize("cgroupns", [True, False])
def test_the_cgroup_mount_is_read_only(run_probe: RunProbe, bundle: Bundle, cgroupns: bool) -> None:  # noqa: FBT001
    """CVE-2023-25809: without a cgroup namespace too."""
    if not cgroupns:
        bundle.drop_namespace("cgroup")
    mounts = probe.mounts(run_probe("mounts"))
    found = {t: m.options[0] for t, m in mounts.items() if t.startswith("/sys/fs/cgroup")}
    assert len(found) >= 1
    assert set(found.values()) == {"ro"}


@pytest.mark.parametrize("cgroupns", [True, False])
def test_the_cgroup_mount_shows_the_containers_own_cgroup(
    run_probe: RunProbe,
    bundle: Bundle,
    cgroupns: bool,  # noqa: FBT001
) -> None:
    if not cgroupns:
        bundle.drop_namespace("cgroup")
    below = "/pids"
    if hierarchies.mode() == "v2":  # without a namespace the whole tree is shown, as by runc
        below = "" if cgroupns else bundle.cgroup
    answer = run_probe("cat", f"/sys/fs/cgroup{below}/cgroup.procs")
    assert answer.split() == ["1"]


# Propagation


def test_a_slave_bind_gets_the_hosts_later_mounts(container: Container, shared: Path) -> None:
    add(container.bundle, "/work", "bind", shared, "rbind", "rslave")
    started(container)
    (shared / "later").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "later", shared / "later"], check=True)
    mounts = probe.mounts(container.exec("mounts").stdout)
    assert mounts["/work/later"].kind == "tmpfs"


def test_a_private_bind_does_not_get_them(container: Container, shared: Path) -> None:
    add(container.bundle, "/work", "bind", shared, "rbind", "rprivate")
    started(container)
    (shared / "later").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "later", shared / "later"], check=True)
    assert "/work/later" not in probe.mounts(container.exec("mounts").stdout)


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("rshared", ["shared"]), ("rslave", ["master"]), ("rprivate", []),
        ("unbindable", ["unbindable"]),
    ],
)  # fmt: skip
def test_a_binds_propagation_is_what_its_option_says(
    run_probe: RunProbe, bundle: Bundle, shared: Path, word: str, fields: list[str]
) -> None:
    if word == "rshared":
        bundle.linux["rootfsPropagation"] = "rshared"
    add(bundle, "/work", "bind", shared, "rbind", word)
    mount = probe.mounts(run_probe("mounts"))["/work"]
    assert [field.partition(":")[0] for field in mount.propagation] == fields


@beyond_runc
@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("shared", ["shared"]), ("rslave", ["master"]), ("private", []),
        ("unbindable", ["unbindable"]), (None, []),
    ],
)  # fmt: skip
def test_the_roots_propagation_is_rootfs_propagation(
    run_probe: RunProbe, on_shared: Bundle, word: str | None, fields: list[str]
) -> None:
    if word is not None:
        on_shared.linux["rootfsPropagation"] = word
    mount = probe.mounts(run_probe("mounts"))["/"]
    assert [field.partition(":")[0] for field in mount.propagation] == fields


@pytest.mark.parametrize("word", ["shared", "rshared", "rslave", "private", None])
def test_the_host_sees_no_mount_of_the_container(
    container: Container, on_shared: Bundle, shared: Path, word: str | None
) -> None:
    if word is not None:
        on_shared.linux["rootfsPropagation"] = word
    on_shared.args("sleep")
    container.run_detached()
    assert container.read_line() == "ready"
    assert leaks.mounts(shared.parent) == [f"mount {shared}"]


@pytest.mark.parametrize("word", ["rshared", "rslave"])
def test_the_hosts_mounts_survive_the_container(
    run_probe: RunProbe, bundle: Bundle, shared: Path, word: str
) -> None:
    """The old root is unmounted with all below it, which must not propagate back."""
    (shared / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", shared / "below"], check=True)
    bundle.linux["rootfsPropagation"] = word
    run_probe("true")
    assert (shared / "below").is_mount()
