# SPDX-License-Identifier: Apache-2.0
"""The BPF prologue that answers ENOSYS to system calls newer than the profile.

C libraries try a new system call and fall back to an older one on ENOSYS, and only then.  A
profile written before the call existed would answer with its default action (EPERM, say, or a
kill), and the program would break: glibc with clone3(2), musl with faccessat2(2).  So numbers
above the highest that the profile names, judged for each architecture, get ENOSYS before the
filter proper sees them.  It is a guess (numbers are not strictly in order of age), and it is the
guess that runc makes: profiles are written with it in mind.

Classic BPF, see Documentation/networking/filter.rst of the kernel and seccomp(2).
"""

from __future__ import annotations

import errno
import sys

from native import seccomp as native

_LD_ABS = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JA = 0x05  # BPF_JMP | BPF_JA
_JEQ = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JGT = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_JSET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RET = 0x06  # BPF_RET | BPF_K

# struct seccomp_data, <linux/seccomp.h>.
_OFFSET_NR = 0
_OFFSET_ARCH = 4

# x32 calls arrive as AUDIT_ARCH_X86_64 with this bit in the number; <asm/unistd.h>.
_X32_SYSCALL_BIT = 0x40000000

# On s390 and s390x a number that the kernel doesn't know arrives as 0, the long dead setup(2).
_S390_UNKNOWN = 0


def _instruction(code: int, jump_true: int, jump_false: int, k: int) -> bytes:
    """Encode one struct sock_filter in native byte order."""
    head = code.to_bytes(2, sys.byteorder)
    return head + bytes((jump_true, jump_false)) + k.to_bytes(4, sys.byteorder)


_LOAD_NR = _instruction(_LD_ABS, 0, 0, _OFFSET_NR)
_LOAD_ARCH = _instruction(_LD_ABS, 0, 0, _OFFSET_ARCH)
_RETURN_ENOSYS = _instruction(_RET, 0, 0, native.SECCOMP_RET_ERRNO | errno.ENOSYS)


def prologue(newest: dict[int, int]) -> bytes:
    """Return the instructions to put before a filter, b"" if there is nothing to say.

    `newest` maps an architecture's token (SCMP_ARCH_*) to the highest system call number that the
    profile names on it; an architecture where it names none is left out.
    """
    # libseccomp's tokens are the kernel's AUDIT_ARCH_* values, except for x32's.
    limits = {token: limit for token, limit in newest.items() if token != native.SCMP_ARCH_X32}
    blocks = [(token, _block(token, limit)) for token, limit in limits.items()]
    x32 = newest.get(native.SCMP_ARCH_X32)
    if x32 is not None:
        native_limit = limits.get(native.SCMP_ARCH_X86_64)
        blocks = [pair for pair in blocks if pair[0] != native.SCMP_ARCH_X86_64]
        blocks.append((native.SCMP_ARCH_X86_64, _block_x86(native_limit, x32)))
    return _dispatch(blocks) if blocks else b""


def _block(token: int, limit: int) -> list[bytes]:
    """Return the instructions for one architecture; leaving at their end means no verdict."""
    if token == native.SCMP_ARCH_X86_64:
        return _block_x86(limit, None)
    block = [_LOAD_NR]
    if token in (native.SCMP_ARCH_S390, native.SCMP_ARCH_S390X):
        block += [_instruction(_JEQ, 1, 0, _S390_UNKNOWN)]  # to the return
    return [*block, _instruction(_JGT, 0, 1, limit), _RETURN_ENOSYS]


def _block_x86(limit: int | None, x32_limit: int | None) -> list[bytes]:
    """Return the block of AUDIT_ARCH_X86_64, which two architectures share.

    An architecture without a limit is left to the filter, which refuses x32 if it isn't listed.
    """
    x32 = [] if x32_limit is None else [_instruction(_JGT, 0, 1, x32_limit), _RETURN_ENOSYS]
    if limit is None:
        return [_LOAD_NR, _instruction(_JSET, 0, len(x32), _X32_SYSCALL_BIT), *x32]
    after = [_instruction(_JA, 0, 0, len(x32))] if x32 else []
    plain = [_instruction(_JGT, 0, 1, limit), _RETURN_ENOSYS, *after]
    return [_LOAD_NR, _instruction(_JSET, len(plain), 0, _X32_SYSCALL_BIT), *plain, *x32]


def _dispatch(blocks: list[tuple[int, list[bytes]]]) -> bytes:
    """Join the blocks: each is skipped for other architectures, and leads to the filter."""
    program: list[bytes] = []
    for token, block in reversed(blocks):
        # A block is short: an offset of 8 bits is enough to skip it, and "ja" has 32.
        leave = [_instruction(_JA, 0, 0, len(program))] if program else []
        skip = _instruction(_JEQ, 0, len(block) + len(leave), token)
        program = [skip, *block, *leave, *program]
    return b"".join([_LOAD_ARCH, *program])
