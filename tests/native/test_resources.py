# SPDX-License-Identifier: Apache-2.0
"""native/init/resources.c and label.c: scheduler, processors, memory nodes, I/O, labels."""

from __future__ import annotations

import errno
import os
import secrets
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from runtime import scheduling
from tests.native.plans import RawOp, shell
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.native.harness import Init

BATCH = scheduling.attributes({"policy": "SCHED_BATCH", "nice": 4})
NODE = struct.pack("=Q", 1)
GET = 'import os, sys; print(os.getxattr(sys.argv[1], "security.selinux"))'
STATUS = shell("cat /proc/self/status")


def fields(text: str) -> dict[str, str]:
    """/proc/self/status as a dictionary."""
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


class TestScheduler:
    def test_it_is_set_and_survives_execve(self, init: Init) -> None:
        plan = [
            RawOp("OP_SCHEDULER", "", BATCH, numbers=[len(BATCH)]),
            *shell("cut -d' ' -f19,41 /proc/self/stat"),
        ]
        assert init(plan, clone_flags=0).output == "4 3\n"

    @pytest.mark.parametrize("size", [0, 3, 1 << 40, 2**64 - 1])
    def test_a_size_that_is_none_is_refused(self, init: Init, size: int) -> None:
        plan = [RawOp("OP_SCHEDULER", "", BATCH, numbers=[size])]
        assert init(plan, clone_flags=0).failure.error == errno.EINVAL

    def test_what_the_kernel_refuses_is_told(self, init: Init) -> None:
        data = scheduling.attributes({"policy": "SCHED_ISO"})
        plan = [RawOp("OP_SCHEDULER", "", data, numbers=[len(data)])]
        failure = init(plan, clone_flags=0).failure
        assert (failure.step, failure.error) == ("sched_setattr", errno.EINVAL)
        assert failure.subject == ""


class TestIoPriority:
    def test_an_unknown_class_is_refused(self, init: Init) -> None:
        failure = init([RawOp("OP_IO_PRIORITY", numbers=[7 << 13])], clone_flags=0).failure
        assert (failure.step, failure.error) == ("ioprio_set", errno.EINVAL)


class TestAffinity:
    def test_it_is_set(self, init: Init) -> None:
        plan = [RawOp("OP_AFFINITY", "", NODE, numbers=[8]), *STATUS]
        assert fields(init(plan, clone_flags=0).output)["Cpus_allowed_list"] == "0"

    def test_without_a_set_it_is_all(self, init: Init) -> None:
        every = os.sched_getaffinity(0)
        plan = [RawOp("OP_AFFINITY", "", NODE, numbers=[8]), RawOp("OP_AFFINITY"), *STATUS]
        mask = fields(init(plan, clone_flags=0).output)["Cpus_allowed"].replace(",", "")
        assert int(mask, 16) == sum(1 << n for n in every)

    @pytest.mark.parametrize("size", [9, 1 << 40, 2**64 - 1])
    def test_a_size_beyond_the_plan_is_refused(self, init: Init, size: int) -> None:
        plan = [RawOp("OP_AFFINITY", "", NODE, numbers=[size + 4096])]
        assert init(plan, clone_flags=0).failure.error == errno.EINVAL

    def test_an_empty_set_is_refused(self, init: Init) -> None:
        plan = [RawOp("OP_AFFINITY", "", bytes(8), numbers=[8])]
        failure = init(plan, clone_flags=0).failure
        assert (failure.step, failure.error) == ("sched_setaffinity", errno.EINVAL)


class TestMemoryPolicy:
    @pytest.mark.skipif(not os.path.exists("/proc/self/numa_maps"), reason="no NUMA")
    def test_it_survives_execve(self, init: Init) -> None:
        plan = [
            RawOp("OP_MEMORY_POLICY", "", NODE, numbers=[2, 8]),
            *shell("head -1 /proc/self/numa_maps"),
        ]
        assert " bind:0 " in init(plan, clone_flags=0).output

    def test_nodes_beyond_the_plan_are_refused(self, init: Init) -> None:
        plan = [RawOp("OP_MEMORY_POLICY", "", NODE, numbers=[2, 1 << 40])]
        assert init(plan, clone_flags=0).failure.error == errno.EINVAL


