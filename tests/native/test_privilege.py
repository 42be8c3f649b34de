# SPDX-License-Identifier: Apache-2.0
"""native/init/privilege.c: ids, capabilities, no_new_privs, seccomp."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from tests.native.header import VALUES
from tests.native.plans import RawOp, shell
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.native.harness import Init

pytestmark = requires("root")
NONE = RawOp("OP_CAPABILITIES", numbers=[0, 0, 0, 0])
STATUS = shell("cat /proc/self/status")
SETGID, SETUID, SETPCAP, SYS_ADMIN = (1 << n for n in (6, 7, 8, 21))
#: BPF_RET | BPF_K: allow (linux/filter.h, linux/seccomp.h)
ALLOW = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
NEW_LISTENER = 8
#: mkdir(2) waits for the listener; everything else is allowed. x86-64 alone has mkdir at all.
NOTIFY_MKDIR = struct.pack(
    "=HBBI HBBI HBBI HBBI",
    *(0x20, 0, 0, 0),
    *(0x15, 0, 1, 83),
    *(6, 0, 0, 0x7FC00000),
    *(6, 0, 0, 0x7FFF0000),
)


def status(text: str) -> dict[str, str]:
    """/proc/self/status as a dictionary."""
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def seccomp(filter_: bytes, **keywords: int) -> RawOp:
    """Load a filter."""
    numbers = [len(filter_) // 8, keywords.get("filter_flags", 0)]
    return RawOp("OP_SECCOMP", filter_, numbers=numbers, flags=keywords.get("flags", 0))


def test_no_new_privs(init: Init) -> None:
    fields = status(init([RawOp("OP_NO_NEW_PRIVS"), *STATUS], clone_flags=0).output)
    assert fields["NoNewPrivs"] == "1"


def test_bounding_keeps_what_it_names(init: Init) -> None:
    plan = [RawOp("OP_BOUNDING", numbers=[SETUID | SYS_ADMIN]), *STATUS]
    assert int(status(init(plan, clone_flags=0).output)["CapBnd"], 16) == SETUID | SYS_ADMIN


def test_bounding_with_a_bit_for_every_capability_drops_none(init: Init) -> None:
    plan = [RawOp("OP_BOUNDING", numbers=[2**64 - 1]), *STATUS]
    here = syscalls.capget()[1]
    assert int(status(init(plan, clone_flags=0).output)["CapBnd"], 16) & here == here


def test_bounding_without_setpcap_is_refused(init: Init) -> None:
    failure = init([NONE, RawOp("OP_BOUNDING", numbers=[0])], clone_flags=0).failure
    assert (failure.op, failure.step, failure.error) == (1, "prctl", errno.EPERM)


def test_groups_are_set(init: Init) -> None:
    data = struct.pack("=3I", 5, 70000, 2**32 - 2)
    plan = [RawOp("OP_GROUPS", data, numbers=[3]), *STATUS]
    groups = status(init(plan, clone_flags=0).output)["Groups"].split()
    assert groups == ["5", "70000", "4294967294"]


def test_groups_at_an_odd_place_of_the_plan(init: Init) -> None:
    plan = [RawOp("OP_UMASK", "odd"), RawOp("OP_GROUPS", struct.pack("=I", 5), numbers=[1])]
    for padding in ("", "a", "ab", "abc"):
        plan[0] = RawOp("OP_UMASK", padding, numbers=[0o22])
        assert status(init([*plan, *STATUS], clone_flags=0).output)["Groups"].split() == ["5"]


def test_groups_none(init: Init) -> None:
    fields = status(init([RawOp("OP_GROUPS", b"", numbers=[0]), *STATUS], clone_flags=0).output)
    assert fields["Groups"].split() == []


def test_groups_none_without_setgid_is_fine_for_who_has_none(init: Init) -> None:
    """A user namespace that denies setgroups(2) leaves nothing to give up."""
    none = RawOp("OP_GROUPS", b"", numbers=[0])
    assert init([none, NONE, none, *shell("echo on")], clone_flags=0).output == "on\n"


def test_groups_without_setgid_are_not_kept_in_secret(init: Init) -> None:
    some = RawOp("OP_GROUPS", struct.pack("=I", 5), numbers=[1])
    none = RawOp("OP_GROUPS", b"", numbers=[0])
    failure = init([some, NONE, none], clone_flags=0).failure
    assert (failure.op, failure.step, failure.error) == (2, "setgroups", errno.EPERM)


def test_a_failure_of_groups_shows_no_raw_bytes(init: Init) -> None:
    plan = [NONE, RawOp("OP_GROUPS", struct.pack("=I", 0x41414141), numbers=[1])]
    assert init(plan, clone_flags=0).failure.subject == ""


def test_user_changes_all_ids_and_keeps_permitted_capabilities(init: Init) -> None:
    plan = [RawOp("OP_USER", numbers=[1234, 5678]), RawOp("OP_SYNC", numbers=[2])]
    seen = {}

    def look(pid: int, _fd: int) -> tuple[int, int]:
        with open(f"/proc/{pid}/status") as file:
            seen.update(status(file.read()))
        return 0, -1

    init(plan, clone_flags=0, answers={"SYNC_HOOKS": look})
    assert seen["Uid"].split() == ["1234"] * 4
    assert seen["Gid"].split() == ["5678"] * 4
    assert int(seen["CapPrm"], 16) == syscalls.capget()[1]
    assert int(seen["CapEff"], 16) == 0


@pytest.mark.parametrize(
    ("kept", "step"), [(0, "setresgid"), (SETGID, "setresuid"), (SETUID, "setresgid")]
)
def test_user_without_the_capability_is_refused(init: Init, kept: int, step: str) -> None:
    drop = RawOp("OP_CAPABILITIES", numbers=[kept, kept, 0, 0])
    failure = init([drop, RawOp("OP_USER", numbers=[1, 1])], clone_flags=0).failure
    assert (failure.step, failure.error) == (step, errno.EPERM)


def test_capabilities_of_another_user_are_those_that_were_asked(init: Init) -> None:
    bits = SETGID | SETPCAP
    plan = [
        RawOp("OP_USER", numbers=[1234, 1234]),
        RawOp("OP_CAPABILITIES", numbers=[bits, bits | SETUID, bits, SETGID]),
        *STATUS,
    ]
    fields = status(init(plan, clone_flags=0).output)
    found = {name: int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    # execve of a program without file capabilities leaves the ambient ones (capabilities(7))
    assert found == {"CapInh": bits, "CapPrm": SETGID, "CapEff": SETGID, "CapAmb": SETGID}


def test_capabilities_clear_ambient_ones(init: Init) -> None:
    first = RawOp("OP_CAPABILITIES", numbers=[SETGID, SETGID, SETGID, SETGID])
    second = RawOp("OP_CAPABILITIES", numbers=[SETGID, SETGID, SETGID, 0])
    user = RawOp("OP_USER", numbers=[1234, 1234])
    assert int(status(init([user, first, *STATUS], clone_flags=0).output)["CapAmb"], 16) == SETGID
    fields = status(init([user, first, second, *STATUS], clone_flags=0).output)
    assert (fields["CapAmb"], fields["CapEff"]) == ("0" * 16, "0" * 16)


def test_capabilities_that_the_caller_lacks_are_refused(init: Init) -> None:
    plan = [NONE, RawOp("OP_CAPABILITIES", numbers=[0, SYS_ADMIN, 0, 0])]
    failure = init(plan, clone_flags=0).failure
    assert (failure.op, failure.step, failure.error) == (1, "capset", errno.EPERM)


def test_an_ambient_capability_that_is_not_inheritable_is_refused(init: Init) -> None:
    plan = [RawOp("OP_CAPABILITIES", numbers=[SETUID, SETUID, 0, SETUID])]
    failure = init(plan, clone_flags=0).failure
    assert (failure.step, failure.error) == ("prctl", errno.EPERM)


def test_seccomp_filter_is_loaded(init: Init) -> None:
    fields = status(init([seccomp(ALLOW), *STATUS], clone_flags=0).output)
    assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "0")


def test_seccomp_without_privilege_is_refused(init: Init) -> None:
    failure = init([NONE, seccomp(ALLOW)], clone_flags=0).failure
    assert (failure.step, failure.error) == ("seccomp", errno.EACCES)
    assert failure.subject == ""


def test_seccomp_without_privilege_but_no_new_privs_is_loaded(init: Init) -> None:
    plan = [NONE, RawOp("OP_NO_NEW_PRIVS"), seccomp(ALLOW), *STATUS]
    assert status(init(plan, clone_flags=0).output)["Seccomp"] == "2"


@pytest.mark.parametrize("filter_", [b"", ALLOW[:4] + b"\xff" * 4 + ALLOW * 0, b"\xff" * 8])
def test_seccomp_filter_that_is_none_is_refused(init: Init, filter_: bytes) -> None:
    plan = [seccomp(filter_)] if filter_[:2] != ALLOW[:2] else [seccomp(b"\x06\xff" + ALLOW[2:])]
    failure = init(plan, clone_flags=0).failure
    assert (failure.code, failure.error) == (VALUES["OP_SECCOMP"], errno.EINVAL)


def test_seccomp_filter_longer_than_the_kernels_limit_is_refused(init: Init) -> None:
    failure = init([seccomp(ALLOW * 4097)], clone_flags=0).failure
    assert failure.error == errno.EINVAL


def test_the_setup_capability_is_kept_until_the_filter_is_loaded(init: Init) -> None:
    keep, drop = VALUES["FLAG_KEEP_SETUP"], VALUES["FLAG_DROP_SETUP"]
    numbers = [SETUID, SETUID, 0, 0]
    plan = [
        RawOp("OP_USER", numbers=[1234, 1234]),
        RawOp("OP_CAPABILITIES", numbers=numbers, flags=keep),
        seccomp(ALLOW),
        RawOp("OP_CAPABILITIES", numbers=numbers, flags=drop),
        RawOp("OP_SYNC", numbers=[VALUES["SYNC_HOOKS"]]),
    ]
    seen = {}

    def look(pid: int, _fd: int) -> tuple[int, int]:
        with open(f"/proc/{pid}/status") as file:
            seen.update(status(file.read()))
        return 0, -1

    init(plan, clone_flags=0, answers={"SYNC_HOOKS": look})
    assert seen["Seccomp"] == "2"
    assert (int(seen["CapEff"], 16), int(seen["CapPrm"], 16)) == (SETUID, SETUID)


def test_the_notify_descriptor_goes_to_the_parent(init: Init) -> None:
    got = []

    def take(_pid: int, fd: int) -> tuple[int, int]:
        got.append(os.readlink(f"/proc/self/fd/{fd}") if fd >= 0 else "")
        return 0, -1

    plan = [
        seccomp(NOTIFY_MKDIR, filter_flags=NEW_LISTENER, flags=VALUES["FLAG_NOTIFY"]),
        *shell("echo alive"),
    ]
    outcome = init(plan, clone_flags=0, answers={"SYNC_NOTIFY": take})
    assert got == ["anon_inode:seccomp notify"]
    assert outcome.output == "alive\n"


@pytest.mark.parametrize("denied", ["read", "sendmsg", "recvmsg", "futex", "exit"])
def test_the_plan_goes_on_behind_a_filter_that_denies_it_everything(
    init: Init, denied: str
) -> None:
    """The deputy has no filter: it syncs, and then only execve is left to the process itself."""
    number = {"read": 0, "sendmsg": 46, "recvmsg": 47, "futex": 202, "exit": 60}[denied]
    filter_ = struct.pack(
        "=HBBI HBBI HBBI HBBI HBBI HBBI",
        *(0x20, 0, 0, 0),
        *(0x15, 2, 0, 83),
        *(0x15, 0, 2, number),
        *(6, 0, 0, 0x80000000),  # SECCOMP_RET_KILL_PROCESS
        *(6, 0, 0, 0x7FC00000),
        *(6, 0, 0, 0x7FFF0000),
    )
    sync = RawOp("OP_SYNC", numbers=[VALUES["SYNC_HOOKS"]])
    seccomp_ = seccomp(filter_, filter_flags=NEW_LISTENER, flags=VALUES["FLAG_NOTIFY"])
    plan = [*shell("true")[:1], seccomp_, sync, sync, *shell("true")[1:]]
    outcome = init(plan, clone_flags=0)
    kinds = [message.value for message in outcome.messages]
    assert kinds == [VALUES[f"SYNC_{name}"] for name in ("NOTIFY", "HOOKS", "HOOKS")]


def test_a_failure_of_the_deputy_is_the_plans(init: Init) -> None:
    plan = [
        seccomp(NOTIFY_MKDIR, filter_flags=NEW_LISTENER, flags=VALUES["FLAG_NOTIFY"]),
        RawOp("OP_CWD", "/nonexistent"),
        *shell("true"),
    ]
    outcome = init(plan, clone_flags=0)
    assert (outcome.failure.step, outcome.failure.error) == ("chdir", errno.ENOENT)
    assert outcome.failure.op == 1
    assert outcome.status == 1


def test_a_filter_that_is_refused_ends_the_deputy_too(init: Init) -> None:
    plan = [seccomp(b"\xff" * 8, filter_flags=NEW_LISTENER, flags=VALUES["FLAG_NOTIFY"])]
    outcome = init(plan, clone_flags=0)
    assert (outcome.failure.step, outcome.failure.error) == ("seccomp", errno.EINVAL)
    assert outcome.status == 1


def test_a_parent_that_refuses_the_descriptor_ends_it(init: Init) -> None:
    plan = [
        seccomp(NOTIFY_MKDIR, filter_flags=NEW_LISTENER, flags=VALUES["FLAG_NOTIFY"]),
        *shell("echo alive"),
    ]
    outcome = init(plan, clone_flags=0, answers={"SYNC_NOTIFY": lambda _pid, _fd: (1, -1)})
    assert (outcome.status, outcome.output) == (1, "")
    assert outcome.failure.error == errno.ECANCELED


@pytest.mark.parametrize("ids", [(2**32 - 1, 0), (0, 2**32 - 1), (2**32, 0), (2**64 - 1, 0)])
def test_an_id_that_would_leave_root_is_refused(init: Init, ids: tuple[int, int]) -> None:
    failure = init([RawOp("OP_USER", numbers=list(ids))], clone_flags=0).failure
    assert failure.error == errno.EINVAL
