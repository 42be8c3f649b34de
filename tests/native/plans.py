# SPDX-License-Identifier: Apache-2.0
"""Plans written by hand: bytes as plan.h says, made and read without native/plan.py."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from tests.native.header import VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = "=IHHIIII"
OPERATION = "=HHi6I4Q"
MESSAGE = "=IIIIi28s976s"
HEADER_FIELDS = ("magic", "version", "op_size", "total", "op_count", "blob_offset", "fd_count")
_UINT64 = 2**64 - 1


class RawOp:
    """One operation. strings: string[1] on, lists and raw bytes included; numbers: any."""

    def __init__(
        self,
        code: str | int,
        *strings: str | bytes | Sequence[str],
        numbers: Sequence[int] = (),
        fd: int = -1,
        flags: int = 0,
        pointer: str = "/test",
    ) -> None:
        self.code = VALUES[code] if isinstance(code, str) else code
        self.strings = strings
        self.numbers = [number & _UINT64 for number in numbers]
        self.fd, self.flags, self.pointer = fd, flags, pointer


def _raw(value: str | bytes | Sequence[str]) -> bytes:
    if isinstance(value, bytes):
        return value
    items = [value] if isinstance(value, str) else value
    return b"".join(item.encode() + b"\0" for item in items)


def give(channel: socket.socket, fds: Sequence[int], count: int | None = None) -> None:
    """Send an init its plan and the plan's table. count: what the message says that there are."""
    said = struct.pack("=I", len(fds) if count is None else count)
    socket.send_fds(channel, [said], list(fds))


def pack(ops: Sequence[RawOp], fds: int = 0, **changed: int) -> bytes:
    """The plan's bytes. `changed`: fields of the header that say something else than is true."""
    blob = b"\0"
    records = []
    for op in ops:
        offsets = []
        for value in (op.pointer, *op.strings):
            data = _raw(value)
            offsets.append(len(blob) if data.strip(b"\0") or isinstance(value, bytes) else 0)
            blob += data if offsets[-1] else b""
        offsets += [0] * (6 - len(offsets))
        numbers = [*op.numbers, *[0] * (4 - len(op.numbers))]
        records.append(struct.pack(OPERATION, op.code, op.flags, op.fd, *offsets, *numbers))
    blob += b"\0"
    blob_offset = struct.calcsize(HEADER) + sum(map(len, records))
    fields = {
        "magic": VALUES["PLAN_MAGIC"],
        "version": VALUES["PLAN_VERSION"],
        "op_size": struct.calcsize(OPERATION),
        "total": blob_offset + len(blob),
        "op_count": len(records),
        "blob_offset": blob_offset,
        "fd_count": fds,
    }
    fields.update(changed)
    return struct.pack(HEADER, *fields.values()) + b"".join(records) + blob


class Report:
    """One message of the init, unpacked."""

    def __init__(self, data: bytes) -> None:
        if len(data) != struct.calcsize(MESSAGE):
            raise ValueError(f"message of {len(data)} bytes")
        self.kind, self.op, self.code, self.value, self.error, step, text = struct.unpack(
            MESSAGE, data
        )
        if step[-1] or text[-1]:
            raise ValueError("message without a final NUL")
        self.step = step.split(b"\0")[0].decode()
        parts = [part.decode(errors="replace") for part in text.split(b"\0")]
        self.pointer, self.subject, self.detail = [*parts, "", "", ""][:3]

    def __repr__(self) -> str:
        words = (self.kind, self.op, self.code, self.value, self.error, self.step)
        return f"<{words} {self.pointer!r} {self.subject!r} {self.detail!r}>"


def shell(script: str, *env: str) -> list[RawOp]:
    """The end of a plan: the host's shell runs `script`, to show what has become of the process."""
    argv = ["sh", "-c", script]
    return [
        RawOp("OP_LOOKUP", "sh", ["/bin/sh"], numbers=[1]),
        RawOp("OP_EXEC", "sh", argv, list(env), numbers=[len(argv), len(env)]),
    ]
