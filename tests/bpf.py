# SPDX-License-Identifier: Apache-2.0
"""A second opinion on seccomp: an interpreter of BPF, and a plain reading of a profile.

The interpreter knows the classic BPF that seccomp(2) admits and checks what the kernel's verifier
checks, so a program that runs here would load there.  The reading never builds a program: it
answers for one call what config-linux.md and runc's rules say.
"""

from __future__ import annotations

import struct
from typing import Any

from native import seccomp as native

Profile = dict[str, Any]

ENOSYS = 0x00050026
KILL_THREAD = 0
X32_BIT = 0x40000000
_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF

ACTIONS = {  # SECCOMP_RET_*, <linux/seccomp.h>
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}

TOKENS = {  # AUDIT_ARCH_* of <linux/audit.h>; libseccomp's own for x32
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_MIPSEL": 0x40000008,
    "SCMP_ARCH_MIPSEL64": 0xC0000008,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
}
# Arguments are compared by their lower half; libseccomp counts x32 among these.
NARROW = ("SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPSEL")


def audit_arch(name: str) -> int:
    """What the kernel puts into struct seccomp_data for calls of this architecture."""
    return TOKENS["SCMP_ARCH_X86_64" if name == "SCMP_ARCH_X32" else name]


class Program:
    """A BPF program, decoded and verified."""

    def __init__(self, code: bytes) -> None:
        self.instructions = list(struct.iter_unpack("=HBBI", code))
        assert 0 < len(self.instructions) <= 4096
        for at, (op, jump_true, jump_false, k) in enumerate(self.instructions):
            left = len(self.instructions) - at - 1
            if op == 0x05:
                assert k < left, f"{at}: jump beyond the end"
            elif op in (0x15, 0x25, 0x35, 0x45):
                assert max(jump_true, jump_false) < left, f"{at}: jump beyond the end"
            elif op == 0x20:
                assert k % 4 == 0, f"{at}: load out of step"
                assert k < 64, f"{at}: load beyond struct seccomp_data"
            else:
                assert op in (0x06, 0x54), f"{at}: unexpected instruction {op:#x}"
        assert self.instructions[-1][0] == 0x06, "the last instruction doesn't return"

    def run(self, nr: int, arch: int, args: tuple[int, ...] = ()) -> int:
        """The verdict, SECCOMP_RET_*, on one call."""
        values = (*args, *(6 - len(args)) * (0,))
        data = struct.unpack("=16I", struct.pack("=IIQ6Q", nr, arch, 0, *values))
        accumulator = at = 0
        while True:
            op, jump_true, jump_false, k = self.instructions[at]
            at += 1
            if op == 0x06:
                return int(k)
            if op == 0x20:
                accumulator = data[k // 4]
            elif op == 0x54:
                accumulator &= k
            elif op == 0x05:
                at += k
            else:
                holds = {
                    0x15: accumulator == k,
                    0x25: accumulator > k,
                    0x35: accumulator >= k,
                    0x45: accumulator & k != 0,
                }[op]
                at += jump_true if holds else jump_false


def action(name: str, errno_ret: int | None) -> int:
    """An action with its errno."""
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return ACTIONS[name] | (1 if errno_ret is None else errno_ret)
    return ACTIONS[name]


def compare(arg: Profile, value: int, width: int) -> bool:
    """Whether one condition holds for an argument."""
    one, two = arg["value"] & width, arg.get("valueTwo", 0) & width
    value &= width
    held: bool = {
        "SCMP_CMP_NE": value != one,
        "SCMP_CMP_LT": value < one,
        "SCMP_CMP_LE": value <= one,
        "SCMP_CMP_EQ": value == one,
        "SCMP_CMP_GE": value >= one,
        "SCMP_CMP_GT": value > one,
        "SCMP_CMP_MASKED_EQ": value & one == two & one,  # as libseccomp has it
    }[arg["op"]]
    return held


def native_architecture() -> str:
    """The OCI name of the architecture that these tests run on."""
    return {token: name for name, token in TOKENS.items()}[native.arch_native()]


def read(profile: Profile, arch: str, nr: int, args: tuple[int, ...] = ()) -> int:
    """The verdict of a profile on a call, from its text alone."""
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    if arch not in (*profile.get("architectures", ()), native_architecture()):
        return KILL_THREAD
    numbers = {
        name: native.syscall_resolve_name_arch(TOKENS[arch], name)
        for entry in profile.get("syscalls", ())
        for name in entry["names"]
    }
    newest = max(numbers.values(), default=0)
    permissive = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
    if profile["defaultAction"] not in permissive and nr > newest > 0:
        return ENOSYS
    width = _MASK32 if arch in NARROW else _MASK64
    entries = [
        entry
        for entry in profile.get("syscalls", ())
        for name in entry["names"]
        if numbers[name] == nr and action(entry["action"], entry.get("errnoRet")) != default
    ]
    for entry in sorted(entries, key=lambda entry: len(entry.get("args", ())) > 0):
        verdicts = [compare(arg, args[arg["index"]], width) for arg in entry.get("args", ())]
        indices = {arg["index"] for arg in entry.get("args", ())}
        if (any if len(indices) < len(verdicts) else all)(verdicts):
            return action(entry["action"], entry.get("errnoRet"))
    return default
