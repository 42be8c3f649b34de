# SPDX-License-Identifier: Apache-2.0
"""Plans, some of them good, most of them damaged, all of them made from one random number."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.native import plans
from tests.native.header import VALUES
from tests.native.plans import RawOp

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

FDS = 4
HEADER, OPERATION = struct.calcsize(plans.HEADER), struct.calcsize(plans.OPERATION)
INTERESTING = (0, 1, 2, 3, 7, 8, 63, 64, 127, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
LARGE = (*INTERESTING, 2**32, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
PATHS = ("/", "", "/tmp", "/link/a", "/dangling", "/full", "//a/../b/./c/", "/x" * 2040)
ROOT = RawOp("OP_ROOTFS", "/tmp/rootfs")
TRUE = ["true"]
#: struct sched_attr: SCHED_BATCH, nice 4 (sched_setattr(2)).
BATCH = struct.pack("=IIQiIQQQII", 56, 3, 0, 4, 0, 0, 0, 0, 0, 0)


def samples() -> list[list[RawOp]]:
    """At least one plan for each operation, as the compiler might have made it."""
    mount = [
        RawOp("OP_MOUNT", "/tmp", "tmpfs", "tmpfs", ["size=4k"], numbers=[6, 0, 1, 6]),
        RawOp("OP_MOUNT", "/full", "tmpfs", "t", ["mode=700"], numbers=[1, 0, 1, 1], flags=16),
        RawOp("OP_MOUNT", "/proc", "proc", "proc", [], numbers=[0, 0, 0, 0], flags=8),
        RawOp("OP_MOUNT", "/tmp", "tmpfs", "t", ["a" * 300, "b"], numbers=[0, 0, 2, 0]),
        RawOp("OP_BIND", "/a/b", "/tmp/rootfs/data", numbers=[1, 0, 4, 0], flags=4),
        RawOp("OP_BIND", "/dangling", "/dev/null", numbers=[0, 0, 0, 0]),
        RawOp("OP_BIND", "/tmp", "", fd=1),
        RawOp("OP_BIND_LINK", "/made/link", "/proc/self/exe", numbers=[0, 0, 0, 0], flags=1024),
        RawOp("OP_REMOUNT", "/", "", "", ["size=8k", "ro"], numbers=[2, 1, 4, 2], flags=8),
        RawOp("OP_ATTR", "/tmp", numbers=[1, 0, 0, 0], flags=4),
        RawOp("OP_MASK", "/full"),
        RawOp("OP_MASK", "/full/file"),
        RawOp("OP_READONLY", "/full"),
        RawOp("OP_DEVICE", "/dev/p", numbers=[0o10644, 0, 0, 0]),
        RawOp("OP_DEVICE", "/dev/null", "/dev/null", numbers=[0o20666, 0x103, 0, 0], flags=1),
        RawOp("OP_SYMLINK", "/dev/x/y", "target", flags=64),
        RawOp("OP_MKDIR", "/a/b/c/d", numbers=[0o755]),
        RawOp("OP_FILE_LABEL", "a:b:c:s0"),
        RawOp("OP_CONSOLE", "/dev/console", numbers=[24, 80]),
    ]
    devpts = RawOp("OP_MOUNT", "/dev/pts", "devpts", "d", ["newinstance"], numbers=[0, 0, 1, 0])
    process = [
        RawOp("OP_OOM_SCORE", numbers=[100]),
        RawOp("OP_NON_DUMPABLE"),
        RawOp("OP_CGROUP", fd=3),
        RawOp("OP_CLOCK", fd=0),
        RawOp("OP_UNSHARE", numbers=[0x04000000]),
        RawOp("OP_SETNS", "/ns", numbers=[0x04000000], fd=2, flags=1),
        RawOp("OP_TIME", "monotonic 1 1\n"),
        RawOp("OP_FORK", numbers=[0]),
        RawOp("OP_SYNC", numbers=[2]),
        RawOp("OP_BECOME_ROOT", flags=32),
        RawOp("OP_SETSID"),
        RawOp("OP_KEYRING", "_ses.x"),
        RawOp("OP_LOOPBACK"),
        RawOp("OP_HOSTNAME", "name"),
        RawOp("OP_DOMAINNAME", "name"),
        RawOp("OP_SYSCTL", "net/ipv4/ip_forward", "1"),
        RawOp("OP_PROPAGATION", "/tmp/rootfs", numbers=[1 << 19]),
        RawOp("OP_RLIMIT", numbers=[4, 50, 100]),
        RawOp("OP_STDIO_OWNER", numbers=[0]),
        RawOp("OP_NO_NEW_PRIVS"),
        RawOp("OP_BOUNDING", numbers=[1]),
        RawOp("OP_GROUPS", struct.pack("=2I", 1, 2), numbers=[2]),
        RawOp("OP_USER", numbers=[0, 0]),
        RawOp("OP_CAPABILITIES", numbers=[1, 1, 1, 1]),
        RawOp("OP_UMASK", numbers=[0o22]),
        RawOp("OP_CWD", "/tmp"),
        RawOp("OP_HOOK", "/bin/true", TRUE, ["A=b"], numbers=[1, 1, 1]),
        RawOp("OP_SECCOMP", struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000), numbers=[1, 0]),
        RawOp("OP_WAIT_START", fd=0),
        RawOp("OP_LOOKUP", "true", ["/nonexistent", "/bin/true"], numbers=[2]),
        RawOp("OP_READY"),
        RawOp("OP_HOME", numbers=[0]),
        RawOp("OP_SCHEDULER", "", BATCH, numbers=[len(BATCH)]),
        RawOp("OP_IO_PRIORITY", numbers=[2 << 13 | 4]),
        RawOp("OP_AFFINITY"),
        RawOp("OP_AFFINITY", "", struct.pack("=Q", 1), numbers=[8]),
        RawOp("OP_PERSONALITY", numbers=[0]),
        RawOp("OP_LABEL", "self/attr/exec", "self/comm", "exec x", fd=1),
        RawOp("OP_MEMORY_POLICY", "", struct.pack("=Q", 1), numbers=[1, 8]),
        RawOp("OP_SECCOMP", struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000), numbers=[1, 8], flags=16384),
    ]
    end = [
        RawOp("OP_LOOKUP", "true", ["/nonexistent", "/bin/true"], numbers=[2]),
        RawOp("OP_EXEC", "true", TRUE, ["A=b", "C="], numbers=[1, 2]),
    ]
    plans_ = [[op, *end] for op in process]
    plans_ += [[ROOT, op] for op in mount]
    plans_ += [[ROOT, devpts, mount[-1]], [ROOT, *mount[:8]], [ROOT, RawOp("OP_PIVOT"), *end]]
    return plans_


def damaged(chance: random.Random) -> bytes:
    """One plan."""
    plan = list(chance.choice(samples()))
    if chance.random() < 0.3:
        plan += chance.choice(samples())
    if chance.random() < 0.2:
        chance.shuffle(plan)
    data = bytearray(plans.pack(plan, FDS))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        chance.choice(DAMAGES)(data, chance)
    if chance.random() < 0.9 and len(data) >= HEADER:  # most should get past the first check
        struct.pack_into("=I", data, 8, len(data))
        data[-1] = 0
    _spare_the_sanitizer(data)
    return bytes(data)


def _operations(data: bytearray) -> int:
    """How many there are room for, whatever the header says."""
    said: int = struct.unpack_from("=I", data, 12)[0]
    return min(said, (len(data) - HEADER) // OPERATION)


def _place(data: bytearray, chance: random.Random) -> int:
    """Where some operation begins."""
    return HEADER + OPERATION * chance.randrange(max(1, _operations(data)))


def _byte(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.randrange(256)


def _bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _code(data: bytearray, chance: random.Random) -> None:
    struct.pack_into("=H", data, _place(data, chance), chance.randrange(1, VALUES["PLAN_CODES"]))


def _flags(data: bytearray, chance: random.Random) -> None:
    struct.pack_into("=H", data, _place(data, chance) + 2, 1 << chance.randrange(16))


def _descriptor(data: bytearray, chance: random.Random) -> None:
    value = chance.choice((-1, 0, 1, 2, 3, chance.randrange(-(2**31), 2**31)))
    struct.pack_into("=i", data, _place(data, chance) + 4, value)


def _offset(data: bytearray, chance: random.Random) -> None:
    value = chance.choice((*INTERESTING, chance.randrange(len(data)), chance.randrange(len(data))))
    struct.pack_into("=I", data, _place(data, chance) + 8 + 4 * chance.randrange(6), value)


def _number(data: bytearray, chance: random.Random) -> None:
    value = chance.choice((*LARGE, chance.randrange(2**64), 1 << chance.randrange(64)))
    struct.pack_into("=Q", data, _place(data, chance) + 32 + 8 * chance.randrange(4), value)


def _path(data: bytearray, chance: random.Random) -> None:
    """Another path, at the end of the blob."""
    struct.pack_into("=I", data, _place(data, chance) + 12, max(0, len(data) - _blob(data)))
    data += chance.choice(PATHS).encode() + b"\0"


def _blob(data: bytearray) -> int:
    return int(struct.unpack_from("=I", data, 16)[0])


def _header(data: bytearray, chance: random.Random) -> None:
    struct.pack_into("=I", data, 4 * chance.randrange(6), chance.choice(INTERESTING))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[max(HEADER + OPERATION, len(data) - chance.randrange(1, 40)) :]


def _no_nul(data: bytearray, chance: random.Random) -> None:
    """Strings that run into each other."""
    start = min(len(data) - 1, max(HEADER, _blob(data) + 1))
    for at in range(start, len(data)):
        if not data[at] and chance.random() < 0.5:
            data[at] = ord("x")


#: Fields of operations are where a check could be missing: they come up most.
DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_byte, _bit, _code, _flags, _descriptor, _header, _cut, _no_nul),
    *(_offset, _number, _path) * 3,
)


def _spare_the_sanitizer(data: bytearray) -> None:
    """No limit on memory, time or files: it would be the sanitizer's own, or that of /bin/true."""
    for index in range(_operations(data) if len(data) >= HEADER + OPERATION else 0):
        at = HEADER + OPERATION * index
        if struct.unpack_from("=H", data, at)[0] == VALUES["OP_RLIMIT"]:
            resource = struct.unpack_from("=Q", data, at + 32)[0]
            if resource & 0xFFFFFFFF not in (4, 8, 13):  # core, memlock, nice
                struct.pack_into("=Q", data, at + 32, 4)
