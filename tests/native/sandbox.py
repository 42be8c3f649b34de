# SPDX-License-Identifier: Apache-2.0
"""Runs damaged plans where they can do no harm: `python -m ... PROGRAM SEED SECONDS`.

As an unprivileged user, in user, mount, pid, network, ipc, uts and cgroup namespaces of its own,
all mounts of the host read-only. Prints a JSON object: how many plans ran, how they ended, which
operations were reached, and what must not happen: `problems`, each with the plan in base 64.
"""

from __future__ import annotations

import base64
import collections
import json
import os
import random
import select
import socket
import struct
import sys
import time
from pathlib import Path

import prctl

from native import syscalls
from native.memory_file import memory_file
from tests.native import plans
from tests.native.build import COMPLAINTS
from tests.native.damage import damaged
from tests.native.header import VALUES

NOBODY = 65534
NAMESPACES = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWCGROUP
)
ROOTFS = "/tmp/rootfs"
SIGPIPE, SIGSYS = 13, 31


def enter() -> None:
    """Give up everything but a namespace of our own; returns in its pid 1."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        prctl.set_dumpable(1)  # else /proc/self/uid_map is root's
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(NAMESPACES)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
    prctl.set_pdeathsig(9)
    if os.getpid() != 1:
        raise RuntimeError("not in a pid namespace of our own")
    flags = syscalls.AT_RECURSIVE
    syscalls.mount_setattr(
        syscalls.AT_FDCWD, "/", flags, syscalls.MOUNT_ATTR_RDONLY, 0, syscalls.MS_PRIVATE
    )
    syscalls.mount("tmpfs", "/tmp", "tmpfs", 0, "size=64m")
    for name in ("dev", "proc", "tmp", "full/sub", "data"):
        os.makedirs(f"{ROOTFS}/{name}")
    Path(ROOTFS, "full", "file").write_text("x" * 100)
    os.symlink("/tmp", f"{ROOTFS}/link")
    os.symlink("/missing/target", f"{ROOTFS}/dangling")


class Worker:
    """Runs plans, one at a time."""

    def __init__(self, program: int, seed: int) -> None:
        self.program = program
        self.random = random.Random(seed)  # noqa: S311 - not a secret
        self.null = os.open(os.devnull, os.O_RDWR)
        self.directory = os.open(ROOTFS, os.O_RDONLY)
        self.namespace = os.open("/proc/self/ns/uts", os.O_RDONLY)
        self.ends: collections.Counter[str] = collections.Counter()
        self.reached: collections.Counter[int] = collections.Counter()
        self.problems: list[dict[str, str]] = []

    def run(self, data: bytes) -> None:
        """Run one plan and judge how it ends."""
        output = os.memfd_create("output")
        plan = memory_file("plan", data)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        plans.give(ours, [plan, self.null, self.directory, self.namespace, output])
        table = [self.null, output, output, theirs.fileno()]
        pid, pidfd = syscalls.spawn(self.program, table, 3, syscalls.CLONE_NEWNS)
        theirs.close()
        problem = self._serve(ours, pidfd)
        ours.close()
        os.kill(-1, 9)  # everything in this pid namespace, except for ourselves
        statuses = {}
        while True:
            try:
                ended, status = os.wait()
            except ChildProcessError:
                break
            statuses[ended] = os.waitstatus_to_exitcode(status)
        text = os.pread(output, 1 << 16, 0).decode(errors="replace")
        if not problem:
            problem = self._judge(statuses[pid], text, data)
        if problem:
            encoded = base64.b64encode(data).decode()
            self.problems.append({"what": problem, "said": text, "plan": encoded})
        for fd in (output, plan, pidfd):
            os.close(fd)

    def _serve(self, channel: socket.socket, pidfd: int) -> str:
        """Answer until the process has ended; what is wrong, or ""."""
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            ready = dict(poll.poll(20_000))
            if channel.fileno() not in ready:
                return "" if pidfd in ready else "hangs"
            data, control, _, _ = channel.recvmsg(4096, 64)
            if not data:
                poll.unregister(channel)
                continue
            for _, _, payload in control:
                os.close(struct.unpack("=i", payload[:4])[0])
            try:
                message = plans.Report(data)
            except ValueError as error:
                return f"bad message: {error}"
            if message.kind == VALUES["KIND_FAILED"]:
                self.reached[message.code] += 1
            elif message.kind == VALUES["KIND_SYNC"]:
                self._answer(channel)
        return "hangs"

    def _answer(self, channel: socket.socket) -> None:
        kind = self.random.randrange(10)
        if kind == 0:
            channel.shutdown(socket.SHUT_RDWR)
            return
        error = self.random.choice([5, -5, -(2**31)]) if kind == 1 else 0
        answer = struct.pack("=i", error) if kind > 2 else b"\0" * self.random.randrange(8)
        fds = [self.null] if kind > 6 else []
        try:
            socket.send_fds(channel, [answer], fds)
        except OSError:
            pass  # it has ended

    def _judge(self, status: int, text: str, data: bytes) -> str:
        self.ends[str(status)] += 1
        if any(word in text for word in COMPLAINTS):
            return "sanitizer"
        code = VALUES["OP_SECCOMP"]
        filtered = any(data[at : at + 2] == struct.pack("=H", code) for at in range(24, 600, 64))
        # A report to a parent that has closed the channel; a call that the plan's filter kills.
        if status in (0, 1, 2, -SIGPIPE) or (status == -SIGSYS and filtered):
            return ""
        return f"status {status}"


def main() -> None:
    """Enter the sandbox, run plans for some seconds, print the result."""
    program = os.open(sys.argv[1], os.O_RDONLY)
    seed, seconds = int(sys.argv[2]), float(sys.argv[3])
    enter()
    worker = Worker(program, seed)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end and len(worker.problems) < 5:
        worker.run(damaged(random.Random(f"{seed}/{number}")))  # noqa: S311 - not a secret
        number += 1
    result = {
        "runs": number,
        "ends": worker.ends,
        "reached": worker.reached,
        "problems": worker.problems,
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
