# SPDX-License-Identifier: Apache-2.0
"""native/init/hook.c: hooks in the container's namespaces."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from tests.native.header import VALUES
from tests.native.plans import RawOp, shell
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.native.harness import Init


def hook(script: str, *env: str, seconds: int = 0) -> RawOp:
    """A hook that is a shell script."""
    argv = ["sh", "-c", script]
    numbers = [len(argv), len(env), seconds]
    where = "/hooks/createContainer/0"
    return RawOp("OP_HOOK", "/bin/sh", argv, list(env), numbers=numbers, pointer=where)


def test_a_hook_that_succeeds_lets_the_plan_go_on(init: Init) -> None:
    outcome = init([hook("echo silent"), *shell("echo on")], clone_flags=0)
    assert (outcome.status, outcome.output) == (0, "on\n")


def test_a_hook_has_its_own_environment_alone(init: Init) -> None:
    plan = [hook('[ "$A" = "b c" ] && [ -z "$HOME$TERM" ]', "A=b c"), *shell("echo on")]
    assert init(plan, clone_flags=0).output == "on\n"


def test_a_hook_that_fails_is_reported_with_what_it_said(init: Init) -> None:
    outcome = init([hook("echo out; echo error >&2; exit 3"), *shell("echo on")], clone_flags=0)
    failure = outcome.failure
    assert (failure.step, failure.error) == ("", errno.ECHILD)
    assert (failure.pointer, failure.subject) == ("/hooks/createContainer/0", "/bin/sh")
    assert failure.detail == "exit status 3: out\nerror\n"
    assert outcome.output == ""


def test_a_hook_that_is_killed_is_a_failure(init: Init) -> None:
    failure = init([hook("kill -9 $$")], clone_flags=0).failure
    assert (failure.step, failure.error) == ("", errno.ECHILD)
    assert failure.detail == "killed by signal 9"


@pytest.mark.parametrize("status", [1, 9, 10, 99, 100, 255])
def test_a_status_is_written_whole(init: Init, status: int) -> None:
    failure = init([hook(f"exit {status}")], clone_flags=0).failure
    assert failure.detail == f"exit status {status}"


def test_what_an_earlier_hook_said_is_not_in_a_later_ones_failure(init: Init) -> None:
    plan = [hook("echo a long line of an earlier hook"), hook("echo no; exit 1")]
    assert init(plan, clone_flags=0).failure.detail == "exit status 1: no\n"


def test_what_a_hook_said_is_not_in_another_operations_failure(init: Init) -> None:
    plan = [hook("echo something"), RawOp("OP_CWD", "/nonexistent")]
    assert init(plan, clone_flags=0).failure.detail == ""


def test_a_hook_that_says_a_lot_neither_blocks_nor_overflows(init: Init) -> None:
    plan = [hook("head -c 1000000 /dev/zero | tr '\\0' x; exit 1")]
    detail = init(plan, clone_flags=0).failure.detail
    status, _, said = detail.partition(": ")
    assert status == "exit status 1"
    assert 100 < len(said) < 600
    assert set(said) == {"x"}


def test_a_hook_that_takes_too_long_is_killed(init: Init) -> None:
    failure = init([hook("echo begun; exec sleep 1000", seconds=1)], clone_flags=0).failure
    assert (failure.step, failure.error) == ("", errno.ETIMEDOUT)
    assert failure.detail == "begun\n"


@requires("root")
def test_a_process_that_a_hook_leaves_does_not_hold_the_plan_up(init: Init) -> None:
    """It keeps the hook's output open; the pid namespace ends it after the test."""
    plan = [hook("sleep 1000 & exit 0"), *shell("echo on")]
    assert init(plan, clone_flags=syscalls.CLONE_NEWPID).output == "on\n"


def test_a_missing_hook_is_a_failure(init: Init) -> None:
    plan = [RawOp("OP_HOOK", "/nonexistent", ["x"], [], numbers=[1, 0, 0])]
    failure = init(plan, clone_flags=0).failure
    assert (failure.step, failure.error, failure.subject) == (
        "execve",
        errno.ENOENT,
        "/nonexistent",
    )


def test_each_hook_reads_the_state_from_its_start(init: Init) -> None:
    state = os.memfd_create("state")
    os.write(state, b'{"id":"x"}')
    try:
        answers = {"SYNC_STATE": lambda _pid, _fd: (0, os.dup(state))}
        check = hook("""[ "$(cat)" = '{"id":"x"}' ]""")
        sync = RawOp("OP_SYNC", numbers=[VALUES["SYNC_STATE"]])
        outcome = init([sync, check, check, *shell("echo on")], clone_flags=0, answers=answers)
    finally:
        os.close(state)
    assert outcome.output == "on\n"


def test_a_hook_inherits_no_descriptor(init: Init) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        plan = [hook("echo /proc/self/fd/*; exit 1")]
        detail = init(plan, clone_flags=0, fds=(null,)).failure.detail
    finally:
        os.close(null)
    names = detail.removeprefix("exit status 1: ").split()
    assert {name.rpartition("/")[2] for name in names} <= {"0", "1", "2", "3"}
