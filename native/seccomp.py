# SPDX-License-Identifier: Apache-2.0
"""libseccomp and seccomp(2) under their own names, raising OSError.

No policy here: what a profile means is `runtime.seccomp_compiler`'s to say.  Functions keep
libseccomp's names without the prefix `seccomp_`, and the order of its arguments.  Importing this
module loads libseccomp (ImportError where that, or the extension module, is missing).
"""

from __future__ import annotations

import errno
import os

from native._seccomp import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native._seccomp import CData

SCMP_CMP_NE = lib.SCMP_CMP_NE
SCMP_CMP_LT = lib.SCMP_CMP_LT
SCMP_CMP_LE = lib.SCMP_CMP_LE
SCMP_CMP_EQ = lib.SCMP_CMP_EQ
SCMP_CMP_GE = lib.SCMP_CMP_GE
SCMP_CMP_GT = lib.SCMP_CMP_GT
SCMP_CMP_MASKED_EQ = lib.SCMP_CMP_MASKED_EQ
SCMP_FLTATR_CTL_OPTIMIZE = lib.SCMP_FLTATR_CTL_OPTIMIZE
SCMP_ARCH_X32 = lib.SCMP_ARCH_X32
SCMP_ARCH_X86_64 = lib.SCMP_ARCH_X86_64
SCMP_ARCH_S390 = lib.SCMP_ARCH_S390
SCMP_ARCH_S390X = lib.SCMP_ARCH_S390X
SECCOMP_SET_MODE_FILTER = lib.SECCOMP_SET_MODE_FILTER
SECCOMP_GET_ACTION_AVAIL = lib.SECCOMP_GET_ACTION_AVAIL
SECCOMP_FILTER_FLAG_TSYNC = lib.SECCOMP_FILTER_FLAG_TSYNC
SECCOMP_FILTER_FLAG_LOG = lib.SECCOMP_FILTER_FLAG_LOG
SECCOMP_FILTER_FLAG_SPEC_ALLOW = lib.SECCOMP_FILTER_FLAG_SPEC_ALLOW
SECCOMP_FILTER_FLAG_NEW_LISTENER = lib.SECCOMP_FILTER_FLAG_NEW_LISTENER
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = lib.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
# The kernel's and libseccomp's encodings of an action are the same number.
SECCOMP_RET_KILL_PROCESS = lib.SECCOMP_RET_KILL_PROCESS
SECCOMP_RET_KILL_THREAD = lib.SECCOMP_RET_KILL_THREAD
SECCOMP_RET_TRAP = lib.SECCOMP_RET_TRAP
SECCOMP_RET_ERRNO = lib.SECCOMP_RET_ERRNO
SECCOMP_RET_USER_NOTIF = lib.SECCOMP_RET_USER_NOTIF
SECCOMP_RET_TRACE = lib.SECCOMP_RET_TRACE
SECCOMP_RET_LOG = lib.SECCOMP_RET_LOG
SECCOMP_RET_ALLOW = lib.SECCOMP_RET_ALLOW

# __NR_SCMP_ERROR of <seccomp.h>: a name that libseccomp doesn't know.
NR_SCMP_ERROR = -1
# sizeof(struct sock_filter), <linux/filter.h>.
SOCK_FILTER_SIZE = 8


def _check(result: int, call: str) -> None:
    """Turn libseccomp's negative errno into OSError: the one place where that happens."""
    if result < 0:
        raise OSError(-result, f"{call}: {os.strerror(-result)}")


def version() -> tuple[int, int, int]:
    """Return the version of the libseccomp that is loaded; seccomp_version(3)."""
    found = lib.seccomp_version()
    return found.major, found.minor, found.micro


def library_path() -> str:
    """Return the path of the object that holds libseccomp's code, or "" if unknown; dladdr(3)."""
    path = lib.library_path()
    return os.fsdecode(ffi.string(path)) if path else ""


def api_get() -> int:
    """Return what library and running kernel can do together, as a level; seccomp_api_get(3)."""
    return lib.seccomp_api_get()


def arch_native() -> int:
    """Return the token of the architecture that libseccomp was built for."""
    return lib.seccomp_arch_native()


