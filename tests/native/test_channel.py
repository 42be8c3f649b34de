# SPDX-License-Identifier: Apache-2.0
"""native/init/channel.c: syncs with the parent, and the wait for `start`."""

from __future__ import annotations

import errno
import os
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from native.memory_file import memory_file
from tests.native import plans
from tests.native.header import VALUES
from tests.native.plans import RawOp, shell
from tests.support import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.native.harness import Init

SYNC = RawOp("OP_SYNC", numbers=[VALUES["SYNC_HOOKS"]], pointer="/hooks")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Where the init waits for `start`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / "start"))
        listening.listen(1)
        yield listening


def test_a_sync_names_its_operation(init: Init) -> None:
    plan = [RawOp("OP_UMASK"), SYNC, *shell("echo on")]
    outcome = init(plan, clone_flags=0)
    (message,) = outcome.messages
    assert (message.kind, message.op, message.code, message.value) == (
        VALUES["KIND_SYNC"],
        1,
        VALUES["OP_SYNC"],
        VALUES["SYNC_HOOKS"],
    )
    assert outcome.output == "on\n"


@pytest.mark.parametrize("error", [errno.ECANCELED, 1, -1, -(2**31)])
def test_an_answer_with_an_error_ends_the_init(init: Init, error: int) -> None:
    answers = {"SYNC_HOOKS": lambda _pid, _fd: (error, -1)}
    outcome = init([SYNC, *shell("echo on")], clone_flags=0, answers=answers)
    assert (outcome.status, outcome.output) == (1, "")
    assert outcome.failure.code == VALUES["OP_SYNC"]
    assert outcome.failure.error > 0


def test_the_end_of_the_parent_ends_the_init(init: Init) -> None:
    """The channel is closed before the answer: nobody would take care of the container."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    plan = memory_file("plan", plans.pack([SYNC, *shell("echo on >&2")]))
    program, null = os.open(init.program, os.O_RDONLY), os.open(os.devnull, os.O_RDWR)
    output = os.memfd_create("output")
    try:
        plans.give(ours, [plan])
        table = [null, output, output, theirs.fileno()]
        pid, pidfd = syscalls.spawn(program, table, 3, 0)
        theirs.close()
        waiting.readable(ours.fileno(), 20, "the sync")
        ours.close()
        waiting.readable(pidfd, 20, "the end of the init")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        assert os.pread(output, 100, 0) == b""
    finally:
        for fd in (plan, program, null, output, pidfd):
            os.close(fd)


class Waiting:
    """An init that was started and has no plan yet."""

    def __init__(self, program: Path, *, stdin: int = 0, most_fds: int = 0) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        executable, self.output = os.open(program, os.O_RDONLY), os.memfd_create("output")
        table = [stdin, self.output, self.output, theirs.fileno()]
        self.pid, self.pidfd = syscalls.spawn(executable, table, 3, 0)
        if most_fds:
            _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most_fds, hard))
        theirs.close()
        os.close(executable)

    def end(self) -> tuple[int, list[plans.Report], str]:
        """Its exit status, what it reported, and the output."""
        waiting.readable(self.pidfd, 20, "the end of the init")
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        reports = []
        while data := self.channel.recv(4096):
            reports.append(plans.Report(data))
        text = os.pread(self.output, 1000, 0).decode()
        for fd in (self.pidfd, self.output):
            os.close(fd)
        self.channel.close()
        return status, reports, text


def test_an_init_waits_for_its_plan(init: Init) -> None:
    started = Waiting(init.program)
    plan = memory_file("plan", plans.pack([*shell("echo on")]))
    plans.give(started.channel, [plan])
    os.close(plan)
    assert started.end() == (0, [], "on\n")


def test_a_parent_that_ends_before_the_plan_ends_the_init(init: Init) -> None:
    started = Waiting(init.program)
    started.channel.shutdown(socket.SHUT_WR)
    assert started.end() == (1, [], "")


def test_the_table_has_its_numbers_where_stdio_has_a_gap(init: Init) -> None:
    """A descriptor is received under the lowest free number, that of the program's stdin here."""
    started = Waiting(init.program, stdin=-1)
    left, right = os.pipe()
    program = shell("test -e /proc/self/fd/0 || echo none")
    plan = memory_file("plan", plans.pack([RawOp("OP_CGROUP", fd=1), *program], 2))
    plans.give(started.channel, [plan, left, right])
    os.close(right)
    assert started.end() == (0, [], "none\n")
    assert os.read(left, 10) == b"0"
    for fd in (left, plan):
        os.close(fd)


@pytest.mark.parametrize(
    ("count", "sent", "error"),
    [
        (0, 1, errno.EPROTO),
        (VALUES["PLAN_MAX_FDS"] + 2, VALUES["PLAN_MAX_FDS"] + 2, errno.EPROTO),
        (2**32 - 1, 1, errno.EPROTO),
        (2, 1, errno.EMFILE),
        (1, 2, errno.EMFILE),
        (1, 0, errno.EMFILE),
    ],
)
def test_what_is_no_plan_is_refused(init: Init, count: int, sent: int, error: int) -> None:
    started = Waiting(init.program)
    plan = memory_file("plan", plans.pack([*shell("echo on")]))
    plans.give(started.channel, [plan] * sent, count)
    os.close(plan)
    status, (report,), output = started.end()
    assert (status, output) == (1, "")
    assert (report.kind, report.step, report.error) == (VALUES["KIND_FAILED"], "recvmsg", error)


