# SPDX-License-Identifier: Apache-2.0
"""What is not exactly a plan of this version is refused before anything is done."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.native import plans
from tests.native.header import VALUES
from tests.native.plans import RawOp

if TYPE_CHECKING:
    from tests.native.harness import Init, Outcome

UMASK = RawOp("OP_UMASK", numbers=[0o22])
PLAN = [UMASK, RawOp("OP_CWD", "/nonexistent", pointer="/process/cwd")]


def run(init: Init, data: bytes, fds: tuple[int, ...] = ()) -> Outcome:
    """Run it without namespaces: nothing of it is carried out."""
    return init(data, clone_flags=0, fds=fds)


def assert_refused(outcome: Outcome) -> None:
    """One report, of no operation, and nothing on stderr."""
    assert outcome.status == 1
    assert outcome.failure.error == errno.EPROTO
    assert outcome.failure.code == VALUES["OP_NONE"]
    assert outcome.failure.step in ("plan", "lseek")
    assert len(outcome.messages) == 1
    assert outcome.output == ""


def test_the_plan_that_the_others_damage_is_a_good_one(init: Init) -> None:
    failure = run(init, plans.pack(PLAN)).failure
    assert (failure.op, failure.code, failure.error) == (1, VALUES["OP_CWD"], errno.ENOENT)
    assert (failure.pointer, failure.subject) == ("/process/cwd", "/nonexistent")
    assert failure.step == "chdir"


def test_truncated_at_every_length(init: Init) -> None:
    whole = plans.pack(PLAN)
    for length in range(len(whole)):
        assert_refused(run(init, whole[:length]))


def test_truncated_with_a_total_that_agrees(init: Init) -> None:
    whole = plans.pack(PLAN)
    blob = struct.calcsize(plans.HEADER) + len(PLAN) * struct.calcsize(plans.OPERATION)
    for length in range(struct.calcsize(plans.HEADER), blob + 2):
        data = bytearray(whole[:length])
        struct.pack_into("=I", data, 8, length)
        assert_refused(run(init, bytes(data)))


def test_a_byte_too_many(init: Init) -> None:
    assert_refused(run(init, plans.pack(PLAN) + b"\0"))


@pytest.mark.parametrize(
    "changed",
    [
        {"magic": 0},
        {"magic": VALUES["PLAN_MAGIC"] ^ 1},
        {"version": 0},
        {"version": VALUES["PLAN_VERSION"] + 1},
        {"op_size": 0},
        {"op_size": struct.calcsize(plans.OPERATION) - 8},
        {"op_size": struct.calcsize(plans.OPERATION) + 8},
        {"total": 0},
        {"total": 2**32 - 1},
        {"op_count": 1},
        {"op_count": 3},
        {"op_count": 2**26},  # times 64 is 0 in 32 bits
        {"op_count": 2**32 - 1},
        {"blob_offset": 0},
        {"blob_offset": 24},
        {"blob_offset": 2**32 - 1},
        {"fd_count": VALUES["PLAN_MAX_FDS"] + 1},
        {"fd_count": 2**32 - 1},
    ],
    ids=str,
)
def test_a_header_that_is_wrong(init: Init, changed: dict[str, int]) -> None:
    assert_refused(run(init, plans.pack(PLAN, **changed)))


@pytest.mark.parametrize("string", range(6))
@pytest.mark.parametrize("beyond", [0, 1, 2**31, 2**32 - 1])
def test_a_string_outside_the_blob(init: Init, string: int, beyond: int) -> None:
    data = bytearray(plans.pack([UMASK]))
    blob = len(data) - struct.calcsize(plans.HEADER) - struct.calcsize(plans.OPERATION)
    at = struct.calcsize(plans.HEADER) + 8 + 4 * string
    struct.pack_into("=I", data, at, min(blob + beyond, 2**32 - 1))
    assert_refused(run(init, bytes(data)))


@pytest.mark.parametrize("fd", [0, 1, 127, 2**31 - 1, -2, -(2**31)])
def test_a_descriptor_outside_the_table(init: Init, fd: int) -> None:
    assert_refused(run(init, plans.pack([RawOp("OP_CGROUP", fd=fd)])))


def test_a_descriptor_one_behind_the_table(init: Init) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        assert_refused(run(init, plans.pack([RawOp("OP_CGROUP", fd=1)], 1), (null,)))
    finally:
        os.close(null)


@pytest.mark.parametrize("code", [VALUES["OP_NONE"], VALUES["PLAN_CODES"], 0x7FFF, 0xFFFF])
def test_an_unknown_operation(init: Init, code: int) -> None:
    assert_refused(run(init, plans.pack([UMASK, RawOp(code)])))


def test_no_final_nul(init: Init) -> None:
    assert_refused(run(init, plans.pack(PLAN)[:-1] + b"x"))


def test_a_first_string_that_is_not_empty(init: Init) -> None:
    data = bytearray(plans.pack(PLAN))
    data[struct.unpack_from(plans.HEADER, data)[5]] = ord("x")
    assert_refused(run(init, bytes(data)))


def test_nothing_at_all(init: Init) -> None:
    assert_refused(run(init, b""))


def test_more_than_the_largest_plan(init: Init) -> None:
    size = VALUES["PLAN_MAX_SIZE"] + 1
    blob = b"\0" * (size - len(plans.pack([UMASK])))
    assert_refused(run(init, plans.pack([UMASK], total=size) + blob))


@pytest.mark.parametrize("count", [5, 100, 2**31, 2**61, 2**63, 2**64 - 1])
@pytest.mark.parametrize("which", [0, 1])
def test_a_list_that_goes_on_behind_the_plan(init: Init, count: int, which: int) -> None:
    numbers = [1, 1]
    numbers[which] = count
    look_up = RawOp("OP_LOOKUP", "sh", ["/bin/sh"], numbers=[1])
    execute = RawOp("OP_EXEC", "a", ["a"], ["b"], numbers=numbers)
    failure = run(init, plans.pack([look_up, execute])).failure
    assert (failure.code, failure.error) == (VALUES["OP_LOOKUP"], errno.ENOMEM)


@pytest.mark.parametrize("count", [3, 100, 2**31, 2**61, 2**63, 2**64 - 1])
def test_candidates_that_go_on_behind_the_plan(init: Init, count: int) -> None:
    failure = run(init, plans.pack([RawOp("OP_LOOKUP", "a", ["a"], numbers=[count])])).failure
    assert (failure.code, failure.error) == (VALUES["OP_LOOKUP"], errno.ENOMEM)


@pytest.mark.parametrize("count", [1, 4096, 65537, 2**62, 2**64 - 1])
def test_raw_bytes_that_go_on_behind_the_plan(init: Init, count: int) -> None:
    for name in ("OP_GROUPS", "OP_SECCOMP"):
        failure = run(init, plans.pack([RawOp(name, b"", numbers=[count])])).failure
        assert (failure.error, failure.code) == (errno.EINVAL, VALUES[name])


def test_a_long_pointer_and_subject_are_cut_to_fit_the_message(init: Init) -> None:
    plan = [RawOp("OP_CWD", "/" + "s" * 4000, pointer="/" + "p" * 4000)]
    failure = run(init, plans.pack(plan)).failure
    assert failure.pointer == "/" + "p" * (len(failure.pointer) - 1)
    assert failure.subject == "/" + "s" * (len(failure.subject) - 1)
    assert len(failure.pointer) > 200
    assert len(failure.subject) > 200


def test_a_plan_that_cannot_be_sized(init: Init) -> None:
    """lseek(2) on a pipe: what is no file is no plan."""
    reader, writer = os.pipe()
    channel = os.open(os.devnull, os.O_RDWR)
    base = 300
    try:
        os.dup2(channel, base)
        os.dup2(reader, base + 1)
        result = subprocess.run(
            [init.program, str(base)], pass_fds=(base, base + 1), check=False, timeout=20
        )
        assert result.returncode == 1
    finally:
        for fd in (reader, writer, channel, base, base + 1):
            os.close(fd)


@pytest.mark.parametrize(
    "arguments",
    [[], ["3", "4"], [""], ["2"], ["-1"], ["x"], ["3x"], ["99999999999999999999"]],
    ids=str,
)
def test_a_wrong_command_line(init: Init, arguments: list[str]) -> None:
    result = subprocess.run([init.program, *arguments], check=False, timeout=20)
    assert result.returncode == 2
