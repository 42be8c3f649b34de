# SPDX-License-Identifier: Apache-2.0
"""native/init/mount.c, copyup.c: mounts by descriptor, and the change of root."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from tests.native.harness import proceed
from tests.native.header import VALUES
from tests.native.plans import RawOp
from tests.support import probe
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.native.harness import Answer, Init

pytestmark = requires("root")
SLAVE = syscalls.MS_SLAVE | syscalls.MS_REC
RDONLY, NOSUID, NODEV, NOEXEC = (
    syscalls.MOUNT_ATTR_RDONLY,
    syscalls.MOUNT_ATTR_NOSUID,
    syscalls.MOUNT_ATTR_NODEV,
    syscalls.MOUNT_ATTR_NOEXEC,
)
#: Out of the host's propagation: without it, what a test mounts would be mounted on the host too.
PRIVATE = RawOp("OP_PROPAGATION", "/", numbers=[SLAVE])
LOOK = RawOp("OP_SYNC", numbers=[VALUES["SYNC_HOOKS"]])


class Seen:
    """What a process saw at LOOK: its mounts by path below the rootfs, and `call`'s result."""

    def __init__(self, rootfs: Path, call: Callable[[Path], object] | None = None) -> None:
        self.rootfs, self.call = rootfs, call
        self.mounts: dict[str, probe.Mount] = {}
        self.result: object = None

    def __call__(self, pid: int, _fd: int) -> tuple[int, int]:
        mounts = probe.mounts(Path(f"/proc/{pid}/mountinfo").read_text())
        prefix = str(self.rootfs)
        self.mounts = {
            target.removeprefix(prefix) or "/": mount
            for target, mount in mounts.items()
            if target == prefix or target.startswith(prefix + "/")
        }
        if self.call is not None:
            self.result = self.call(Path(f"/proc/{pid}/root{prefix}"))
        return 0, -1


def within(
    init: Init,
    rootfs: Path,
    *ops: RawOp,
    call: Callable[[Path], object] | None = None,
    fds: tuple[int, ...] = (),
    console: Answer = proceed,
) -> Seen:
    """Carry operations out in a rootfs and look at it; they must all succeed."""
    seen = Seen(rootfs, call)
    plan = [PRIVATE, RawOp("OP_ROOTFS", str(rootfs)), *ops, LOOK]
    answers: dict[str, Answer] = {"SYNC_HOOKS": seen, "SYNC_CONSOLE": console}
    outcome = init(plan, fds=fds, answers=answers)
    assert [m for m in outcome.messages if m.kind == VALUES["KIND_FAILED"]] == []
    assert "/" in seen.mounts
    return seen


def failing(init: Init, rootfs: Path, *ops: RawOp) -> tuple[str, int, str]:
    """Carry operations out of which the last fails: its step, error and detail."""
    plan = [PRIVATE, RawOp("OP_ROOTFS", str(rootfs)), *ops]
    failure = init(plan).failure
    assert failure.op == len(plan) - 1
    return failure.step, failure.error, failure.detail


def tmpfs(path: str, *options: str, numbers: tuple[int, ...] = (0, 0), flags: int = 0) -> RawOp:
    """A mount of a tmpfs."""
    all_numbers = [*numbers, len(options), 0]
    return RawOp("OP_MOUNT", path, "tmpfs", "source", options, numbers=all_numbers, flags=flags)


class TestPropagation:
    def test_it_is_set_on_the_mount_that_holds_the_path(self, init: Init, rootfs: Path) -> None:
        deep = rootfs / "tmp" / "a" / "b"
        shared = RawOp("OP_PROPAGATION", str(deep), numbers=[syscalls.MS_SHARED])
        make = RawOp("OP_MKDIR", "/tmp/a/b", numbers=[0o755])
        seen = within(init, rootfs, tmpfs("/tmp"), make, shared)
        assert any(word.startswith("shared:") for word in seen.mounts["/tmp"].propagation)
        assert not any(word.startswith("shared:") for word in seen.mounts["/"].propagation)

    def test_a_missing_path_is_refused(self, init: Init) -> None:
        failure = init([PRIVATE, RawOp("OP_PROPAGATION", "/nonexistent", numbers=[SLAVE])]).failure
        assert (failure.step, failure.error) == ("openat", errno.ENOENT)

    def test_a_root_that_is_no_mount_is_refused(self, init: Init, rootfs: Path) -> None:
        """As mount(2) does; nothing above a chroot's root says that it is a mount's root."""
        enter = RawOp("OP_PIVOT", str(rootfs), flags=VALUES["FLAG_CHROOT"])
        failure = init([enter, RawOp("OP_PROPAGATION", "/tmp", numbers=[SLAVE])]).failure
        assert (failure.op, failure.error) == (1, errno.EINVAL)


