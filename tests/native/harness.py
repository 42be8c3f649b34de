# SPDX-License-Identifier: Apache-2.0
"""Runs an init with a plan, answers its syncs, and collects what it says."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import TYPE_CHECKING

from native import syscalls
from native.memory_file import memory_file
from tests.native import plans
from tests.native.header import VALUES
from tests.support import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.native.plans import RawOp, Report

    #: Gets the pid and the descriptor that came with the message, or -1. Returns the answer's
    #: error, or 0, and a descriptor to send along, or -1.
    Answer = Callable[[int, int], tuple[int, int]]

#: Namespaces in which an operation can do the machine no harm, for root.
ISOLATED = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWCGROUP
)


def proceed(_pid: int, _fd: int) -> tuple[int, int]:
    """Answer a sync: go on."""
    return 0, -1


class Outcome:
    """status: exit status, negative for a signal; of the second stage where there is one.

    messages: in order. output: what was written to stdout and stderr.
    """

    def __init__(self, status: int, messages: list[Report], output: str) -> None:
        self.status, self.messages, self.output = status, messages, output

    @property
    def failure(self) -> Report:
        """The one failure that was reported."""
        (failure,) = [m for m in self.messages if m.kind == VALUES["KIND_FAILED"]]
        return failure

    def __repr__(self) -> str:
        return f"<status {self.status} {self.messages} {self.output!r}>"


class Init:
    """An init program, run by `__call__`; what it leaves is killed."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def __call__(
        self,
        ops: Sequence[RawOp] | bytes,
        *,
        fds: Sequence[int] = (),
        clone_flags: int = ISOLATED,
        spawn_flags: int = 0,
        answers: Mapping[str, Answer] | None = None,
        ready: Callable[[int], None] | None = None,
        stdin: int | None = None,
    ) -> Outcome:
        """Run a plan to its end.

        answers: by name of the sync ("SYNC_HOOKS"); without one the init goes on. ready: called
        when the channel has ended, before the init is waited for.
        """
        data = ops if isinstance(ops, bytes) else plans.pack(ops, len(fds))
        run = _Run(answers or {})
        output = os.memfd_create("output")
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            stdio = [null if stdin is None else stdin, output, output]
            run.start(self.program, data, stdio, fds, clone_flags, spawn_flags)
            run.serve()
            if ready is not None:
                ready(run.pid)
            status = run.wait()
            text = os.pread(output, 1 << 20, 0).decode(errors="replace")
            return Outcome(status, run.messages, text)
        finally:
            run.close()
            os.close(null)
            os.close(output)


class _Run:
    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = {VALUES[name]: answer for name, answer in answers.items()}
        self.messages: list[Report] = []
        self.channel, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = self.first = 0
        self.pidfd = -1

    def start(
        self,
        program: Path,
        data: bytes,
        stdio: Sequence[int],
        fds: Sequence[int],
        clone_flags: int,
        spawn_flags: int,
    ) -> None:
        executable = os.open(program, os.O_RDONLY)
        plan = memory_file("plan", data)
        table = [*stdio, self.theirs.fileno()]
        try:
            plans.give(self.channel, [plan, *fds])
            self.pid, self.pidfd = syscalls.spawn(
                executable, table, len(stdio), clone_flags, flags=spawn_flags
            )
            self.first = self.pid
        finally:
            self.theirs.close()
            os.close(executable)
            os.close(plan)

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        while poll.poll(waiting.limit(20) * 1000):
            size = struct.calcsize(plans.MESSAGE)
            data, control, _, _ = self.channel.recvmsg(size, 64, socket.MSG_CMSG_CLOEXEC)
            if not data:
                return
            message = plans.Report(data)
            self.messages.append(message)
            received = struct.unpack("=i", control[0][2][:4])[0] if control else -1
            if message.kind == VALUES["KIND_STAGE"]:
                self.pid = message.value
            elif message.kind == VALUES["KIND_SYNC"]:
                self._answer(message.value, received)
        raise TimeoutError(f"the init says nothing more after {self.messages}")

    def _answer(self, what: int, received: int) -> None:
        error, fd = self.answers.get(what, proceed)(self.pid, received)
        try:
            socket.send_fds(self.channel, [struct.pack("=i", error)], [fd] if fd >= 0 else [])
        finally:
            for each in (fd, received):
                if each >= 0:
                    os.close(each)

    def wait(self) -> int:
        for pid in {self.first, self.pid}:
            waiting.ended(pid)
        statuses = {}
        for pid in {self.first, self.pid}:
            statuses[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        status = statuses[self.pid]
        self.pid = self.first = 0
        return status

    def close(self) -> None:
        self.channel.close()
        self.theirs.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        for pid in {self.first, self.pid} - {0}:  # ours, and not waited for: nobody else's
            os.kill(pid, 9)
            os.waitpid(pid, 0)
