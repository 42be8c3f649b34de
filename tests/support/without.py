# SPDX-License-Identifier: Apache-2.0
"""Run a command under a seccomp filter that hides system calls, as an outer container would.

`python without.py NAME=ERRNO [NAME=ERRNO ...] -- COMMAND ...`: each named call fails with its
number, in the command and in all that it starts (seccomp(2)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

#: x86-64 (arch/x86/entry/syscalls/syscall_64.tbl of the kernel)
NUMBERS = {
    "memfd_create": 319,
    "bpf": 321,
    "execveat": 322,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
    "keyctl": 250,
}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SET_SECCOMP, _FILTER, _NO_NEW_PRIVS = 22, 2, 38


def program(hidden: dict[str, int]) -> bytes:
    """A classic BPF program: ERRNO for these numbers, ALLOW for all others."""
    code = struct.pack("=HBBI", _LOAD, 0, 0, 0)
    for name, number in hidden.items():
        code += struct.pack("=HBBI", _EQUAL, 0, 1, NUMBERS[name])
        code += struct.pack("=HBBI", _RETURN, 0, 0, _ERRNO | number)
    return code + struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)


def install(hidden: dict[str, int]) -> None:
    """Load the filter into this process, for good. As root, so that it needs no no_new_privs."""
    code = program(hidden)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    argument = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(argument), 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """Install and become the command."""
    split = sys.argv.index("--")
    pairs = (word.split("=") for word in sys.argv[1:split])
    install({name: getattr(errno, number) for name, number in pairs})
    command = sys.argv[split + 1 :]
    os.execv(command[0], command)  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    main()
