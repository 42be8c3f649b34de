# SPDX-License-Identifier: Apache-2.0
"""native/init/mount.c: the change of root; path.c: the working directory in it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from native import syscalls
from tests.native.header import VALUES
from tests.native.plans import RawOp, shell
from tests.native.test_mounts import LOOK, PRIVATE, RDONLY
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.native.harness import Answer, Init, Outcome

pytestmark = requires("root")


class TestPivot:
    def pivoted(self, init: Init, rootfs: Path, *ops: RawOp, pivot: RawOp) -> Outcome:
        """Bind the host's programs, change the root, and let a shell look around."""
        recursive = VALUES["FLAG_RECURSIVE"]
        binds = [
            RawOp("OP_BIND", path, path, flags=recursive)
            for path in ("/usr", "/bin", "/lib", "/lib64")
            if Path(path).is_dir()
        ]
        proc = RawOp("OP_MOUNT", "/proc", "proc", "proc", [], numbers=[0] * 4)
        show = shell("echo /*; cat /proc/self/mountinfo; echo x > /file && echo written")
        plan = [PRIVATE, RawOp("OP_ROOTFS", str(rootfs)), *binds, proc, *ops, pivot, *show]
        return init(plan)

    def test_the_new_root_is_all_there_is(self, init: Init, rootfs: Path) -> None:
        outcome = self.pivoted(init, rootfs, pivot=RawOp("OP_PIVOT"))
        first, *lines = outcome.output.splitlines()
        names = {f"/{name}" for name in os.listdir(rootfs)} - {"/file"}
        assert set(first.split()) == names
        targets = {line.split()[4] for line in lines if " - " in line}
        assert targets >= {"/", "/proc"}
        assert all(t == "/" or t.split("/")[1] in {n[1:] for n in names} for t in targets)
        assert (rootfs / "file").read_text() == "x\n"

    def test_the_new_root_is_read_only_where_that_is_asked_for(
        self, init: Init, rootfs: Path
    ) -> None:
        outcome = self.pivoted(init, rootfs, pivot=RawOp("OP_PIVOT", numbers=[0, RDONLY]))
        assert "written" not in outcome.output
        assert not (rootfs / "file").exists()

    def test_its_propagation_is_set(self, init: Init, rootfs: Path) -> None:
        pivot = RawOp("OP_PIVOT", numbers=[syscalls.MS_SHARED | syscalls.MS_REC, 0])
        lines = self.pivoted(init, rootfs, pivot=pivot).output.splitlines()
        (root,) = [line for line in lines if len(line.split()) > 9 and line.split()[4] == "/"]
        assert "shared:" in root

    def test_chroot_where_the_mount_namespace_is_not_ours(self, init: Init, rootfs: Path) -> None:
        pivot = RawOp("OP_PIVOT", str(rootfs), flags=VALUES["FLAG_CHROOT"])
        assert "/proc" in self.pivoted(init, rootfs, pivot=pivot).output.splitlines()[0].split()

    def test_without_a_rootfs_it_is_refused(self, init: Init) -> None:
        failure = init([PRIVATE, RawOp("OP_PIVOT")]).failure
        assert (failure.step, failure.error) == ("fchdir", errno.EBADF)

    def test_a_missing_directory_is_refused(self, init: Init) -> None:
        op = RawOp("OP_PIVOT", "/nonexistent", flags=VALUES["FLAG_CHROOT"])
        assert (init([op]).failure.step, init([op]).failure.error) == ("openat", errno.ENOENT)

    def test_a_working_directory_outside_the_root_is_refused(
        self, init: Init, rootfs: Path
    ) -> None:
        """CVE-2024-21626: a descriptor of a host directory as the way out."""
        host = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        proc = RawOp("OP_MOUNT", "/proc", "proc", "proc", [], numbers=[0] * 4)
        plan = [
            PRIVATE,
            RawOp("OP_ROOTFS", str(rootfs)),
            proc,
            RawOp("OP_PIVOT"),
            # 0-2 stdio, the channel, the plan, the table's first
            RawOp("OP_CWD", "/proc/self/fd/5", pointer="/process/cwd"),
        ]
        try:
            failure = init(plan, fds=(host,)).failure
        finally:
            os.close(host)
        assert (failure.step, failure.error, failure.op) == ("getcwd", errno.ENOENT, 4)
        assert "outside of container" in failure.detail


def look_at(result: list[str]) -> Answer:
    """An answer that reads the working directory."""

    def look(pid: int, _fd: int) -> tuple[int, int]:
        result.append(os.readlink(f"/proc/{pid}/cwd"))
        return 0, -1

    return look


def test_a_working_directory_that_root_may_not_enter_is_the_users_to_try(
    init: Init, tmp_path: Path
) -> None:
    """An NFS server that squashes root, for instance; here root has lost its capabilities."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    os.chown(private, 1234, 1234)
    for parent in (tmp_path, *tmp_path.parents):
        if not parent.stat().st_mode & 1:
            os.chown(parent, -1, 1234)
            parent.chmod(parent.stat().st_mode | 0o010)
    ids = 1 << 6 | 1 << 7
    second = RawOp("OP_CWD", str(private), flags=VALUES["FLAG_SECOND_TRY"])
    plan = [
        RawOp("OP_CAPABILITIES", numbers=[ids, ids, 0, 0]),
        RawOp("OP_CWD", str(private), flags=VALUES["FLAG_TRY"]),
        RawOp("OP_USER", numbers=[1234, 1234]),
        second,
        LOOK,
    ]
    seen: list[str] = []
    init(plan, clone_flags=0, answers={"SYNC_HOOKS": look_at(seen)})
    assert seen == [str(private)]
    at_once = init([plan[0], RawOp("OP_CWD", str(private))], clone_flags=0)
    assert (at_once.failure.step, at_once.failure.error) == ("chdir", errno.EACCES)
    refused = init([*plan[:2], RawOp("OP_USER", numbers=[5678, 5678]), second], clone_flags=0)
    assert (refused.failure.op, refused.failure.error) == (3, errno.EACCES)


def test_the_second_try_is_for_who_was_refused(init: Init) -> None:
    second = RawOp("OP_CWD", "/nonexistent", flags=VALUES["FLAG_SECOND_TRY"])
    assert init([RawOp("OP_CWD", "/"), second, *shell("pwd")], clone_flags=0).output == "/\n"
