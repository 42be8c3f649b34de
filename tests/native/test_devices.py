# SPDX-License-Identifier: Apache-2.0
"""native/init/device.c, and directories made by path.c: nodes, links, the console."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import termios
from typing import TYPE_CHECKING

import pytest

from tests.native.header import VALUES
from tests.native.plans import RawOp, shell
from tests.native.test_mounts import PRIVATE, failing, tmpfs, within
from tests.support import waiting
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.native.harness import Init

pytestmark = requires("root")
NULL = [stat.S_IFCHR | 0o640, os.makedev(1, 3), 12, 34]
DEVPTS = RawOp(
    "OP_MOUNT",
    "/dev/pts",
    "devpts",
    "devpts",
    ["newinstance", "ptmxmode=0666"],
    numbers=[0, 0, 2, 0],
)


def test_a_device_is_made_with_its_mode_and_owner(init: Init, rootfs: Path) -> None:
    within(init, rootfs, RawOp("OP_DEVICE", "/dev/deep/null", numbers=NULL))
    made = (rootfs / "dev" / "deep" / "null").lstat()
    assert made.st_mode == stat.S_IFCHR | 0o640
    assert (made.st_rdev, made.st_uid, made.st_gid) == (os.makedev(1, 3), 12, 34)


def test_a_device_that_is_there_already_is_kept(init: Init, rootfs: Path) -> None:
    op = RawOp("OP_DEVICE", "/dev/null", numbers=NULL)
    within(init, rootfs, op, op)
    assert (rootfs / "dev" / "null").lstat().st_rdev == os.makedev(1, 3)


def test_large_device_numbers_are_compared_whole(init: Init, rootfs: Path) -> None:
    op = RawOp("OP_DEVICE", "/dev/x", numbers=[stat.S_IFBLK, os.makedev(0xABC, 0xFEDCB), 0, 0])
    within(init, rootfs, op, op)
    made = (rootfs / "dev" / "x").lstat().st_rdev
    assert (os.major(made), os.minor(made)) == (0xABC, 0xFEDCB)


@pytest.mark.parametrize("kind", ["file", "link", "other device"])
def test_another_file_in_a_devices_place_is_refused(init: Init, rootfs: Path, kind: str) -> None:
    place = rootfs / "dev" / "null"
    if kind == "file":
        place.touch()
    elif kind == "link":
        place.symlink_to("zero")
    else:
        os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    step, error, detail = failing(init, rootfs, RawOp("OP_DEVICE", "/dev/null", numbers=NULL))
    assert (step, error, detail) == ("statx", errno.EEXIST, "another file is in its place")


def test_a_device_needs_a_name(init: Init, rootfs: Path) -> None:
    assert failing(init, rootfs, RawOp("OP_DEVICE", "//", numbers=NULL))[1] == errno.EINVAL


def test_dev_as_a_link_to_the_host_stays_in_the_image(
    init: Init, rootfs: Path, tmp_path: Path
) -> None:
    """CVE-2026-41579: /dev of the image leads out of it."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "ptmx").write_text("untouched")
    (rootfs / "dev").rmdir()
    (rootfs / "dev").symlink_to(canary)
    replace = RawOp("OP_SYMLINK", "/dev/ptmx", "pts/ptmx", flags=VALUES["FLAG_REPLACE"])
    within(init, rootfs, RawOp("OP_DEVICE", "/dev/null", numbers=NULL), replace)
    assert [p.name for p in canary.iterdir()] == ["ptmx"]
    assert (canary / "ptmx").read_text() == "untouched"
    assert (rootfs / str(canary).lstrip("/") / "null").exists()


def test_a_link_is_made(init: Init, rootfs: Path) -> None:
    within(init, rootfs, RawOp("OP_SYMLINK", "/dev/fd", "/proc/self/fd"))
    assert os.readlink(rootfs / "dev" / "fd") == "/proc/self/fd"


def test_a_file_of_the_image_is_kept_in_a_links_place(init: Init, rootfs: Path) -> None:
    (rootfs / "dev" / "fd").write_text("the image's")
    within(init, rootfs, RawOp("OP_SYMLINK", "/dev/fd", "/proc/self/fd"))
    assert (rootfs / "dev" / "fd").read_text() == "the image's"