class TestPersonality:
    @pytest.mark.skipif(os.uname().machine != "x86_64", reason="the name is that of x86")
    def test_it_is_set(self, init: Init) -> None:
        plan = [RawOp("OP_PERSONALITY", numbers=[8]), *shell("uname -m")]
        assert init(plan, clone_flags=0).output == "i686\n"


@pytest.fixture
def proc() -> int:
    return os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class TestLabel:
    """`self/comm` and `self/oom_score_adj` stand for attributes that need a security module."""

    def test_the_file_of_the_process_is_written(self, init: Init, proc: int) -> None:
        plan = [
            RawOp("OP_LABEL", "self/oom_score_adj", "", "321", fd=0),
            *shell("cat /proc/self/oom_score_adj"),
        ]
        assert init(plan, clone_flags=0, fds=(proc,)).output == "321\n"
        os.close(proc)

    def test_the_other_one_where_the_first_is_not_there(self, init: Init, proc: int) -> None:
        plan = [
            RawOp("OP_LABEL", "self/attr/none/exec", "self/oom_score_adj", "322", fd=0),
            *shell("cat /proc/self/oom_score_adj"),
        ]
        assert init(plan, clone_flags=0, fds=(proc,)).output == "322\n"
        os.close(proc)

    @pytest.mark.parametrize("path", ["self/cwd/file", "self/root/etc/hostname", "../etc/hostname"])
    def test_no_way_leads_out_of_proc(self, init: Init, proc: int, path: str) -> None:
        plan = [RawOp("OP_LABEL", path, "", "x", fd=0)]
        failure = init(plan, clone_flags=0, fds=(proc,)).failure
        assert failure.step == "openat2"
        assert failure.error in (errno.ELOOP, errno.EXDEV)
        os.close(proc)

    def test_what_is_not_proc_is_refused(self, init: Init, tmp_path: Path) -> None:
        """CVE-2019-16884: a file of that name is not the attribute."""
        file = tmp_path / "self" / "attr" / "exec"
        file.parent.mkdir(parents=True)
        file.write_text("")
        fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
        plan = [RawOp("OP_LABEL", "self/attr/exec", "", "exec x", fd=0)]
        failure = init(plan, clone_flags=0, fds=(fd,)).failure
        assert failure.error == errno.EXDEV
        assert file.read_text() == ""
        os.close(fd)

    def test_without_a_descriptor_it_is_refused(self, init: Init) -> None:
        plan = [RawOp("OP_LABEL", "self/attr/exec", "", "exec x")]
        assert init(plan, clone_flags=0).failure.error == errno.EBADF


@requires("root")
class TestFileLabel:
    def test_the_mount_made_last_has_it(self, init: Init, rootfs: Path) -> None:
        plan = [
            RawOp("OP_ROOTFS", str(rootfs)),
            RawOp("OP_MOUNT", "/tmp", "tmpfs", "tmpfs", [], numbers=[0, 0, 0, 0]),
            RawOp("OP_FILE_LABEL", "a:b:c:s0"),
            *shell(f"{sys.executable} -IS -c '{GET}' {rootfs}/tmp"),
        ]
        assert init(plan, clone_flags=syscalls.CLONE_NEWNS).output == "b'a:b:c:s0\\x00'\n"

    def test_without_a_mount_it_is_refused(self, init: Init) -> None:
        plan = [RawOp("OP_FILE_LABEL", "a:b:c:s0")]
        assert init(plan, clone_flags=0).failure.error == errno.EBADF


class TestKeyring:
    @pytest.mark.skipif(not os.path.exists("/proc/keys"), reason="no keyrings")
    @pytest.mark.parametrize(("more", "shown"), [(0, "3f130000"), (0x80008, "3f1b0008")])
    def test_permissions_are_added(self, init: Init, more: int, shown: str) -> None:
        # A keyring of this name that the same test made with another init may still be listed.
        name = f"_ses.orlop-{secrets.token_hex(8)}"
        plan = [RawOp("OP_KEYRING", name, numbers=[more]), *shell("cat /proc/keys")]
        (line,) = [x for x in init(plan, clone_flags=0).output.splitlines() if f"{name}:" in x]
        assert line.split()[4] == shown