def test_the_rootfs_becomes_a_mount(init: Init, rootfs: Path) -> None:
    assert str(rootfs).endswith(within(init, rootfs).mounts["/"].root.rpartition("/")[2])


@pytest.mark.parametrize(("name", "error"), [("missing", errno.ENOENT), ("file", errno.ENOTDIR)])
def test_a_rootfs_that_is_none_is_refused(init: Init, rootfs: Path, name: str, error: int) -> None:
    (rootfs / "file").touch()
    failure = init([PRIVATE, RawOp("OP_ROOTFS", str(rootfs / name), pointer="/root/path")]).failure
    assert (failure.step, failure.error, failure.pointer) == ("openat", error, "/root/path")


class TestMount:
    def test_options_reach_the_file_system_and_the_mount(self, init: Init, rootfs: Path) -> None:
        op = tmpfs("/tmp", "size=64k", "mode=1770", numbers=(NOSUID | NODEV | NOEXEC, 0))
        seen = within(init, rootfs, op, call=lambda root: (root / "tmp").stat().st_mode & 0o7777)
        mount = seen.mounts["/tmp"]
        assert (mount.kind, mount.source) == ("tmpfs", "source")
        assert {"nosuid", "nodev", "noexec"} <= set(mount.options)
        assert "size=64k" in mount.superoptions
        assert seen.result == 0o1770

    def test_its_propagation_is_set(self, init: Init, rootfs: Path) -> None:
        seen = within(init, rootfs, tmpfs("/tmp", numbers=(0, syscalls.MS_UNBINDABLE)))
        assert seen.mounts["/tmp"].propagation == ["unbindable"]

    def test_the_target_is_made(self, init: Init, rootfs: Path) -> None:
        within(init, rootfs, tmpfs("/a/b//c/"))
        assert (rootfs / "a" / "b" / "c").is_dir()

    def test_a_refused_option_is_explained_by_the_kernel(self, init: Init, rootfs: Path) -> None:
        step, error, detail = failing(init, rootfs, tmpfs("/tmp", "size=much"))
        assert (step, error) == ("fsconfig", errno.EINVAL)
        assert "size" in detail

    def test_an_unknown_option_is_named(self, init: Init, rootfs: Path) -> None:
        step, error, detail = failing(init, rootfs, tmpfs("/tmp", "no-such-option"))
        assert (step, error) == ("fsconfig", errno.EINVAL)
        assert "no-such-option" in detail

    def test_an_option_with_an_endless_name_is_refused(self, init: Init, rootfs: Path) -> None:
        assert failing(init, rootfs, tmpfs("/tmp", "k" * 200))[1] == errno.EINVAL

    def test_an_unknown_file_system_is_refused(self, init: Init, rootfs: Path) -> None:
        op = RawOp("OP_MOUNT", "/tmp", "no-such-fs", "none", [], numbers=[0] * 4)
        assert failing(init, rootfs, op)[:2] == ("fsopen", errno.ENODEV)

    @pytest.mark.parametrize("link", ["tmp", "/tmp", "../../../../tmp"])
    def test_a_link_in_the_image_leads_to_a_place_in_the_image(
        self, init: Init, rootfs: Path, link: str
    ) -> None:
        (rootfs / "link").symlink_to(link)
        assert "/tmp" in within(init, rootfs, tmpfs("/link")).mounts

    @pytest.mark.parametrize("path", ["/link", "/link/below"])
    def test_an_ordinary_directory_is_demanded_for_proc(
        self, init: Init, rootfs: Path, path: str
    ) -> None:
        """CVE-2019-19921, CVE-2023-27561."""
        (rootfs / "tmp" / "below").mkdir()
        (rootfs / "link").symlink_to("/tmp")
        op = tmpfs(path, flags=VALUES["FLAG_ORDINARY"])
        step, error, detail = failing(init, rootfs, op)
        assert (step, error) == ("openat2", errno.ELOOP)
        assert detail == "must be mounted on an ordinary directory"

    def test_an_option_too_long_for_fsconfig_goes_through_mount(
        self, init: Init, rootfs: Path
    ) -> None:
        """fsconfig(2) takes 255 bytes a value; an image of many layers needs more."""
        layers = [rootfs / f"layer-{number:030}" for number in range(9)]
        for number, layer in enumerate(layers):
            layer.mkdir()
            (layer / f"file-{number}").touch()
        lower = "lowerdir=" + ":".join(map(str, layers))
        op = RawOp("OP_MOUNT", "/tmp", "overlay", "overlay", [lower], numbers=[0, 0, 1, 0])
        seen = within(init, rootfs, op, call=lambda root: sorted(os.listdir(root / "tmp")))
        assert len(lower) > 255
        assert seen.mounts["/tmp"].kind == "overlay"
        assert seen.result == [f"file-{number}" for number in range(9)]

    def test_more_options_than_mount_takes_are_refused(self, init: Init, rootfs: Path) -> None:
        op = tmpfs("/tmp", *["x" * 300] * 14)
        assert failing(init, rootfs, op)[1] == errno.E2BIG

    def test_it_is_filled_with_what_it_covers(self, init: Init, rootfs: Path) -> None:
        source = rootfs / "full"
        (source / "sub" / "deep").mkdir(parents=True)
        (source / "sub").chmod(0o2750)
        (source / "file").write_bytes(b"x" * 3_000_000)
        os.chown(source / "file", 12, 34)
        (source / "file").chmod(0o4751)
        (source / "link").symlink_to("../../etc/passwd")
        os.mkfifo(source / "fifo")
        for number in range(200):  # more than one getdents64(2)
            (source / "sub" / f"{number:0100}").touch()

        def look(root: Path) -> dict[str, object]:
            copy = root / "full"
            status = (copy / "file").stat()
            return {
                "names": sorted(os.listdir(copy)),
                "many": len(os.listdir(copy / "sub")),
                "file": (status.st_size, status.st_uid, status.st_gid, status.st_mode & 0o7777),
                "link": os.readlink(copy / "link"),
                "mode": (copy / "sub").stat().st_mode & 0o7777,
            }

        flags = VALUES["FLAG_COPY_UP"]
        seen = within(init, rootfs, tmpfs("/full", numbers=(RDONLY, 0), flags=flags), call=look)
        assert seen.result == {
            "names": ["file", "link", "sub"],
            "many": 201,
            "file": (3_000_000, 12, 34, 0o4751),
            "link": "../../etc/passwd",
            "mode": 0o2750,
        }
        assert "ro" in seen.mounts["/full"].options

    def test_a_copy_deeper_than_any_real_one_is_refused(self, init: Init, rootfs: Path) -> None:
        (rootfs / "full" / "/".join("d" * 70)).mkdir(parents=True)
        assert failing(init, rootfs, tmpfs("/full", flags=VALUES["FLAG_COPY_UP"]))[1] == errno.ELOOP


