# SPDX-License-Identifier: Apache-2.0
"""The eBPF program of `linux.resources.devices` on cgroup v2, which has no files for it.

The kernel runs a BPF_PROG_TYPE_CGROUP_DEVICE program at each mknod(2) and open(2) of a device
(cgroup-v2.rst, "Device controller"), with struct bpf_cgroup_dev_ctx (<linux/bpf.h>):

    u32 access_type;   BPF_DEVCG_ACC_* << 16 | BPF_DEVCG_DEV_*
    u32 major, minor;

and refuses the access (EPERM) when it returns 0. Several rights may be asked for at once, as by
open(O_RDWR): an access is allowed when each of them is. (runc's and crun's programs test the rights
as a whole, so that a denied right can be had together with another one.)
"""

from __future__ import annotations

import sys
from _struct import Struct

from runtime.cgroups.device_rules import ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.device_rules import DeviceAccess

_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
_MKNOD, _READ, _WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
_RIGHTS = ((1, _READ), (2, _WRITE), (4, _MKNOD))  # of device_rules, in the kernel's order

# Instructions of <linux/bpf.h>: class | operation | source, on 32-bit registers. JMP32 is of
# Linux 5.1. A jump's offset counts instructions from the next one.
_LOAD = 0x61  # LDX | MEM | W
_AND, _SHIFT_RIGHT, _SET, _COPY = 0x54, 0x74, 0xB4, 0xBC
_JUMP_UNLESS_EQUAL, _JUMP_IF_ANY_OF, _JUMP = 0x56, 0x46, 0x05
_EXIT = 0x95
_RESULT, _CONTEXT, _TYPE, _ACCESS, _MAJOR, _MINOR = range(6)

_INSTRUCTION = Struct("=BBhI")  # code, registers, offset, immediate value
_MASK = 0xFFFFFFFF


def compile_program(access: DeviceAccess) -> bytes:
    """Return the instructions (struct bpf_insn, in the machine's byte order)."""
    program = [
        _instruction(_LOAD, _TYPE, _CONTEXT, offset=0),
        _instruction(_COPY, _ACCESS, _TYPE),
        _instruction(_AND, _TYPE, value=0xFFFF),
        _instruction(_SHIFT_RIGHT, _ACCESS, value=16),
        _instruction(_LOAD, _MAJOR, _CONTEXT, offset=4),
        _instruction(_LOAD, _MINOR, _CONTEXT, offset=8),
    ]
    for device, bits in access.exceptions.items():
        program += _exception(device, bits, allow=not access.default_allow)
    program += _return(int(access.default_allow))
    return b"".join(program)


def _exception(device: tuple[str, int, int], bits: int, *, allow: bool) -> list[bytes]:
    """For a device that matches: take the rights allowed off those asked for, or deny some."""
    kind, major, minor = device
    rights = sum(theirs for ours, theirs in _RIGHTS if bits & ours)
    if allow:
        block = [
            _instruction(_AND, _ACCESS, value=~rights & _MASK),
            _instruction(_JUMP_UNLESS_EQUAL, _ACCESS, value=0, offset=2),
            *_return(1),
        ]
    else:
        block = [
            _instruction(_JUMP_IF_ANY_OF, _ACCESS, value=rights, offset=1),
            _instruction(_JUMP, offset=2),
            *_return(0),
        ]
    for register, number in ((_MINOR, minor), (_MAJOR, major), (_TYPE, _TYPES[kind])):
        if number != ANY:
            skip = _instruction(_JUMP_UNLESS_EQUAL, register, value=number, offset=len(block))
            block.insert(0, skip)
    return block


def _return(value: int) -> list[bytes]:
    return [_instruction(_SET, _RESULT, value=value), _instruction(_EXIT)]


def _instruction(
    code: int, target: int = 0, source: int = 0, *, value: int = 0, offset: int = 0
) -> bytes:
    """One struct bpf_insn: its registers are bit fields, whose order is the byte order."""
    little = sys.byteorder == "little"
    registers = target | source << 4 if little else target << 4 | source
    return _INSTRUCTION.pack(code, registers, offset, value)