def test_a_link_replaces_what_is_there_where_that_is_asked_for(init: Init, rootfs: Path) -> None:
    (rootfs / "dev" / "ptmx").touch()
    op = RawOp("OP_SYMLINK", "/dev/ptmx", "pts/ptmx", flags=VALUES["FLAG_REPLACE"])
    within(init, rootfs, op)
    assert os.readlink(rootfs / "dev" / "ptmx") == "pts/ptmx"


def test_a_link_does_not_replace_a_directory(init: Init, rootfs: Path) -> None:
    (rootfs / "dev" / "ptmx").mkdir()
    op = RawOp("OP_SYMLINK", "/dev/ptmx", "pts/ptmx", flags=VALUES["FLAG_REPLACE"])
    assert failing(init, rootfs, op)[:2] == ("unlinkat", errno.EISDIR)


@pytest.mark.parametrize("path", ["/a/b/c", "a//b/./c/", "/tmp/../a/b/c", "/../a/b/c"])
def test_directories_are_made(init: Init, rootfs: Path, path: str) -> None:
    within(init, rootfs, RawOp("OP_MKDIR", path, numbers=[0o750]))
    assert (rootfs / "a" / "b" / "c").stat().st_mode & 0o777 == 0o750
    assert (rootfs / "a").stat().st_mode & 0o777 == 0o755


def test_a_directory_below_a_file_is_refused(init: Init, rootfs: Path) -> None:
    (rootfs / "file").touch()
    op = RawOp("OP_MKDIR", "/file/below", numbers=[0o755])
    assert failing(init, rootfs, op)[1] == errno.ENOTDIR


def test_the_console_is_the_programs_terminal(init: Init, rootfs: Path) -> None:
    sizes: list[tuple[int, ...]] = []
    masters: list[int] = []

    def take(_pid: int, fd: int) -> tuple[int, int]:
        sizes.append(struct.unpack("=4H", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))))
        masters.append(os.dup(fd))
        return 0, -1

    plan = [
        PRIVATE,
        RawOp("OP_ROOTFS", str(rootfs)),
        RawOp("OP_SETSID"),
        DEVPTS,
        RawOp("OP_CONSOLE", "/dev/console", numbers=[25, 80]),
        *shell("test -t 0 && test -t 1 && test -t 2 && echo on >/dev/tty && read line"),
    ]

    def ready(_pid: int) -> None:
        waiting.readable(masters[0], 20, "the program's line")
        said.append(os.read(masters[0], 1000).decode())
        os.write(masters[0], b"go on\n")

    said: list[str] = []
    outcome = init(plan, answers={"SYNC_CONSOLE": take}, ready=ready)
    os.close(masters[0])
    assert said == ["on\r\n"]
    assert outcome.status == 0
    assert sizes == [(25, 80, 0, 0)]


def test_the_console_is_bound_where_the_program_looks_for_it(init: Init, rootfs: Path) -> None:
    masters: list[int] = []

    def keep(_pid: int, fd: int) -> tuple[int, int]:
        masters.append(os.dup(fd))  # its end would hang the terminal up, and so the init
        return 0, -1

    plan = (RawOp("OP_SETSID"), DEVPTS, RawOp("OP_CONSOLE", "/dev/console", numbers=[0, 0]))
    seen = within(init, rootfs, *plan, console=keep)
    os.close(masters[0])
    assert seen.mounts["/dev/console"].kind == "devpts"


def test_a_console_without_devpts_is_refused(init: Init, rootfs: Path) -> None:
    op = RawOp("OP_CONSOLE", "/dev/console")
    step, error, detail = failing(init, rootfs, RawOp("OP_SETSID"), op)
    assert (step, error) == ("openat2", errno.ENOENT)
    assert "devpts" in detail


def test_a_false_multiplexer_is_refused(init: Init, rootfs: Path) -> None:
    """A device that only has the right number is the image's choice (CVE-2025-52565)."""
    node = RawOp("OP_DEVICE", "/dev/pts/ptmx", numbers=[stat.S_IFCHR, os.makedev(1, 3), 0, 0])
    op = RawOp("OP_CONSOLE", "/dev/console")
    step, error, detail = failing(init, rootfs, tmpfs("/dev"), node, op)
    assert (step, error) == ("fstatfs", errno.ENODEV)
    assert "not a devpts multiplexer" in detail
