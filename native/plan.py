# SPDX-License-Identifier: Apache-2.0
"""The plan's Python twin: operations that describe themselves, and the bytes of native/plan.h.

A plan is an ordered list of operations. Each carries the JSON pointer of the property that asked
for it, a sentence for people, and what the init needs. `Plan.pack` makes the bytes; what they mean
is written once, in plan.h.
"""

from __future__ import annotations

from _struct import Struct

from native import _syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Numbers of plan.h: OP_*, FLAG_*, SYNC_*, KIND_*.
lib = _syscalls.lib
HEADER = Struct("=IHHIIII")
OPERATION = Struct("=HHi6I4Q")
MESSAGE = Struct("=IIIIi28s976s")
ANSWER = Struct("=i")
_LOW = 0xFFFFFFFFFFFFFFFF
#: In place of strings and numbers that an operation hasn't: code, flags and fd come first.
_NO_STRINGS = [0] * (3 + lib.PLAN_STRINGS)
_NO_NUMBERS = [0] * (3 + lib.PLAN_STRINGS + lib.PLAN_NUMBERS)

#: What a start shows of an operation in its text, JSON and errors; the numbers are plan.h's.
NAMES: dict[int, str] = {
    lib.OP_OOM_SCORE: "oom-score",
    lib.OP_NON_DUMPABLE: "non-dumpable",
    lib.OP_CGROUP: "cgroup",
    lib.OP_UNSHARE: "unshare",
    lib.OP_SETNS: "setns",
    lib.OP_TIME: "time",
    lib.OP_FORK: "fork",
    lib.OP_SYNC: "sync",
    lib.OP_BECOME_ROOT: "become-root",
    lib.OP_SETSID: "setsid",
    lib.OP_KEYRING: "keyring",
    lib.OP_LOOPBACK: "loopback",
    lib.OP_HOSTNAME: "hostname",
    lib.OP_DOMAINNAME: "domainname",
    lib.OP_SYSCTL: "sysctl",
    lib.OP_PROPAGATION: "propagation",
    lib.OP_ROOTFS: "rootfs",
    lib.OP_MOUNT: "mount",
    lib.OP_BIND: "bind",
    lib.OP_ATTR: "attributes",
    lib.OP_SYMLINK: "symlink",
    lib.OP_DEVICE: "device",
    lib.OP_MASK: "mask",
    lib.OP_READONLY: "readonly",
    lib.OP_CONSOLE: "console",
    lib.OP_HOOK: "hook",
    lib.OP_PIVOT: "pivot",
    lib.OP_RLIMIT: "rlimit",
    lib.OP_STDIO_OWNER: "stdio-owner",
    lib.OP_NO_NEW_PRIVS: "no-new-privs",
    lib.OP_BOUNDING: "bounding",
    lib.OP_GROUPS: "groups",
    lib.OP_USER: "user",
    lib.OP_CAPABILITIES: "capabilities",
    lib.OP_UMASK: "umask",
    lib.OP_CWD: "cwd",
    lib.OP_LOOKUP: "lookup",
    lib.OP_READY: "ready",
    lib.OP_WAIT_START: "wait-start",
    lib.OP_SECCOMP: "seccomp",
    lib.OP_EXEC: "exec",
    lib.OP_MKDIR: "mkdir",
    lib.OP_HOME: "home",
    lib.OP_SCHEDULER: "scheduler",
    lib.OP_IO_PRIORITY: "io-priority",
    lib.OP_AFFINITY: "affinity",
    lib.OP_PERSONALITY: "personality",
    lib.OP_LABEL: "label",
    lib.OP_MEMORY_POLICY: "memory-policy",
    lib.OP_FILE_LABEL: "file-label",
    lib.OP_REMOUNT: "remount",
    lib.OP_BIND_LINK: "bind-link",
    lib.OP_CLOCK: "clock",
}


class Op:
    """One operation. `strings` follow the pointer: they are string[1] and on.

    code: enum plan_code. pointer: JSON pointer. text: the sentence for people. fd: name of a
    descriptor that travels with the plan, or "". lists and bytes among `strings` are packed as
    plan.h says.
    """

    __slots__ = ("code", "fd", "flags", "numbers", "pointer", "strings", "text")

    def __init__(
        self,
        code: int,
        text: str,
        *strings: str | bytes | Sequence[str],
        pointer: str = "",
        numbers: Sequence[int] = (),
        fd: str = "",
        flags: int = 0,
    ) -> None:
        self.code = code
        self.text = text
        self.strings = strings
        self.pointer = pointer
        self.numbers = numbers
        self.fd = fd
        self.flags = flags

    @property
    def name(self) -> str:
        """The operation's name in texts."""
        return NAMES[self.code]

    def describe(self) -> str:
        """`name text`: one line of `orlop plan`."""
        return f"{self.name} {self.text}" if self.text else self.name


