# SPDX-License-Identifier: Apache-2.0
"""Profiles become the filters that they describe: by interpretation, and in the real kernel."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runtime
from native import seccomp as native
from runtime import seccomp, seccomp_compiler, seccomp_enosys
from spec.errors import InvalidSpec, OrlopError
from tests import bpf

if TYPE_CHECKING:
    from collections.abc import Callable

    from spec.types import Seccomp

ALLOW = bpf.ACTIONS["SCMP_ACT_ALLOW"]
EPERM = bpf.ACTIONS["SCMP_ACT_ERRNO"] | errno.EPERM
HERE = bpf.native_architecture()
EQ = "SCMP_CMP_EQ"
PR_SET_NO_NEW_PRIVS = 38
RETURN_ALLOW = struct.pack("=HBBI", 0x06, 0, 0, ALLOW)
libc = ctypes.CDLL(None, use_errno=True)


def compiled(profile: bpf.Profile) -> seccomp.Filter:
    return seccomp.compile_filter(cast("Seccomp", profile))


def number(name: str, arch: str = HERE) -> int:
    return native.syscall_resolve_name_arch(bpf.TOKENS[arch], name)


def verdict(profile: bpf.Profile, name: str, *args: int, arch: str = HERE) -> int:
    program = bpf.Program(compiled(profile).bpf)
    return program.run(number(name, arch), bpf.audit_arch(arch), args)


def one(name: str, action: str, default: str = "SCMP_ACT_ALLOW", **more: object) -> bpf.Profile:
    """A profile with one rule."""
    entry = {"names": [name], "action": action, **more}
    return {"defaultAction": default, "syscalls": [entry]}


def when(index: int, op: str, value: int, two: int = 0) -> dict[str, object]:
    return {"index": index, "op": op, "value": value, "valueTwo": two}


def engine_profile() -> bpf.Profile:
    """A profile of the shape and size that engines send: all but the dangerous is allowed."""
    refused = "bpf mount umount2 pivot_root kexec_load init_module reboot swapon setns unshare"
    judged = ("personality", "socket", "clone", "clone3")
    arch = native.arch_native()
    names = [native.syscall_resolve_num_arch(arch, nr) for nr in range(number("close_range") + 4)]
    allowed = [name for name in names if name and name not in (*refused.split(), *judged)]
    personalities = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "syscalls": [
            {"names": [*allowed, "a_call_of_the_future"], "action": "SCMP_ACT_ALLOW"},
            *(
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [when(0, EQ, value)]}
                for value in personalities
            ),
            {
                "names": ["socket"],
                "action": "SCMP_ACT_ALLOW",
                "args": [when(0, "SCMP_CMP_NE", 40)],
            },
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [when(0, "SCMP_CMP_MASKED_EQ", 0x7E020000, 0)],
            },
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        ],
    }


# --- actions, operators, conditions ---


@pytest.mark.parametrize("name", sorted(bpf.ACTIONS))
def test_every_action_reaches_the_filter(name: str) -> None:
    default = "SCMP_ACT_ERRNO" if name == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
    profile = {**one("getppid", name, default), "listenerPath": "/run/agent"}
    assert verdict(profile, "getppid") == bpf.action(name, None)
    assert verdict(profile, "getpid") == bpf.action(default, None)


@pytest.mark.parametrize("name", sorted(bpf.ACTIONS))
def test_every_action_can_be_the_default(name: str) -> None:
    other = "SCMP_ACT_LOG" if name == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
    profile = {**one("getppid", other, name), "listenerPath": "/run/agent"}
    assert verdict(profile, "getpid") == bpf.action(name, None)


def test_a_default_that_notifies_has_a_listener() -> None:
    found = compiled({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/agent"})
    assert found.notify


@pytest.mark.parametrize("name", ["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"])
@pytest.mark.parametrize("errno_ret", [0, errno.ENOSYS, 4094, None])
def test_errno_ret(name: str, errno_ret: int | None) -> None:
    expected = bpf.ACTIONS[name] | (errno.EPERM if errno_ret is None else errno_ret)
    assert verdict(one("getppid", name, errnoRet=errno_ret), "getppid") == expected
    profile = {**one("getppid", "SCMP_ACT_ALLOW", name), "defaultErrnoRet": errno_ret}
    assert verdict(profile, "getpid") == expected


@pytest.mark.parametrize("op", sorted(seccomp_compiler.OPERATORS))
@pytest.mark.parametrize("value", [0, 9, 1 << 31, (1 << 32) + 9, (1 << 64) - 1])
def test_every_operator_compares_64_bits(op: str, value: int) -> None:
    arg = when(2, op, value, value >> 1 & value)
    profile = one("getppid", "SCMP_ACT_ERRNO", args=[arg])
    for actual in {0, 9, value, value ^ 1, value ^ 1 << 32, value >> 1 & value, (1 << 64) - 1}:
        held = verdict(profile, "getppid", 0, 0, actual) == EPERM
        assert held == bpf.compare(arg, actual, (1 << 64) - 1), hex(actual)


def test_conditions_on_different_arguments_must_all_hold() -> None:
    profile = one("getppid", "SCMP_ACT_ERRNO", args=[when(0, EQ, 1), when(5, EQ, 2)])
    assert verdict(profile, "getppid", 1, 0, 0, 0, 0, 2) == EPERM
    assert verdict(profile, "getppid", 1, 0, 0, 0, 0, 3) == ALLOW
    assert verdict(profile, "getppid", 0, 0, 0, 0, 0, 2) == ALLOW


def test_two_conditions_on_one_argument_make_all_of_them_alternatives() -> None:
    args = [when(0, EQ, 1), when(0, EQ, 2), when(1, EQ, 7)]
    profile = one("getppid", "SCMP_ACT_ERRNO", args=args)
    matching = [(1, 0), (2, 0), (0, 7), (1, 7)]
    assert [verdict(profile, "getppid", *pair) for pair in matching] == [EPERM] * 4
    assert verdict(profile, "getppid", 3, 0) == ALLOW


def test_a_rule_without_conditions_wins_over_one_with() -> None:
    conditional = {"names": ["getppid"], "action": "SCMP_ACT_TRAP", "args": [when(0, EQ, 1)]}
    plain = {"names": ["getppid"], "action": "SCMP_ACT_ERRNO"}
    for entries in ([conditional, plain], [plain, conditional]):
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries}
        assert verdict(profile, "getppid", 1) == EPERM


def test_a_rule_with_the_default_action_is_skipped() -> None:
    profile = one("getppid", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL")
    profile["syscalls"].append({"names": ["getpid"], "action": "SCMP_ACT_ALLOW"})
    assert verdict(profile, "getppid") == bpf.KILL_THREAD
    assert verdict(profile, "getpid") == ALLOW


def test_unknown_names_are_skipped_and_listed() -> None:
    names = ["getppid", "no_such_call", "getpid\0", "no_such_call", "na\u00efve"]
    profile = one("getuid", "SCMP_ACT_ERRNO")
    profile["syscalls"][0]["names"] += names
    assert compiled(profile).unknown == ("no_such_call", "getpid\0", "na\u00efve")
    assert verdict(profile, "getppid") == EPERM
    assert verdict(profile, "getpid") == ALLOW


def test_null_means_absent() -> None:
    profile: bpf.Profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "defaultErrnoRet": None,
        "architectures": None,
        "flags": None,
        "listenerPath": None,
        "listenerMetadata": None,
        "syscalls": None,
    }
    found = compiled(profile)
    assert (found.listener_path, found.listener_metadata, found.notify) == ("", "", False)
    assert bpf.Program(found.bpf).run(0, bpf.TOKENS[HERE]) == ALLOW


# --- architectures, and calls newer than the profile ---


@pytest.mark.parametrize("arch", sorted(bpf.TOKENS))
def test_every_architecture_of_this_byte_order(arch: str) -> None:
    profile = one("getppid", "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")
    assert verdict({**profile, "architectures": [arch, arch]}, "getppid", arch=arch) == ALLOW
    assert verdict({**profile, "architectures": [arch]}, "getppid") == ALLOW, "the native one"
    if arch != HERE:
        assert verdict(profile, "getppid", arch=arch) == bpf.KILL_THREAD


@pytest.mark.parametrize(
    "default", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_ALLOW"]
)
@pytest.mark.parametrize("names", [["read", "kcmp"], ["copy_file_range", "setns"], ["no_such"], []])
@pytest.mark.parametrize(
    "arches", [[], ["SCMP_ARCH_X86", "SCMP_ARCH_X32"], ["SCMP_ARCH_X32"], sorted(bpf.TOKENS)]
)
def test_calls_newer_than_the_profile_do_not_exist(
    default: str, names: list[str], arches: list[str]
) -> None:
    profile = {**one("", "SCMP_ACT_LOG", default), "architectures": arches}
    profile["syscalls"][0]["names"] = names
    program = bpf.Program(compiled(profile).bpf)
    answers = set()
    for arch in bpf.TOKENS:
        first = bpf.X32_BIT if arch == "SCMP_ARCH_X32" else 0
        for nr in range(first, first + 520):
            expected = bpf.read(profile, arch, nr)
            assert program.run(nr, bpf.audit_arch(arch)) == expected, (arch, nr)
            answers.add(expected)
    known = [name for name in names if name != "no_such"]
    assert (bpf.ENOSYS in answers) == (default != "SCMP_ACT_ALLOW" and bool(known))


def test_numbers_near_the_x32_bit() -> None:
    x86, x32 = bpf.TOKENS["SCMP_ARCH_X86_64"], bpf.TOKENS["SCMP_ARCH_X32"]
    for newest, enosys in (
        (
            {x86: 300, x32: bpf.X32_BIT + 200},
            {301, bpf.X32_BIT - 1, bpf.X32_BIT + 201, (1 << 32) - 1},
        ),
        ({x86: 300}, {301, bpf.X32_BIT - 1}),
        ({x32: bpf.X32_BIT + 200}, {bpf.X32_BIT + 201, (1 << 32) - 1}),
    ):
        program = bpf.Program(seccomp_enosys.prologue(newest) + RETURN_ALLOW)
        numbers = {0, 300, 301, *(bpf.X32_BIT + n for n in (-1, 0, 200, 201)), (1 << 32) - 1}
        assert {nr for nr in numbers if program.run(nr, x86) == bpf.ENOSYS} == enosys
        assert program.run(500, bpf.TOKENS["SCMP_ARCH_AARCH64"]) == ALLOW


@pytest.mark.parametrize("name", ["s390", "s390x"])
def test_s390_reports_unknown_numbers_as_zero(name: str) -> None:
    token = native.arch_resolve_name(name)
    program = bpf.Program(seccomp_enosys.prologue({token: 10}) + RETURN_ALLOW)
    answers = [program.run(nr, token) for nr in (0, 1, 10, 11)]
    assert answers == [bpf.ENOSYS, ALLOW, ALLOW, bpf.ENOSYS]


# --- against a plain reading of random profiles ---

POOL = ["read", "openat", "ioctl", "personality", "clone", "prctl", "fcntl", "renameat2", "kill"]
VALUES = [
    0,
    1,
    2,
    0x7FFFFFFF,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    1 << 63,
    (1 << 64) - 1,
]
values = st.sampled_from(VALUES) | st.integers(0, (1 << 64) - 1)
operators = st.sampled_from(sorted(seccomp_compiler.OPERATORS))
conjunctions = st.lists(
    st.builds(when, st.integers(0, 5), operators, values, values),
    max_size=4,
    unique_by=lambda arg: cast("int", arg["index"]),
).map(lambda args: [args])
# More than one rule for a call: of equalities only.  libseccomp (2.5.4) merges such
# rules into one tree, and misjudges some calls where inequalities on an argument overlap.
alternatives = st.lists(
    st.lists(st.builds(when, st.integers(0, 2), st.just(EQ), values), max_size=3),
    min_size=1,
    max_size=3,
)
actions = st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_TRAP", "SCMP_ACT_KILL"])


@st.composite
def profiles(draw: st.DrawFn) -> bpf.Profile:
    entries = []
    for name in draw(st.lists(st.sampled_from(POOL), unique=True, max_size=6)):
        action = draw(actions)
        rules = draw(conjunctions | alternatives)
        entries += [{"names": [name], "action": action, "args": args} for args in rules]
    foreign = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"]
    return {
        "defaultAction": draw(actions),
        "architectures": draw(st.lists(st.sampled_from(foreign), unique=True)),
        "syscalls": draw(st.permutations(entries)),
    }


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(profile=profiles(), data=st.data())
def test_random_profiles_mean_what_they_say(profile: bpf.Profile, data: st.DataObject) -> None:
    program = bpf.Program(compiled(profile).bpf)
    mentioned = [arg["value"] for entry in profile["syscalls"] for arg in entry["args"]]
    likely = st.sampled_from([*VALUES, *mentioned])
    for arch in (HERE, "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"):
        width = (1 << (32 if arch in bpf.NARROW else 64)) - 1
        for name in POOL:
            args = data.draw(st.tuples(*[likely] * 6))
            narrow = tuple(value & width for value in args)
            for nr in (number(name, arch), number(name, arch) + 1):
                found = program.run(nr, bpf.audit_arch(arch), narrow)
                assert found == bpf.read(profile, arch, nr, narrow), (arch, name, args)


# --- flags and the listener ---


def test_flags() -> None:
    profile = one("getppid", "SCMP_ACT_ERRNO")
    prefix = "SECCOMP_FILTER_FLAG_"

    def flags(*names: str) -> int:
        return compiled({**profile, "flags": [prefix + name for name in names]}).flags

    assert flags() == 0
    assert flags("TSYNC") == 0, "accepted, without effect"
    assert flags("LOG") == 1 << 1
    assert flags("SPEC_ALLOW") == 1 << 2
    assert flags("LOG", "SPEC_ALLOW", "TSYNC") == 0b110
    assert compiled(profile).flags == 1 << 2, "what no word about flags means"
    notifying = {**one("getppid", "SCMP_ACT_NOTIFY"), "listenerPath": "/run/agent"}
    found = compiled({**notifying, "flags": [prefix + "WAIT_KILLABLE_RECV"]})
    assert found.flags == 1 << 5 | 1 << 3


def test_listener() -> None:
    profile = {
        **one("getppid", "SCMP_ACT_NOTIFY"),
        "flags": [],
        "listenerPath": "/run/agent",
        "listenerMetadata": "x",
    }
    found = compiled(profile)
    assert (found.notify, found.flags) == (True, native.SECCOMP_FILTER_FLAG_NEW_LISTENER)
    assert (found.listener_path, found.listener_metadata) == ("/run/agent", "x")


# --- refusals ---


ARG = when(0, EQ, 1)
REFUSALS: list[tuple[bpf.Profile, str]] = [
    ({}, "/defaultAction"),
    ({"defaultAction": "SCMP_ACT_MAYBE"}, "/defaultAction"),
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "/listenerPath"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, "/defaultErrnoRet"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}, "/defaultErrnoRet"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["x86"]}, "/architectures/0"),
    ({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_MAYBE"]}, "/flags/0"),
    (
        {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]},
        "/flags/0",
    ),
    (one("", "SCMP_ACT_ERRNO"), "/syscalls/0/names/0"),
    (one("read", "SCMP_ACT_NOTIFY"), "/listenerPath"),
    (one("read", "SCMP_ACT_MAYBE"), "/syscalls/0/action"),
    (one("read", "SCMP_ACT_KILL", errnoRet=1), "/syscalls/0/errnoRet"),
    (one("read", "SCMP_ACT_ERRNO", errnoRet=-1), "/syscalls/0/errnoRet"),
    (one("read", "SCMP_ACT_TRACE", errnoRet=1 << 16), "/syscalls/0/errnoRet"),
    (one("read", "SCMP_ACT_ERRNO", args=[ARG, {**ARG, "op": "=="}]), "/syscalls/0/args/1/op"),
    (one("read", "SCMP_ACT_ERRNO", args=[{**ARG, "index": 6}]), "/syscalls/0/args/0/index"),
    (one("read", "SCMP_ACT_ERRNO", args=[{**ARG, "value": 1 << 64}]), "/syscalls/0/args/0/value"),
    (one("read", "SCMP_ACT_ERRNO", args=[{**ARG, "valueTwo": -1}]), "/syscalls/0/args/0/valueTwo"),
]


@pytest.mark.parametrize(("profile", "pointer"), REFUSALS)
def test_refusals_point_at_the_cause(profile: bpf.Profile, pointer: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        compiled(profile)
    assert caught.value.pointer == "/linux/seccomp" + pointer


def test_clashing_rules_are_refused() -> None:
    profile = one("read", "SCMP_ACT_ERRNO", args=[ARG])
    profile["syscalls"].append({"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [ARG]})
    with pytest.raises(InvalidSpec) as caught:
        compiled(profile)
    assert caught.value.pointer == "/linux/seccomp/syscalls/1"
    assert "read" in caught.value.message


def test_the_other_byte_order_is_refused() -> None:
    other = "SCMP_ARCH_MIPS" if sys.byteorder == "little" else "SCMP_ARCH_MIPSEL"
    with pytest.raises(InvalidSpec, match="byte order"):
        compiled({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [other]})


def test_an_architecture_unknown_to_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "arch_resolve_name", lambda _name: 0)
    with pytest.raises(OrlopError) as caught:
        compiled({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ARM"]})
    assert caught.value.pointer == "/linux/seccomp/architectures/0"


@pytest.mark.slow
def test_too_many_rules_for_the_kernel() -> None:
    profile = one("read", "SCMP_ACT_ERRNO", args=[when(0, EQ, n) for n in range(4096)])
    with pytest.raises(InvalidSpec, match="4096"):
        compiled(profile)


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        (ModuleNotFoundError("No module named 'native._seccomp'"), "build"),
        (ImportError("libseccomp.so.2: cannot open shared object file"), "install libseccomp"),
    ],
)
def test_without_libseccomp(
    monkeypatch: pytest.MonkeyPatch, failure: ImportError, hint: str
) -> None:
    class Refuser:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "runtime.seccomp_compiler":
                raise failure

    monkeypatch.setattr(sys, "meta_path", [Refuser(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "runtime.seccomp_compiler")
    monkeypatch.delattr(runtime, "seccomp_compiler")
    with pytest.raises(OrlopError, match=str(failure)) as caught:
        compiled({"defaultAction": "SCMP_ACT_ALLOW"})
    assert hint in caught.value.hint
    assert seccomp.known() == {"enabled": False}


# --- what this host has ---


def test_known_agrees_with_the_kernel() -> None:
    known = cast("dict[str, Any]", seccomp.known())
    assert known["enabled"] is True
    assert HERE in known["archs"]
    assert set(known["supportedFlags"]) <= set(known["knownFlags"])
    assert known["libseccomp"] == ".".join(map(str, native.version()))
    available = Path("/proc/sys/kernel/seccomp/actions_avail").read_text().split()
    names = {"kill_thread": {"KILL", "KILL_THREAD"}, "user_notif": {"NOTIFY"}}
    expected = {n for word in available for n in names.get(word, {word.upper()})}
    assert {name.removeprefix("SCMP_ACT_") for name in known["supportedActions"]} == expected
    assert json.loads(json.dumps(known)) == known


def test_flags_that_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(seccomp_compiler.FLAGS, "SECCOMP_FILTER_FLAG_LOG", 1 << 30)
    with pytest.raises(OrlopError, match="kernel") as caught:
        compiled({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]})
    assert caught.value.pointer == "/linux/seccomp/flags/0"


def test_actions_that_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(seccomp_compiler.ACTIONS, "SCMP_ACT_LOG", 0x12340000)
    with pytest.raises(OrlopError, match="SCMP_ACT_LOG") as caught:
        compiled(one("read", "SCMP_ACT_LOG"))
    assert caught.value.pointer == "/linux/seccomp/syscalls/0/action"


# --- in the real kernel ---


def call(name: str, *args: int) -> int:
    """Make a system call; return 0 or its errno."""
    ctypes.set_errno(0)
    longs = [ctypes.c_long(arg) for arg in args]
    return 0 if libc.syscall(number(name), *longs) >= 0 else ctypes.get_errno()


def confined(profile: bpf.Profile, body: Callable[[int], int]) -> int:
    """Fork, load the filter, exit with what `body(listener)` returns; return the wait status."""
    found = compiled(profile)
    pid = os.fork()
    if pid == 0:
        try:
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            os._exit(body(native.set_mode_filter(found.flags, found.bpf)))
        finally:
            os._exit(255)
    return os.waitpid(pid, 0)[1]


fork = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@fork
def test_the_kernel_runs_an_engine_profile() -> None:
    unknown = 100000

    def body(_listener: int) -> int:
        answers = [
            call("getppid"),
            call("mount", 0, 0, 0, 0, 0),
            call("clone3", 0, 0),
            call("personality", 0xFFFFFFFF),
            call("personality", 0x1234),
            call("socket", 40, 1, 0),
            0 if libc.syscall(unknown) >= 0 else ctypes.get_errno(),
        ]
        expected = [0, 1, errno.ENOSYS, 0, 1, 1, errno.ENOSYS]
        return 0 if answers == expected else 1

    assert compiled(engine_profile()).unknown == ("a_call_of_the_future",)
    assert confined(engine_profile(), body) == 0


@fork
@pytest.mark.parametrize(
    ("action", "expected"),
    [("SCMP_ACT_ERRNO", errno.EPERM), ("SCMP_ACT_TRACE", errno.ENOSYS), ("SCMP_ACT_LOG", 0)],
)
def test_the_kernel_answers(action: str, expected: int) -> None:
    status = confined(one("getppid", action), lambda _: call("getppid"))
    assert os.waitstatus_to_exitcode(status) == expected


@fork
@pytest.mark.parametrize("action", ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"])
def test_the_kernel_kills(action: str) -> None:
    status = confined(one("getppid", f"SCMP_ACT_{action}"), lambda _: call("getppid"))
    assert os.waitstatus_to_exitcode(status) == -signal.SIGSYS


@fork
@pytest.mark.parametrize("flags", [[], ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]])
def test_the_kernel_returns_a_listener(flags: list[str]) -> None:
    def body(listener: int) -> int:
        return 0 if "seccomp" in Path(f"/proc/self/fd/{listener}").readlink().name else 1

    profile = {**one("getppid", "SCMP_ACT_NOTIFY"), "listenerPath": "/agent", "flags": flags}
    assert confined(profile, body) == 0


# --- what a start imports ---


def test_a_cached_filter_costs_no_imports(tmp_path: Path) -> None:
    cache, text = str(tmp_path / "cache"), json.dumps(engine_profile())
    seccomp.compile_filter(json.loads(text), cache)
    program = f"""
import sys
sys.path.insert(0, {str(Path(seccomp.__file__).parents[1])!r})
from runtime import seccomp
found = seccomp.compile_filter({json.loads(text)!r}, {cache!r})
assert found.unknown == ("a_call_of_the_future",)
print(*sys.modules)
"""
    command = [sys.executable, "-I", "-S", "-c", program]
    modules = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert not {name for name in modules if name.split(".")[0] == "native"}
    slow = "re enum typing collections json hashlib _hashlib struct ctypes tempfile functools"
    assert not set(slow.split()) & set(modules)