def test_a_message_of_another_size_is_no_plan(init: Init) -> None:
    started = Waiting(init.program)
    plan = memory_file("plan", plans.pack([*shell("echo on")]))
    socket.send_fds(started.channel, [b"\1"], [plan])
    os.close(plan)
    assert started.end() == (1, [], "")


def test_too_few_descriptors_for_the_table_are_told(init: Init) -> None:
    """What has no room is dropped by the kernel without an error (unix(7))."""
    started = Waiting(init.program, most_fds=6)
    plan = memory_file("plan", plans.pack([*shell("echo on")], 4))
    plans.give(started.channel, [plan, *[0] * 4])
    os.close(plan)
    status, (report,), output = started.end()
    assert (status, report.step, report.error, output) == (1, "recvmsg", errno.EMFILE, "")


def start(listener: socket.socket) -> socket.socket:
    """Connect as `start` does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(waiting.limit(20))
    connection.connect(listener.getsockname())
    return connection


def created(then: list[RawOp]) -> list[RawOp]:
    """A plan that becomes ready, waits, and goes on with `then`."""
    return [RawOp("OP_READY"), RawOp("OP_WAIT_START", fd=0), *then]


def test_ready_ends_the_channel_and_start_lets_the_program_run(
    init: Init, listener: socket.socket
) -> None:
    said = []

    def go(_pid: int) -> None:
        with start(listener) as connection:
            connection.send(b"g")
            said.append(connection.recv(2000))

    outcome = init(created(shell("echo on")), clone_flags=0, fds=(listener.fileno(),), ready=go)
    assert [m.value for m in outcome.messages] == [VALUES["SYNC_READY"]]
    assert (outcome.status, outcome.output) == (0, "on\n")
    assert said == [b""]


def test_a_failure_after_start_is_told_to_start(init: Init, listener: socket.socket) -> None:
    said = []

    def go(_pid: int) -> None:
        with start(listener) as connection:
            connection.send(b"g")
            said.append(plans.Report(connection.recv(2000)))

    plan = created([RawOp("OP_CWD", "/nonexistent", pointer="/process/cwd")])
    outcome = init(plan, clone_flags=0, fds=(listener.fileno(),), ready=go)
    assert outcome.status == 1
    assert [m.kind for m in outcome.messages] == [VALUES["KIND_SYNC"]]
    assert (said[0].kind, said[0].op, said[0].error) == (VALUES["KIND_FAILED"], 2, errno.ENOENT)
    assert said[0].pointer == "/process/cwd"


def test_a_caller_of_start_that_is_killed_starts_nothing(
    init: Init, listener: socket.socket
) -> None:
    def go(_pid: int) -> None:
        start(listener).close()
        with start(listener) as connection:
            connection.send(b"g")
            assert connection.recv(2000) == b""

    outcome = init(created(shell("echo once")), clone_flags=0, fds=(listener.fileno(),), ready=go)
    assert outcome.output == "once\n"


def test_a_waiting_init_holds_its_stdio_and_the_listener_alone(
    init: Init, listener: socket.socket
) -> None:
    """No descriptor of the host's file system is left to whoever gets at it (CVE-2016-9962)."""
    root = os.open("/", os.O_RDONLY)
    held: list[str] = []

    def look(pid: int) -> None:
        with start(listener) as silent:
            silent.shutdown(socket.SHUT_WR)
            assert silent.recv(2000) == b""  # was accepted, and let go: the init waits again
            held.extend(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
        with start(listener) as connection:
            connection.send(b"g")
            connection.recv(2000)

    state = os.memfd_create("state")
    answers = {"SYNC_STATE": lambda _pid, _fd: (0, os.dup(state))}
    plan = [RawOp("OP_SYNC", numbers=[VALUES["SYNC_STATE"]]), *created(shell("exit"))]
    fds = (listener.fileno(), root)
    try:
        init(plan, clone_flags=0, fds=fds, answers=answers, ready=look)
    finally:
        os.close(root)
        os.close(state)
    kinds = sorted(link.partition(":")[0] for link in held)
    assert kinds == ["/dev/null", "/memfd", "/memfd", "/memfd", "socket"]


def test_wait_without_a_listener_is_refused(init: Init) -> None:
    failure = init([RawOp("OP_WAIT_START")], clone_flags=0).failure
    assert (failure.step, failure.error) == ("dup3", errno.EBADF)


def test_wait_on_what_does_not_listen_is_refused(init: Init) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        outcome = init([RawOp("OP_WAIT_START", fd=0)], clone_flags=0, fds=(null,))
    finally:
        os.close(null)
    assert outcome.status == 1