class TestBind:
    def bind(self, path: str, source: Path | str, *numbers: int, flags: int = 0) -> RawOp:
        return RawOp("OP_BIND", path, str(source), numbers=numbers, flags=flags)

    def test_a_directory(self, init: Init, rootfs: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "file").touch()
        op = self.bind("/new/place", tmp_path / "data", RDONLY | NOEXEC)
        seen = within(init, rootfs, op, call=lambda root: os.listdir(root / "new" / "place"))
        assert {"ro", "noexec"} <= set(seen.mounts["/new/place"].options)
        assert seen.result == ["file"]

    def test_a_file(self, init: Init, rootfs: Path, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("content")
        op = self.bind("/etc/file", tmp_path / "data")
        seen = within(init, rootfs, op, call=lambda root: (root / "etc" / "file").read_text())
        assert seen.result == "content"
        assert (rootfs / "etc" / "file").stat().st_size == 0

    def test_a_missing_source_is_refused(self, init: Init, rootfs: Path, tmp_path: Path) -> None:
        op = self.bind("/tmp", tmp_path / "missing")
        assert failing(init, rootfs, op)[:2] == ("open_tree", errno.ENOENT)

    def test_attributes_are_cleared(self, init: Init, rootfs: Path) -> None:
        tree = tmpfs("/tmp", numbers=(RDONLY | NOSUID, 0))
        op = self.bind("/old", rootfs / "tmp", 0, RDONLY)
        options = within(init, rootfs, tree, op).mounts["/old"].options
        assert "rw" in options
        assert "nosuid" in options

    def test_the_tree_below_comes_along_where_it_is_asked_for(
        self, init: Init, rootfs: Path
    ) -> None:
        trees = (tmpfs("/tmp"), tmpfs("/tmp/below"))
        recursive = VALUES["FLAG_RECURSIVE"]
        alone = within(init, rootfs, *trees, self.bind("/old", rootfs / "tmp"))
        whole = within(init, rootfs, *trees, self.bind("/old", rootfs / "tmp", flags=recursive))
        assert "/old/below" not in alone.mounts
        assert "/old/below" in whole.mounts

    def test_a_tree_that_the_parent_opened(self, init: Init, rootfs: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC
        tree = syscalls.open_tree(syscalls.AT_FDCWD, str(tmp_path / "data"), flags)
        try:
            op = RawOp("OP_BIND", "/old", "unused", fd=0)
            seen = within(init, rootfs, op, fds=(tree,))
        finally:
            os.close(tree)
        assert seen.mounts["/old"].root.endswith("/data")

    def test_links_are_not_followed_where_that_is_asked_for(
        self, init: Init, rootfs: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "data").mkdir()
        (rootfs / "link").symlink_to("/tmp")
        op = self.bind("/link", tmp_path / "data", flags=VALUES["FLAG_TARGET_NOFOLLOW"])
        # The link itself is the target, and a directory can't be mounted on it.
        assert failing(init, rootfs, op)[:2] == ("move_mount", errno.ENOTDIR)

    @pytest.mark.parametrize("link", ["/a/b/c", "a/b/c", "../../a/b/c"])
    def test_a_dangling_link_gets_its_target_in_the_image(
        self, init: Init, rootfs: Path, tmp_path: Path, link: str
    ) -> None:
        (tmp_path / "data").write_text("content")
        (rootfs / "link").symlink_to(link)
        (rootfs / "a").mkdir()
        (rootfs / "a" / "b").symlink_to("../really")
        seen = within(init, rootfs, self.bind("/link", tmp_path / "data"))
        assert "/really/c" in seen.mounts

    def test_links_in_a_circle_are_refused(self, init: Init, rootfs: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (rootfs / "one").symlink_to("two")
        (rootfs / "two").symlink_to("one")
        op = self.bind("/one/more", tmp_path / "data")
        assert failing(init, rootfs, op)[:2] == ("openat2", errno.ELOOP)

    @pytest.mark.parametrize("path", ["/" + "n" * 256, "/" + "d/" * 2100 + "x"])
    def test_a_target_longer_than_a_path_may_be_is_refused(
        self, init: Init, rootfs: Path, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "data").mkdir()
        assert failing(init, rootfs, self.bind(path, tmp_path / "data"))[1] == errno.ENAMETOOLONG


class TestAttributes:
    def test_of_the_whole_tree(self, init: Init, rootfs: Path) -> None:
        trees = (tmpfs("/tmp"), tmpfs("/tmp/below"))
        recursive = VALUES["FLAG_RECURSIVE"]
        bind = RawOp("OP_BIND", "/old", str(rootfs / "tmp"), flags=recursive)
        attributes = RawOp("OP_ATTR", "/old", numbers=[RDONLY], flags=recursive)
        mounts = within(init, rootfs, *trees, bind, attributes).mounts
        assert "ro" in mounts["/old"].options
        assert "ro" in mounts["/old/below"].options
        assert "rw" in mounts["/tmp/below"].options

    def test_of_the_mount_at_a_path(self, init: Init, rootfs: Path) -> None:
        by_path = RawOp("OP_ATTR", "/tmp", numbers=[RDONLY], flags=VALUES["FLAG_BY_PATH"])
        mounts = within(init, rootfs, tmpfs("/tmp"), tmpfs("/old"), by_path).mounts
        assert "ro" in mounts["/tmp"].options
        assert "rw" in mounts["/old"].options

    def test_without_a_mount_they_are_refused(self, init: Init, rootfs: Path) -> None:
        op = RawOp("OP_ATTR", "/tmp", numbers=[RDONLY])
        assert failing(init, rootfs, op)[:2] == ("mount_setattr", errno.EBADF)

    def test_that_contradict_each_other_are_refused(self, init: Init, rootfs: Path) -> None:
        atime = syscalls.MOUNT_ATTR_NOATIME
        op = RawOp("OP_ATTR", "/tmp", numbers=[atime])
        assert failing(init, rootfs, tmpfs("/tmp"), op)[:2] == ("mount_setattr", errno.EINVAL)


class TestHidden:
    def test_a_file_is_masked_by_the_null_device(self, init: Init, rootfs: Path) -> None:
        (rootfs / "secret").write_text("secret")
        op = RawOp("OP_MASK", "/secret")
        seen = within(init, rootfs, op, call=lambda root: (root / "secret").stat().st_rdev)
        assert seen.result == os.makedev(1, 3)

    def test_directories_are_masked_by_an_empty_read_only_one(
        self, init: Init, rootfs: Path
    ) -> None:
        for name in ("one", "two"):
            (rootfs / name / "secret").mkdir(parents=True)
        ops = (RawOp("OP_MASK", "/one"), RawOp("OP_MASK", "/two"))
        names = [Path("one"), Path("two")]
        seen = within(init, rootfs, *ops, call=lambda root: [os.listdir(root / n) for n in names])
        assert seen.result == [[], []]
        for name in ("/one", "/two"):
            assert {"ro", "nosuid", "nodev", "noexec"} <= set(seen.mounts[name].options)

    @pytest.mark.parametrize("name", ["OP_MASK", "OP_READONLY"])
    @pytest.mark.parametrize("path", ["/missing", "/file/below"])
    def test_what_is_not_there_needs_no_hiding(
        self, init: Init, rootfs: Path, name: str, path: str
    ) -> None:
        (rootfs / "file").touch()
        assert list(within(init, rootfs, RawOp(name, path)).mounts) == ["/"]

    def test_a_false_null_device_is_refused(self, init: Init, tmp_path: Path) -> None:
        """CVE-2025-31133: the mask would be the attacker's file."""
        (tmp_path / "file").touch()
        false = RawOp("OP_BIND", "/null", str(tmp_path / "file"))
        plan = [PRIVATE, RawOp("OP_ROOTFS", "/dev"), false, RawOp("OP_MASK", "/zero")]
        failure = init(plan).failure
        assert (failure.op, failure.error) == (3, errno.ENODEV)
        assert failure.detail == "/dev/null is not the null device"

    def test_a_tree_is_made_read_only(self, init: Init, rootfs: Path) -> None:
        trees = (tmpfs("/tmp"), tmpfs("/tmp/below"))
        mounts = within(init, rootfs, *trees, RawOp("OP_READONLY", "/tmp")).mounts
        assert "ro" in mounts["/tmp"].options
        assert "ro" in mounts["/tmp/below"].options

    def test_a_link_of_the_image_hides_what_is_in_the_image(self, init: Init, rootfs: Path) -> None:
        (rootfs / "link").symlink_to("../../../../../../../etc")
        (rootfs / "etc").mkdir()
        assert "/etc" in within(init, rootfs, RawOp("OP_MASK", "/link")).mounts
