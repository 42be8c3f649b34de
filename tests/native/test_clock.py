# SPDX-License-Identifier: Apache-2.0
"""OP_CLOCK: when each operation began, in a file that is shared with the parent."""

from __future__ import annotations

import errno
import os
import struct
import time
from typing import TYPE_CHECKING

import pytest

from tests.native.plans import RawOp, shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.native.harness import Init

CLOCK = RawOp("OP_CLOCK", fd=0)
ALLOW_ALL = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)  # BPF_RET, SECCOMP_RET_ALLOW


@pytest.fixture
def times() -> Iterator[int]:
    """A file with room for eight numbers."""
    fd = os.memfd_create("times")
    os.ftruncate(fd, 64)
    yield fd
    os.close(fd)


def noted(fd: int) -> list[int]:
    return list(struct.unpack("=8Q", os.pread(fd, 64, 0)))


def test_each_operation_behind_it_has_its_time(init: Init, times: int) -> None:
    before = time.time_ns()
    plan = [RawOp("OP_UMASK"), CLOCK, RawOp("OP_SETSID"), RawOp("OP_FORK"), *shell("true")]
    assert init(plan, fds=[times]).status == 0
    found = noted(times)
    assert found[:2] == [0, 0]
    seen = found[2 : len(plan)]
    assert before <= seen[0]
    assert seen[-1] <= time.time_ns()
    assert seen == sorted(seen)
    assert found[len(plan) :] == [0] * (8 - len(plan))


def test_behind_a_filter_no_call_is_made_for_it(init: Init, times: int) -> None:
    filter_ = RawOp("OP_SECCOMP", ALLOW_ALL, numbers=[1, 0])
    plan = [CLOCK, RawOp("OP_NO_NEW_PRIVS"), filter_, *shell("true")]
    assert init(plan, fds=[times]).status == 0
    assert [bool(at) for at in noted(times)] == [False, True, True, *[False] * 5]


def test_a_file_without_room_is_refused(init: Init, times: int) -> None:
    os.ftruncate(times, 15)
    failure = init([CLOCK, RawOp("OP_SETSID")], fds=[times]).failure
    assert failure.error == errno.EPROTO


def test_what_is_no_file_is_refused(init: Init) -> None:
    reader, writer = os.pipe()
    try:
        failure = init([CLOCK], fds=[reader]).failure
        assert (failure.step, failure.error) == ("lseek", errno.ESPIPE)
        failure = init([RawOp("OP_CLOCK")]).failure
        assert failure.error == errno.EBADF
    finally:
        os.close(reader)
        os.close(writer)
