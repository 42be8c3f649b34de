# SPDX-License-Identifier: Apache-2.0
"""A second opinion on device programs: an interpreter of eBPF, and a plain reading of the rules.

The interpreter knows the instructions that such a program needs, by the instruction set's own
documentation (Documentation/bpf/standardization/instruction-set.rst), and checks what the kernel's
verifier does: jumps go forward and stay inside, registers are written before they are read, every
path ends in an exit. The reading never builds a program.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spec.types import LinuxDeviceCgroup

BLOCK, CHAR = 1, 2  # BPF_DEVCG_DEV_*
MKNOD, READ, WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
_LETTERS = {"m": MKNOD, "r": READ, "w": WRITE}
_MASK = 0xFFFFFFFF

_LDX_MEM_W = 0x61
_ALU, _JMP, _JMP32, _LDX = 0x04, 0x05, 0x06, 0x01
_REGISTER = 0x08
_EXIT, _ALWAYS = 0x90, 0x00


class Program:
    """A program, decoded."""

    def __init__(self, code: bytes) -> None:
        self.instructions = []
        for opcode, registers, offset, value in struct.iter_unpack("=BBhi", code):
            self.instructions.append((opcode, registers & 15, registers >> 4, offset, value))

    def run(self, kind: int, access: int, major: int, minor: int) -> int:
        """The value returned for this struct bpf_cgroup_dev_ctx."""
        context = struct.pack("=III", access << 16 | kind, major, minor)
        registers: dict[int, int] = {}
        at = 0
        while True:
            opcode, target, source, offset, value = self.instructions[at]
            at += 1
            kind_of = opcode & 7
            if opcode == _LDX_MEM_W:
                assert source == 1, "only the context can be read"
                (registers[target],) = struct.unpack_from("=I", context, offset)
            elif kind_of == _ALU:
                operand = registers[source] if opcode & _REGISTER else value & _MASK
                registers[target] = _alu(opcode & 0xF0, registers.get(target), operand)
            elif opcode == _JMP | _EXIT:
                return registers[0]
            else:
                assert offset >= 0, "a jump back"
                assert kind_of == _JMP32 or opcode == _JMP | _ALWAYS, hex(opcode)
                if kind_of == _JMP or _taken(opcode, registers[target], value & _MASK):
                    at += offset

    def verify(self) -> None:
        """Raise AssertionError unless every way through the program ends in an exit."""
        count = len(self.instructions)
        assert self.instructions[-1][0] == _JMP | _EXIT
        for at, (opcode, _, _, offset, _) in enumerate(self.instructions):
            if opcode & 7 in (_JMP, _JMP32) and opcode != _JMP | _EXIT:
                assert 0 <= offset < count - at - 1


def _alu(operation: int, before: int | None, operand: int) -> int:
    if operation == 0xB0:
        return operand & _MASK
    assert before is not None, "read before it is written"
    if operation == 0x50:
        return before & operand & _MASK
    assert operation == 0x70, hex(operation)
    return (before & _MASK) >> operand


def _taken(opcode: int, register: int, value: int) -> bool:
    assert not opcode & _REGISTER
    operation = opcode & 0xF0
    if operation == 0x50:
        return register & _MASK != value
    assert operation == 0x40, hex(operation)
    return register & value != 0


def allowed(
    rules: Sequence[LinuxDeviceCgroup], kind: int, access: int, major: int, minor: int
) -> bool:
    """Whether the rules allow it: for each right the last rule that is about it decides."""
    return all(
        _right(rules, kind, letter, major, minor)
        for letter, bit in _LETTERS.items()
        if access & bit
    )


def _right(
    rules: Sequence[LinuxDeviceCgroup], kind: int, letter: str, major: int, minor: int
) -> bool:
    verdict = False
    for rule in rules:
        if (
            rule.get("type", "a") in ("a", "b" if kind == BLOCK else "c")
            and rule.get("major", -1) in (-1, major)
            and rule.get("minor", -1) in (-1, minor)
            and letter in (rule.get("access") or "rwm")
        ):
            verdict = rule["allow"]
    return verdict