def arch_resolve_name(arch_name: str) -> int:
    """Return the token for a libseccomp name such as "x86_64", 0 if unknown."""
    return lib.seccomp_arch_resolve_name(os.fsencode(arch_name))


def syscall_resolve_name(name: str) -> int:
    """Return the native number, a negative pseudo number, or NR_SCMP_ERROR."""
    return lib.seccomp_syscall_resolve_name(os.fsencode(name))


def syscall_resolve_name_arch(arch_token: int, name: str) -> int:
    """Return the number on an architecture, a negative pseudo number, or NR_SCMP_ERROR."""
    return lib.seccomp_syscall_resolve_name_arch(arch_token, os.fsencode(name))


def syscall_resolve_num_arch(arch_token: int, num: int) -> str | None:
    """Return the name of a number on an architecture, None if there is none."""
    name = lib.seccomp_syscall_resolve_num_arch(arch_token, num)
    if not name:
        return None
    try:
        return os.fsdecode(ffi.string(name))
    finally:
        lib.free(name)


def init(def_action: int) -> CData:
    """Return a new filter context with the native architecture; freed with its last reference.

    Raises OSError(EINVAL), all that seccomp_init(3) lets one know, for an action that is not
    valid or that the kernel doesn't have.
    """
    ctx = lib.seccomp_init(def_action)
    if not ctx:
        raise OSError(errno.EINVAL, f"seccomp_init: {os.strerror(errno.EINVAL)}")
    return ffi.gc(ctx, lib.seccomp_release)


def arch_add(ctx: CData, arch_token: int) -> None:
    """Add an architecture; OSError(EEXIST) if there, OSError(EDOM) for the other byte order."""
    _check(lib.seccomp_arch_add(ctx, arch_token), "seccomp_arch_add")


def attr_set(ctx: CData, attr: int, value: int) -> None:
    """Set one of the SCMP_FLTATR_* attributes; seccomp_attr_set(3)."""
    _check(lib.attr_set(ctx, attr, value), "seccomp_attr_set")


def rule_add_array(
    ctx: CData, action: int, syscall: int, args: list[tuple[int, int, int, int]]
) -> None:
    """Add a rule: `action` if every comparison holds; seccomp_rule_add_array(3).

    `args` are struct scmp_arg_cmp: (index, SCMP_CMP_*, datum_a, datum_b).
    Raises OSError: EINVAL, EEXIST (clashes with an earlier rule), ENOMEM.
    """
    array = ffi.new("struct scmp_arg_cmp[]", args) if args else ffi.NULL
    _check(
        lib.seccomp_rule_add_array(ctx, action, syscall, len(args), array),
        "seccomp_rule_add_array",
    )


def export_bpf(ctx: CData, fd: int) -> None:
    """Write the filter as an array of struct sock_filter to `fd`; seccomp_export_bpf(3)."""
    _check(lib.seccomp_export_bpf(ctx, fd), "seccomp_export_bpf")


def set_mode_filter(flags: int, program: bytes | None) -> int:
    """Load a BPF program into the calling thread: seccomp(2), SECCOMP_SET_MODE_FILTER.

    `program` is an array of struct sock_filter; None passes a null pointer, which a kernel that
    knows `flags` answers with EFAULT and any other with EINVAL.  Returns the listener's file
    descriptor under SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0.
    """
    if program is None:
        return _seccomp(SECCOMP_SET_MODE_FILTER, flags, ffi.NULL)
    code = ffi.from_buffer("char[]", program)  # keeps the bytes alive during the call
    fprog = ffi.new(
        "struct sock_fprog *",
        (len(program) // SOCK_FILTER_SIZE, ffi.cast("struct sock_filter *", code)),
    )
    return _seccomp(SECCOMP_SET_MODE_FILTER, flags, fprog)


def get_action_avail(action: int) -> None:
    """Ask the kernel (4.14) for an action: seccomp(2); OSError(EOPNOTSUPP) if it isn't there."""
    _seccomp(SECCOMP_GET_ACTION_AVAIL, 0, ffi.new("uint32_t *", action))


def _seccomp(op: int, flags: int, args: CData) -> int:
    result = lib.seccomp_syscall(op, flags, args)
    if result < 0:
        number = ffi.errno
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    return result