class Blob:
    """The plan's tail: strings by offset, each stored once."""

    def __init__(self) -> None:
        self._parts = [b"\0"]
        self._size = 1
        self._offsets: dict[bytes, int] = {b"": 0}
        self._texts: dict[str, int] = {"": 0}

    def add(self, value: str | bytes | Sequence[str]) -> int:
        """The offset of a string, of raw bytes, or of a list of strings."""
        if isinstance(value, str):
            offset = self._texts.get(value)
            if offset is None:
                data = value.encode("utf-8", "surrogateescape") + b"\0"
                offset = self._texts[value] = self._add(data)
            return offset
        if isinstance(value, bytes):
            return self._add(value)
        return self._add(b"".join(i.encode("utf-8", "surrogateescape") + b"\0" for i in value))

    def _add(self, data: bytes) -> int:
        offset = self._offsets.get(data)
        if offset is None:
            offset = self._offsets[data] = self._size
            self._parts.append(data)
            self._size += len(data)
        return offset

    def bytes(self) -> bytes:
        """All of it, ending in a NUL."""
        return b"".join(self._parts) + b"\0"


class Plan:
    """What will happen to a container, in order."""

    __slots__ = ("clone_flags", "ops", "spawn_flags", "stages")

    def __init__(self, clone_flags: int = 0, spawn_flags: int = 0) -> None:
        self.ops: list[Op] = []
        self.clone_flags = clone_flags
        self.spawn_flags = spawn_flags
        #: Whether an OP_FORK makes the container's process a second stage.
        self.stages = 1

    def add(self, op: Op) -> None:
        """Append an operation."""
        self.ops.append(op)

    def descriptors(self) -> list[str]:
        """Names of the descriptors that travel with the plan, in the table's order."""
        return list(dict.fromkeys(op.fd for op in self.ops if op.fd))

    def pack(self) -> bytes:
        """The bytes that orlop-init reads (plan.h). Raises ValueError where they don't fit."""
        table = {name: index for index, name in enumerate(self.descriptors())}
        blob = Blob()
        records = []
        add, pack = blob.add, OPERATION.pack
        for op in self.ops:
            fields = [op.code, op.flags, table[op.fd] if op.fd else -1, add(op.pointer)]
            fields += map(add, op.strings)
            fields += _NO_STRINGS[len(fields) :]
            fields += [number & _LOW for number in op.numbers]
            fields += _NO_NUMBERS[len(fields) :]
            records.append(pack(*fields))
        tail = blob.bytes()
        body = b"".join(records)
        total = HEADER.size + len(body) + len(tail)
        if total > lib.PLAN_MAX_SIZE or len(table) > lib.PLAN_MAX_FDS:
            message = f"plan of {total} bytes and {len(table)} descriptors is too large"
            raise ValueError(message)
        header = HEADER.pack(
            lib.PLAN_MAGIC,
            lib.PLAN_VERSION,
            OPERATION.size,
            total,
            len(self.ops),
            HEADER.size + len(body),
            len(table),
        )
        return header + body + tail


class Message:
    """A struct plan_message: what the init says."""

    __slots__ = ("code", "detail", "error", "kind", "op", "pointer", "step", "subject", "value")

    def __init__(self, data: bytes) -> None:
        """Unpack; raises ValueError where `data` is no message."""
        if len(data) != MESSAGE.size:
            message = f"message of {len(data)} bytes from the init"
            raise ValueError(message)
        self.kind, self.op, self.code, self.value, self.error, step, text = MESSAGE.unpack(data)
        self.step = _text(step.split(b"\0", 1)[0])
        texts = [_text(part) for part in text.split(b"\0", 3)[:3]]
        self.pointer, self.subject, self.detail = [*texts, "", "", ""][:3]

    @property
    def name(self) -> str:
        """The operation's name, or "init" before the first."""
        return NAMES.get(self.code, "init")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
