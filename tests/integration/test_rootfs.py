# SPDX-License-Identifier: Apache-2.0
"""The root itself, its devices, and what of it is masked or read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.mounting import add, drop_dev, make_source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container


pytestmark = requires("root")

beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path)


def refused(container: Container) -> str:
    """What the runtime says to a container that it must not make."""
    result = container.run(check=False)
    assert result.returncode == 1
    return result.stderr


# The root


def test_a_read_only_root_can_not_be_written(container: Container) -> None:
    container.bundle.spec["root"]["readonly"] = True
    container.bundle.args("write", "/new")
    assert "Read-only file system" in container.run(check=False).stderr


def test_mounts_on_a_read_only_root_can_be_written(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.spec["root"]["readonly"] = True
    add(bundle, "/work", "tmpfs", "tmpfs")
    assert run_probe("write", "/work/new", "text", "--", "cat", "/work/new") == "text"


def test_a_writable_root_is_the_bundles(run_probe: RunProbe, bundle: Bundle) -> None:
    run_probe("write", "/etc/new", "text")
    assert (bundle.rootfs / "etc" / "new").read_text() == "text"


def test_nothing_is_above_the_root(run_probe: RunProbe) -> None:
    inside, above = run_probe("ls", "/", "--", "true", "--", "ls", "/..").split("bin\n")[1:]
    assert inside == above


def test_the_container_has_no_mount_of_the_host(run_probe: RunProbe, bundle: Bundle) -> None:
    asked = {mount["destination"] for mount in bundle.spec["mounts"]} | {"/"}
    hidden = {*bundle.linux["maskedPaths"], *bundle.linux["readonlyPaths"]}
    targets = probe.mounts(run_probe("mounts")).keys()
    cgroup = "/sys/fs/cgroup/"
    assert {t for t in targets - asked - hidden if not t.startswith(cgroup)} == set()


# Devices


def test_default_devices_are_there_for_everyone(run_probe: RunProbe) -> None:
    names = {
        "null": "1:3", "zero": "1:5", "full": "1:7",
        "random": "1:8", "urandom": "1:9", "tty": "5:0",
    }  # fmt: skip
    lines = run_probe("stat", *(f"/dev/{name}" for name in names)).splitlines()
    expected = [f"/dev/{name} char 0666 0:0 {number} 0" for name, number in names.items()]
    assert lines == expected


def test_links_of_dev_lead_where_the_standard_says(run_probe: RunProbe) -> None:
    links = {
        "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
    }  # fmt: skip
    answers = run_probe("readlink", *(f"/dev/{name}" for name in links)).splitlines()
    assert answers == list(links.values())


def test_configured_devices_have_their_numbers_mode_and_owner(
    run_probe: RunProbe, bundle: Bundle
) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/sub/char", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
         "uid": 12, "gid": 34},
        {"path": "/dev/block", "type": "b", "major": 7, "minor": 300, "fileMode": 0o600},
        {"path": "/work/fifo", "type": "p", "fileMode": 0o622},
    ]  # fmt: skip
    lines = run_probe("stat", "/dev/sub/char", "/dev/block", "/work/fifo").splitlines()
    assert [line.split()[1:5] for line in lines] == [
        ["char", "0640", "12:34", "10:229"],
        ["block", "0600", "0:0", "7:300"],
        ["fifo", "0622", "0:0", "0:0"],
    ]


def test_a_configured_device_stands_in_for_a_default_one(
    run_probe: RunProbe, bundle: Bundle
) -> None:
    device = {"path": "/dev/random", "type": "c", "major": 1, "minor": 9, "fileMode": 0o444}
    bundle.linux["devices"] = [device]
    assert run_probe("stat", "/dev/random").split()[1:5] == ["char", "0444", "0:0", "1:9"]


@beyond_runc
def test_a_bound_dev_stays_as_the_host_has_it(
    run_probe: RunProbe, bundle: Bundle, source: Path
) -> None:
    drop_dev(bundle)
    add(bundle, "/dev", "bind", source, "rbind")
    assert run_probe("ls", "/dev") == "file\n"


# Masked and read-only paths


def test_a_masked_file_reads_as_empty(run_probe: RunProbe, bundle: Bundle) -> None:
    (bundle.rootfs / "work" / "secret").write_text("secret")
    bundle.linux["maskedPaths"] = ["/work/secret"]
    answer = run_probe("cat", "/work/secret", "--", "stat", "/work/secret")
    assert answer.split()[1] == "char"
    assert "1:3" in answer


def test_a_masked_directory_is_empty_and_stays_so(container: Container) -> None:
    (container.bundle.rootfs / "work" / "secret").write_text("secret")
    container.bundle.linux["maskedPaths"] = ["/work"]
    container.bundle.args("ls", "/work", "--", "write", "/work/new")
    result = container.run(check=False)
    assert result.stdout == ""
    assert "Read-only file system" in result.stderr


def test_several_directories_are_masked(run_probe: RunProbe, bundle: Bundle) -> None:
    for name in ("a", "b", "c"):
        (bundle.rootfs / name / "secret").mkdir(parents=True)
    bundle.linux["maskedPaths"] = ["/a", "/b", "/c", "/not/there"]
    assert run_probe("ls", "/a", "--", "ls", "/b", "--", "ls", "/c") == ""


@pytest.mark.parametrize("path", ["/proc/keys", "/proc/timer_list"])
def test_what_tells_of_the_host_is_masked_by_default(run_probe: RunProbe, path: str) -> None:
    assert run_probe("stat", path).split()[1:5:3] == ["char", "1:3"]


def test_a_read_only_path_can_be_read_and_not_written(container: Container) -> None:
    container.bundle.linux["readonlyPaths"] = ["/proc/sys", "/not/there"]
    name = "/proc/sys/kernel/hostname"
    container.bundle.args("cat", name, "--", "write", name, "other")
    result = container.run(check=False)
    assert result.stdout == f"{container.bundle.spec['hostname']}\n"
    assert "Read-only file system" in result.stderr


@beyond_runc
def test_a_read_only_path_covers_the_mounts_below_it(run_probe: RunProbe, bundle: Bundle) -> None:
    add(bundle, "/work/sub", "tmpfs", "tmpfs")
    bundle.linux["readonlyPaths"] = ["/work"]
    mounts = probe.mounts(run_probe("mounts"))
    assert {mounts[t].options[0] for t in ("/work", "/work/sub")} == {"ro"}


@beyond_runc
def test_masks_do_not_come_from_the_images_dev_null(container: Container) -> None:
    """CVE-2025-31133: the image's /dev/null would be bound, writable, in place of the mask."""
    bundle = container.bundle
    drop_dev(bundle)
    (bundle.rootfs / "dev" / "null").symlink_to("/proc/sys/kernel/core_pattern")
    (bundle.rootfs / "work" / "secret").write_text("secret")
    bundle.linux["maskedPaths"] = ["/work/secret"]
    assert "another file is in its place" in refused(container)
