# SPDX-License-Identifier: Apache-2.0
"""Options of mounts beyond flags: remount, links, modes, what has to stay writable for a while."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.mounting import add, make_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support import leaks
    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.v2,
    pytest.mark.skipif(not is_orlop(), reason="words that runc 1.1 doesn't know"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path)


def refused(container: Container) -> str:
    """What the runtime says to a container that it must not make."""
    result = container.run(check=False)
    assert result.returncode == 1
    return result.stderr


# Sources


def test_a_source_is_relative_to_the_bundle(run_probe: RunProbe, bundle: Bundle) -> None:
    """config.md, "Mounts"."""
    (bundle.path / "data").mkdir()
    (bundle.path / "data" / "file").write_text("the bundle's")
    add(bundle, "/work", "bind", "data", "bind")
    assert run_probe("cat", "/work/file") == "the bundle's"


def test_a_source_is_followed(run_probe: RunProbe, bundle: Bundle, source: Path) -> None:
    (source.parent / "link").symlink_to(source)
    add(bundle, "/work", "bind", source.parent / "link", "bind")
    assert run_probe("cat", "/work/file") == "from the host\n"


def test_src_nofollow_binds_the_link_itself(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    (source / "link").symlink_to("/bin")
    add(bundle, "/work/place", "bind", source / "link", "bind", "src-nofollow")
    assert run_probe("readlink", "/work/place", "--", "ls", "/work/place/") == "/bin\nprobe\n"


def test_dest_nofollow_covers_the_link_itself(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    (bundle.rootfs / "work" / "kept").write_text("the image's")
    (bundle.rootfs / "work" / "link").symlink_to("kept")
    add(bundle, "/work/link", "bind", source / "file", "bind", "dest-nofollow")
    answers = run_probe("cat", "/work/link", "--", "cat", "/work/kept")
    assert answers == "from the host\nthe image's"


def test_dest_nofollow_makes_what_is_missing(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    (bundle.rootfs / "work" / "link").symlink_to("../tmp")
    add(bundle, "/work/link/new/place", "bind", source, "bind", "dest-nofollow")
    assert run_probe("cat", "/tmp/new/place/file") == "from the host\n"


def test_copy_symlink_makes_the_link_again(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    (source / "link").symlink_to("../nowhere/on/the/host")
    add(bundle, "/etc/made/link", "bind", source / "link", "bind", "copy-symlink")
    assert run_probe("readlink", "/etc/made/link") == "../nowhere/on/the/host\n"


def test_copy_symlink_takes_the_same_link(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    for link in (source / "link", bundle.rootfs / "etc" / "link"):
        link.symlink_to("target")
    add(bundle, "/etc/link", "bind", source / "link", "bind", "copy-symlink")
    assert run_probe("readlink", "/etc/link") == "target\n"


def test_copy_symlink_takes_no_other_file(container: Container, source: Path) -> None:
    (source / "link").symlink_to("target")
    (container.bundle.rootfs / "etc" / "link").symlink_to("elsewhere")
    add(container.bundle, "/etc/link", "bind", source / "link", "bind", "copy-symlink")
    assert "another file is in its place" in refused(container)


def test_copy_symlink_binds_what_is_no_link(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "/work", "bind", source, "bind", "copy-symlink", "ro")
    assert run_probe("cat", "/work/file") == "from the host\n"


def test_a_source_may_be_an_earlier_mount(run_probe: RunProbe, bundle: Bundle) -> None:
    """What is below the root is opened when its turn comes."""
    add(bundle, "/work", "tmpfs", "tmpfs", "size=8k")
    add(bundle, "/tmp", "bind", bundle.rootfs / "work", "bind")
    mounts = probe.mounts(run_probe("mounts"))
    assert mounts["/tmp"].kind == "tmpfs"


# Targets


def test_a_mount_on_the_root_is_the_root(run_probe: RunProbe, bundle: Bundle, source: Path) -> None:
    for name in ("bin", "proc", "dev", "sys"):
        (source / name).mkdir()
    os.link(bundle.rootfs / "bin" / "probe", source / "bin" / "probe")
    mount = {"destination": "/", "type": "none", "source": str(source), "options": ["bind"]}
    bundle.spec["mounts"].insert(0, mount)
    names = run_probe("ls", "/").split()
    assert "file" in names
    assert "work" not in names


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_file_and_a_directory_do_not_mix(container: Container, source: Path, kind: str) -> None:
    (container.bundle.rootfs / "work" / "file").touch()
    target, bound = ("/work/file", source) if kind == "directory" else ("/work", source / "file")
    add(container.bundle, target, "bind", bound, "bind")
    assert f"a {kind} on a " in refused(container)


# Modes, and what is read-only last


@pytest.mark.parametrize(
    ("options", "mode"), [((), "0751"), (("mode=700",), "0700"), (("ro",), "0751")]
)
def test_a_tmpfs_has_the_mode_of_what_it_covers(
    run_probe: RunProbe, bundle: Bundle, options: tuple[str, ...], mode: str
) -> None:
    (bundle.rootfs / "work").chmod(0o751)
    add(bundle, "/work", "tmpfs", "tmpfs", *options)
    assert run_probe("stat", "/work").split()[2] == mode


def test_a_tmpfs_where_nothing_was_is_for_all(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work/new", "tmpfs", "tmpfs")
    assert run_probe("stat", "/work/new").split()[2] == "1777"


def test_mount_points_are_made_in_a_read_only_tmpfs(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs", "ro")
    add(bundle, "/work/deep/below", "bind", source, "bind")
    content, _, mounts = run_probe("cat", "/work/deep/below/file", "--", "mounts").partition("\n")
    assert content == "from the host"
    assert probe.mounts(mounts)["/work"].options[0] == "ro"


def test_devices_are_made_in_a_read_only_dev(container: Container) -> None:
    bundle = container.bundle
    dev = next(mount for mount in bundle.spec["mounts"] if mount["destination"] == "/dev")
    dev["options"].append("ro")
    bundle.args("stat", "/dev/null", "--", "readlink", "/dev/fd", "--", "write", "/dev/new")
    result = container.run(check=False)
    assert result.stdout.splitlines()[1] == "/proc/self/fd"
    assert "Read-only file system" in result.stderr


def test_a_read_only_tmpcopyup_is_filled(container: Container) -> None:
    (container.bundle.rootfs / "work" / "file").write_text("the image's")
    add(container.bundle, "/work", "tmpfs", "tmpfs", "tmpcopyup", "ro")
    container.bundle.args("cat", "/work/file", "--", "write", "/work/file")
    result = container.run(check=False)
    assert result.stdout == "the image's"
    assert "Read-only file system" in result.stderr


# Remounts


def test_a_remount_needs_a_mount(container: Container, source: Path) -> None:
    add(container.bundle, "/work", "bind", source, "bind", "remount", "ro")
    assert "nothing is mounted there" in refused(container)


def test_a_link_leads_no_remount_to_another_file_system(container: Container) -> None:
    """The image would choose whose options change, and cgroup v2's are the host's as well."""
    (container.bundle.rootfs / "work" / "link").symlink_to("../sys")
    add(container.bundle, "/work/link", "tmpfs", "tmpfs", "remount", "size=1m")
    assert "no symbolic link may lead to it" in refused(container)


def test_a_remount_is_the_last_word(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs", "ro")
    add(bundle, "/work", "tmpfs", "tmpfs", "remount", "rw")
    assert run_probe("write", "/work/new", "x", "--", "cat", "/work/new") == "x"


@requires("rootless")
def test_mounts_below_a_source_need_rbind_in_a_user_namespace(rootless: Container) -> None:
    """mount_namespaces(7): what a mount covers must stay covered."""
    add(rootless.bundle, "/work", "bind", "/dev", "bind")
    message = refused(rootless)
    assert "open_tree: Invalid argument" in message
    assert "rbind" in message


def test_a_remount_changes_propagation_and_the_tree(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    add(bundle, "/work", "tmpfs", "tmpfs")
    add(bundle, "/work/below", "tmpfs", "tmpfs")
    add(bundle, "/work", "bind", source, "bind", "remount", "rshared", "rnoexec")
    mounts = probe.mounts(run_probe("mounts"))
    for target in ("/work", "/work/below"):
        assert mounts[target].propagation[0].startswith("shared:")
        assert "noexec" in mounts[target].options


def test_a_long_overlay_is_read_only_too(container: Container, tmp_path: Path) -> None:
    """mount(2), not fsconfig(2): flags are flags there, and not options of the file system."""
    layers = [tmp_path / ("layer-" + "x" * 60 + str(n)) for n in range(8)]
    for layer in layers:
        layer.mkdir()
    (layers[3] / "file").write_text("3")
    lower = "lowerdir=" + ":".join(map(str, layers))
    add(container.bundle, "/work", "overlay", "overlay", "ro", "nosuid", lower)
    container.bundle.args("cat", "/work/file", "--", "mounts")
    text = container.run().stdout
    assert {"ro", "nosuid"} <= set(probe.mounts(text[1:])["/work"].options)


# What is refused


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("bind", ["bind", "size=1k"], "is for a file system, and a bind mount makes none"),
        ("bind", ["bind", "tmpcopyup"], "is for a tmpfs"),
        ("bind", ["bind", "rsync"], "can't be applied to a tree of mounts"),
        ("bind", ["bind", "copy-symlink", "src-nofollow"], "excludes src-nofollow"),
        ("proc", ["tmpcopyup"], "is for a tmpfs"),
        ("tmpfs", ["src-nofollow"], "is for bind mounts"),
        ("tmpfs", ["no-such-option"], "no-such-option"),
    ],
)
def test_options_that_can_not_be_had(
    container: Container, source: Path, kind: str, options: list[str], message: str
) -> None:
    add(container.bundle, "/work", kind, source, *options)
    text = refused(container)
    assert message in text
    assert f"/mounts/{len(container.bundle.spec['mounts']) - 1}" in text


# Flags that a user namespace can't take away


@pytest.fixture
def locked(tmp_path: Path, watch: leaks.Watch, rootless: Container) -> Iterator[Path]:
    """A mount of the host with flags: in the user namespace of `rootless` they are locked."""
    assert not watch.found()
    assert tmp_path
    directory = rootless.bundle.path.parent / "locked"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noatime,mode=755", "t", str(directory)]
    subprocess.run(command, check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


@requires("rootless")
def test_locked_flags_stay_where_the_options_leave_them_out(
    rootless: Container, locked: Path
) -> None:
    """mount_namespaces(7); runc since 1.2: what is cleared implicitly may stay."""
    add(rootless.bundle, "/work", "bind", locked, "bind", "ro", "noexec")
    rootless.bundle.args("mounts")
    options = probe.mounts(rootless.run().stdout)["/work"].options
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= set(options)


@requires("rootless")
@pytest.mark.parametrize("word", ["suid", "dev", "strictatime", "relatime"])
def test_locked_flags_can_not_be_cleared(rootless: Container, locked: Path, word: str) -> None:
    add(rootless.bundle, "/work", "bind", locked, "bind", word)
    message = refused(rootless)
    assert "mount_setattr: Operation not permitted" in message
    assert "locked" in message


@requires("rootless")
def test_a_flag_that_agrees_with_the_lock_is_fine(rootless: Container, locked: Path) -> None:
    add(rootless.bundle, "/work", "bind", locked, "bind", "nosuid", "noatime", "exec")
    rootless.bundle.args("mounts")
    assert "noatime" in probe.mounts(rootless.run().stdout)["/work"].options


@requires("rootless")
@pytest.mark.parametrize("cgroupns", [True, False])
def test_no_cgroup_can_be_written_without_privilege(rootless: Container, cgroupns: bool) -> None:  # noqa: FBT001
    """CVE-2023-25809: /sys is the host's, bound recursively; its cgroups must not show through."""
    if not cgroupns:
        rootless.bundle.drop_namespace("cgroup")
    rootless.bundle.args("ls", "/sys/fs/cgroup", "--", "mounts")
    lines = rootless.run().stdout.splitlines()
    count = next(n for n, line in enumerate(lines) if len(line.split()) > 1)
    # The host's own cgroup mounts are still in the table, below the one that covers them.
    places = {"/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in lines[:count])}
    mounts = probe.mounts("\n".join(lines[count:]))
    modes = {target: mounts[target].options[0] for target in places & mounts.keys()}
    assert "/sys/fs/cgroup" in modes
    assert set(modes.values()) == {"ro"}


def test_the_images_modes_are_kept(bundle: Bundle, run_probe: RunProbe) -> None:
    """A covered directory only lends its mode."""
    (bundle.rootfs / "work").chmod(0o700)
    add(bundle, "/work", "tmpfs", "tmpfs", "mode=777")
    run_probe("true")
    assert stat.S_IMODE((bundle.rootfs / "work").stat().st_mode) == 0o700
