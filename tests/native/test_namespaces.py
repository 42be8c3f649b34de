# SPDX-License-Identifier: Apache-2.0
"""native/init/namespace.c: joining, making, and what is set inside."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from tests.native.harness import ISOLATED
from tests.native.header import VALUES
from tests.native.plans import RawOp, shell
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.native.harness import Answer, Init

pytestmark = requires("root")
NONE = RawOp("OP_CAPABILITIES", numbers=[0, 0, 0, 0])
LOOK = RawOp("OP_SYNC", numbers=[VALUES["SYNC_HOOKS"]])


def reader(seen: list[str], *names: str) -> Answer:
    """An answer to LOOK that reads files or links of /proc/PID first."""

    def look(pid: int, _fd: int) -> tuple[int, int]:
        for name in names:
            path = Path(f"/proc/{pid}/{name}")
            seen.append(os.readlink(path) if path.is_symlink() else path.read_text())
        return 0, -1

    return look


def test_cgroup_is_joined_by_writing_zero(init: Init) -> None:
    file = os.memfd_create("tasks")
    try:
        init([RawOp("OP_CGROUP", fd=0)], clone_flags=0, fds=(file,))
        assert os.pread(file, 10, 0) == b"0"
    finally:
        os.close(file)


def test_cgroup_through_a_descriptor_that_is_not_for_writing_is_refused(init: Init) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        failure = init([RawOp("OP_CGROUP", fd=0)], clone_flags=0, fds=(null,)).failure
    finally:
        os.close(null)
    assert (failure.step, failure.error) == ("write", errno.EBADF)


@pytest.mark.parametrize("name", ["OP_CGROUP", "OP_SETNS"])
def test_an_operation_without_its_descriptor_is_refused(init: Init, name: str) -> None:
    assert init([RawOp(name)], clone_flags=0).failure.error == errno.EBADF


def test_unshare_makes_a_namespace(init: Init) -> None:
    seen: list[str] = []
    plan = [RawOp("OP_UNSHARE", numbers=[syscalls.CLONE_NEWUTS]), LOOK]
    init(plan, clone_flags=0, answers={"SYNC_HOOKS": reader(seen, "ns/uts", "ns/ipc")})
    assert seen[0] != os.readlink("/proc/self/ns/uts")
    assert seen[1] == os.readlink("/proc/self/ns/ipc")


@pytest.mark.parametrize("flags", [0x100, 0x400, 0x10000, 1, 2**32, 2**63])
@pytest.mark.parametrize("name", ["OP_UNSHARE", "OP_FORK"])
def test_flags_that_are_no_namespaces_are_refused(init: Init, name: str, flags: int) -> None:
    """CLONE_VM, CLONE_FILES, CLONE_THREAD among them: two processes on one stack."""
    outcome = init([RawOp(name, numbers=[flags])], clone_flags=0)
    assert (outcome.failure.code, outcome.failure.error) == (VALUES[name], errno.EINVAL)


def test_setns_joins_a_namespace(init: Init) -> None:
    ours = os.open("/proc/self/ns/uts", os.O_RDONLY)
    seen: list[str] = []
    try:
        plan = [RawOp("OP_SETNS", numbers=[syscalls.CLONE_NEWUTS], fd=0), LOOK]
        init(plan, fds=(ours,), answers={"SYNC_HOOKS": reader(seen, "ns/uts", "ns/net")})
    finally:
        os.close(ours)
    assert seen[0] == os.readlink("/proc/self/ns/uts")
    assert seen[1] != os.readlink("/proc/self/ns/net")


def test_setns_of_another_kind_is_refused(init: Init) -> None:
    ours = os.open("/proc/self/ns/uts", os.O_RDONLY)
    try:
        plan = [RawOp("OP_SETNS", "/ns/net", numbers=[syscalls.CLONE_NEWNET], fd=0)]
        failure = init(plan, fds=(ours,)).failure
    finally:
        os.close(ours)
    assert (failure.step, failure.error, failure.subject) == ("setns", errno.EINVAL, "/ns/net")


def test_setns_tries_now_and_insists_later(init: Init) -> None:
    """FLAG_TRY forgives EPERM; FLAG_RETRY does not, and is nothing where the first one joined."""
    attempt, again = VALUES["FLAG_TRY"], VALUES["FLAG_RETRY"]
    kind = [syscalls.CLONE_NEWUTS]
    first = RawOp("OP_SETNS", numbers=kind, fd=0, flags=attempt)
    second = RawOp("OP_SETNS", numbers=kind, fd=0, flags=again)
    ours = os.open("/proc/self/ns/uts", os.O_RDONLY)
    try:
        refused = init([NONE, first, second], fds=(ours,)).failure
        joined = init([first, NONE, second, *shell("echo on")], fds=(ours,))
    finally:
        os.close(ours)
    assert (refused.op, refused.step, refused.error) == (2, "setns", errno.EPERM)
    assert joined.output == "on\n"


def test_time_offsets_are_those_of_the_process_itself(init: Init) -> None:
    plan = [RawOp("OP_TIME", "monotonic 86400 0\nboottime 864000 0\n")]
    days = int(init([*plan, *shell("cat /proc/uptime")], clone_flags=0).output.split(".")[0])
    here = int(Path("/proc/uptime").read_text().split(".")[0])
    assert 864000 <= days - here < 864060


def test_time_without_offsets_is_a_new_namespace(init: Init) -> None:
    seen: list[str] = []
    answers = {"SYNC_HOOKS": reader(seen, "ns/time", "ns/time_for_children")}
    init([RawOp("OP_TIME", ""), LOOK], clone_flags=0, answers=answers)
    assert seen[0] == seen[1] != os.readlink("/proc/self/ns/time")


def test_time_offsets_that_are_none_are_refused(init: Init) -> None:
    failure = init([RawOp("OP_TIME", "sidereal 1 1\n")], clone_flags=0).failure
    assert (failure.step, failure.error) == ("write", errno.EINVAL)


def test_fork_makes_a_second_stage_that_is_the_parents_child(init: Init) -> None:
    plan = [RawOp("OP_FORK", numbers=[syscalls.CLONE_NEWPID]), *shell("echo $$; exit 5")]
    outcome = init(plan, clone_flags=0)
    assert outcome.messages[0].kind == VALUES["KIND_STAGE"]
    assert (outcome.status, outcome.output) == (5, "1\n")


def test_a_failure_of_the_second_stage_is_reported(init: Init) -> None:
    plan = [RawOp("OP_FORK"), RawOp("OP_CWD", "/nonexistent", pointer="/process/cwd")]
    outcome = init(plan, clone_flags=0)
    # Two processes write: the failure may overtake the first stage's word about the second.
    assert {m.kind for m in outcome.messages} == {VALUES["KIND_STAGE"], VALUES["KIND_FAILED"]}
    assert (outcome.failure.op, outcome.failure.pointer) == (1, "/process/cwd")


def test_fork_without_privilege_is_refused(init: Init) -> None:
    plan = [NONE, RawOp("OP_FORK", numbers=[syscalls.CLONE_NEWPID])]
    failure = init(plan, clone_flags=0).failure
    assert (failure.step, failure.error) == ("clone3", errno.EPERM)


def write_maps(pid: int, _fd: int) -> tuple[int, int]:
    """Answer SYNC_IDMAP: ids 0-9 are ours."""
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text("0 100000 10\n")
    return 0, -1


def test_root_of_a_user_namespace_has_its_capabilities(init: Init) -> None:
    """The exec comes before the id maps: only ambient capabilities get across (capabilities(7))."""
    plan = [
        RawOp("OP_SYNC", numbers=[VALUES["SYNC_IDMAP"]]),
        RawOp("OP_BECOME_ROOT"),
        RawOp("OP_HOSTNAME", "inside"),
        *shell("cat /proc/self/status /proc/self/uid_map"),
    ]
    flags = syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWUTS
    outcome = init(
        plan,
        clone_flags=flags,
        spawn_flags=syscalls.SPAWN_KEEP_CAPABILITIES,
        answers={"SYNC_IDMAP": write_maps},
    )
    lines = outcome.output.splitlines()
    assert "Uid:\t0\t0\t0\t0" in lines
    assert "Gid:\t0\t0\t0\t0" in lines
    assert lines[-1].split() == ["0", "100000", "10"]
    effective = next(line for line in lines if line.startswith("CapEff"))
    assert int(effective.split()[1], 16) & syscalls.capget()[1] == syscalls.capget()[1]


def test_root_of_a_user_namespace_without_maps_is_refused(init: Init) -> None:
    outcome = init(
        [RawOp("OP_BECOME_ROOT", flags=VALUES["FLAG_NO_SETGROUPS"])],
        clone_flags=syscalls.CLONE_NEWUSER,
        spawn_flags=syscalls.SPAWN_KEEP_CAPABILITIES,
    )
    assert (outcome.failure.step, outcome.failure.error) == ("setresgid", errno.EINVAL)


def test_loopback_comes_up(init: Init) -> None:
    show = shell("cat /proc/self/net/fib_trie")
    assert "127.0.0.1" not in init(show, clone_flags=ISOLATED).output
    assert "127.0.0.1" in init([RawOp("OP_LOOPBACK"), *show], clone_flags=ISOLATED).output


def test_loopback_without_net_admin_is_refused(init: Init) -> None:
    failure = init([NONE, RawOp("OP_LOOPBACK")]).failure
    assert (failure.step, failure.error) == ("ioctl", errno.EPERM)


@pytest.mark.parametrize(
    ("operation", "file"), [("OP_HOSTNAME", "hostname"), ("OP_DOMAINNAME", "domainname")]
)
def test_names_are_set(init: Init, operation: str, file: str) -> None:
    plan = [RawOp(operation, "a-name.of-ours"), *shell(f"cat /proc/sys/kernel/{file}")]
    assert init(plan).output == "a-name.of-ours\n"


@pytest.mark.parametrize(
    ("operation", "step"), [("OP_HOSTNAME", "sethostname"), ("OP_DOMAINNAME", "setdomainname")]
)
def test_names_that_are_too_long_are_refused(init: Init, operation: str, step: str) -> None:
    failure = init([RawOp(operation, "x" * 65)]).failure
    assert (failure.step, failure.error, failure.subject) == (step, errno.EINVAL, "x" * 65)


def test_sysctl_is_written_in_the_new_namespace(init: Init) -> None:
    before = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()
    plan = [
        RawOp("OP_SYSCTL", "net/ipv4/ip_default_ttl", "77"),
        *shell("cat /proc/sys/net/ipv4/ip_default_ttl"),
    ]
    assert init(plan).output == "77\n"
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == before


@pytest.mark.parametrize(
    ("path", "value", "step", "error"),
    [
        ("net/ipv4/no_such_thing", "1", "openat2", errno.ENOENT),
        ("../self/oom_score_adj", "1", "openat2", errno.EXDEV),
        ("/proc/self/oom_score_adj", "1", "openat2", errno.EXDEV),
        ("net/ipv4/ip_default_ttl", "word", "write", errno.EINVAL),
        ("net/ipv4", "1", "openat2", errno.EISDIR),
    ],
)
def test_sysctl_that_is_none_is_refused(
    init: Init, path: str, value: str, step: str, error: int
) -> None:
    failure = init([RawOp("OP_SYSCTL", path, value, pointer="/linux/sysctl/x")]).failure
    assert (failure.step, failure.error) == (step, error)
    assert (failure.pointer, failure.subject) == ("/linux/sysctl/x", path)
