# SPDX-License-Identifier: Apache-2.0
"""From an OCI seccomp profile to BPF, by way of libseccomp.

The slow half of `runtime.seccomp`, imported only when no cached filter fits.  Where the standard
(runtime-spec 1.3.0, config-linux.md, "Seccomp") is silent it does as runc does, because profiles
have been written against runc:

- the native architecture is always in the filter;
- names that libseccomp doesn't know are skipped, as profiles list calls of future kernels;
- rules whose action is the default action are skipped, for libseccomp refuses them;
- an entry with two conditions on one argument matches if *any* of its conditions holds, an entry
  without such a pair if *all* do;
- calls newer than the profile get ENOSYS (`runtime.seccomp_enosys`).

Rules for the same call come together by libseccomp's rules: one without conditions wins over any
with; two with the same conditions and different actions are an error.  It merges a call's rules
into one tree, and (2.5.4, found by interpreting its programs) misjudges some calls, either way,
where rules with inequalities or masks overlap on an argument: "allow a0 != 1 and a1 == 7" and
"allow a0 == 0" together let a0 = 2, a1 = 0 pass.  One rule, or equalities only, are safe.
"""

from __future__ import annotations

import errno
import os

from native import seccomp as native
from runtime import seccomp_enosys
from spec.errors import InvalidSpec, OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from native._seccomp import CData
    from spec.types import Seccomp, SeccompArg, SeccompSyscall

    Condition = tuple[int, int, int, int]

ROOT = "/linux/seccomp"

ACTIONS = {
    "SCMP_ACT_ALLOW": native.SECCOMP_RET_ALLOW,
    "SCMP_ACT_ERRNO": native.SECCOMP_RET_ERRNO,
    "SCMP_ACT_KILL": native.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": native.SECCOMP_RET_KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": native.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_LOG": native.SECCOMP_RET_LOG,
    "SCMP_ACT_NOTIFY": native.SECCOMP_RET_USER_NOTIF,
    "SCMP_ACT_TRACE": native.SECCOMP_RET_TRACE,
    "SCMP_ACT_TRAP": native.SECCOMP_RET_TRAP,
}

# Actions that carry an errno, and the highest: libseccomp stops below the kernel's MAX_ERRNO, and
# a tracer gets all of SECCOMP_RET_DATA.  The standard wants `errnoRet` refused with any other.
_HIGHEST_ERRNO = {"SCMP_ACT_ERRNO": 4094, "SCMP_ACT_TRACE": 0xFFFF}

# Default actions under which a new system call works, or is a tracer's business: no ENOSYS.
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE")

OPERATORS = {
    "SCMP_CMP_EQ": native.SCMP_CMP_EQ,
    "SCMP_CMP_GE": native.SCMP_CMP_GE,
    "SCMP_CMP_GT": native.SCMP_CMP_GT,
    "SCMP_CMP_LE": native.SCMP_CMP_LE,
    "SCMP_CMP_LT": native.SCMP_CMP_LT,
    "SCMP_CMP_MASKED_EQ": native.SCMP_CMP_MASKED_EQ,
    "SCMP_CMP_NE": native.SCMP_CMP_NE,
}

# The standard's architectures; libseccomp's names are the same in lower case.
ARCHITECTURES = (
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
)

TSYNC = "SECCOMP_FILTER_FLAG_TSYNC"
SPEC_ALLOW = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
WAIT_KILLABLE_RECV = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"

FLAGS = {
    "SECCOMP_FILTER_FLAG_LOG": native.SECCOMP_FILTER_FLAG_LOG,
    SPEC_ALLOW: native.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    TSYNC: native.SECCOMP_FILTER_FLAG_TSYNC,
    # The kernel refuses it without a listener.
    WAIT_KILLABLE_RECV: (
        native.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | native.SECCOMP_FILTER_FLAG_NEW_LISTENER
    ),
}

_MAX_ARGUMENTS = 6
_MAX_UINT64 = (1 << 64) - 1
# BPF_MAXINSNS, <linux/bpf_common.h>.
_MAX_INSTRUCTIONS = 4096
# From here on libseccomp searches for the number in a binary tree; what runc has found to pay.
_MANY_RULES = 32
_OPTIMIZE_BINARY_TREE = 2


class _Rule:
    """One entry of `syscalls`, checked: its names, action and conditions."""

    __slots__ = ("action", "conditions", "names", "pointer")

    def __init__(
        self, names: Sequence[str], action: int, conditions: list[Condition], pointer: str
    ) -> None:
        self.names = names
        self.action = action
        self.conditions = conditions
        self.pointer = pointer

    def alternatives(self) -> list[list[Condition]]:
        """Return the lists of conditions, any of which in full makes the entry match."""
        indices = {condition[0] for condition in self.conditions}
        if len(indices) == len(self.conditions):
            return [self.conditions]
        return [[condition] for condition in self.conditions]


def compile_profile(profile: Seccomp) -> tuple[bytes, int, tuple[str, ...]]:
    """Return the BPF program, SECCOMP_FILTER_FLAG_* and the skipped, because unknown, names.

    Raises InvalidSpec for a profile that no kernel could run, OrlopError for one that this
    kernel or this libseccomp can't.
    """
    default = _action(profile, "defaultAction", "defaultErrnoRet", ROOT)
    rules = [
        _rule(entry, f"{ROOT}/syscalls/{index}")
        for index, entry in enumerate(profile.get("syscalls") or ())
    ]
    flags = _flags(profile, rules, default)
    architectures = _architectures(profile.get("architectures") or ())
    program, unknown = _build(default, architectures, rules)
    if not _silent_about_new_calls(profile, default):
        program = seccomp_enosys.prologue(_newest(architectures, rules)) + program
    if len(program) > _MAX_INSTRUCTIONS * native.SOCK_FILTER_SIZE:
        count = len(program) // native.SOCK_FILTER_SIZE
        message = f"{count} instructions are more than the kernel's {_MAX_INSTRUCTIONS}"
        raise InvalidSpec(message, pointer=ROOT)
    return program, flags, unknown


def _silent_about_new_calls(profile: Seccomp, default: int) -> bool:
    """Tell whether ENOSYS for calls newer than the profile would be wrong, or nothing new."""
    enosys = native.SECCOMP_RET_ERRNO | errno.ENOSYS
    return profile["defaultAction"] in _PERMISSIVE or default == enosys


def _action(owner: Seccomp | SeccompSyscall, key: str, errno_key: str, pointer: str) -> int:
    """Return the SECCOMP_RET_* value, errno included, of a profile's or an entry's action."""
    name = owner.get(key)
    if not isinstance(name, str) or name not in ACTIONS:
        message = f"{name!r} is not a seccomp action" if name else "an action is required"
        raise InvalidSpec(message, pointer=f"{pointer}/{key}", hint=_choice(ACTIONS))
    action = ACTIONS[name]
    number = owner.get(errno_key)
    if name not in _HIGHEST_ERRNO:
        if number is not None:
            message = f"{name} doesn't return an errno"
            raise InvalidSpec(message, pointer=f"{pointer}/{errno_key}")
        return _available(name, action, f"{pointer}/{key}")
    if number is None:
        number = errno.EPERM
    highest = _HIGHEST_ERRNO[name]
    if not isinstance(number, int) or not 0 <= number <= highest:
        message = f"{number!r} is not a number from 0 to {highest}"
        raise InvalidSpec(message, pointer=f"{pointer}/{errno_key}")
    return _available(name, action, f"{pointer}/{key}") | number


def _available(name: str, action: int, pointer: str) -> int:
    """Return the action if the kernel has it; libseccomp would only say EINVAL later."""
    try:
        native.get_action_avail(action)
    except OSError as error:
        message = f"the kernel doesn't offer {name}: {os.strerror(error.errno or 0)}"
        raise OrlopError(message, pointer=pointer) from error
    return action


def _rule(entry: SeccompSyscall, pointer: str) -> _Rule:
    """Check one entry of `syscalls`."""
    action = _action(entry, "action", "errnoRet", pointer)
    names = entry.get("names") or ()
    for index, name in enumerate(names):
        if not name:
            raise InvalidSpec("a name can't be empty", pointer=f"{pointer}/names/{index}")
    conditions = [
        _condition(arg, f"{pointer}/args/{index}")
        for index, arg in enumerate(entry.get("args") or ())
    ]
    return _Rule(names, action, conditions, pointer)


def _condition(arg: SeccompArg, pointer: str) -> Condition:
    """Return one comparison as libseccomp takes it."""
    operator = arg.get("op")
    if operator not in OPERATORS:
        message = f"{operator!r} is not a seccomp operator"
        raise InvalidSpec(message, pointer=f"{pointer}/op", hint=_choice(OPERATORS))
    index = _number(arg, "index", _MAX_ARGUMENTS - 1, pointer)
    # SCMP_CMP_MASKED_EQ: `value` is the mask, `valueTwo` what the masked argument must equal.
    # The others ignore `valueTwo`.
    value = _number(arg, "value", _MAX_UINT64, pointer)
    value_two = _number(arg, "valueTwo", _MAX_UINT64, pointer, default=0)
    return index, OPERATORS[operator], value, value_two


def _number(arg: SeccompArg, key: str, limit: int, pointer: str, default: int | None = None) -> int:
    """Return a number of a comparison, checked against its range."""
    number = arg.get(key)
    if number is None:
        number = default
    if not isinstance(number, int) or not 0 <= number <= limit:
        message = f"{number!r} is not a number from 0 to {limit}"
        raise InvalidSpec(message, pointer=f"{pointer}/{key}")
    return number


def _flags(profile: Seccomp, rules: list[_Rule], default: int) -> int:
    """Return the flags for seccomp(2): the profile's, and a listener if a rule notifies."""
    actions = {default, *(rule.action for rule in rules if rule.names)}
    notify = native.SECCOMP_RET_USER_NOTIF in actions
    flags = native.SECCOMP_FILTER_FLAG_NEW_LISTENER if notify else 0
    names = profile.get("flags")
    if names is None:
        # As runc: without a word about flags the mitigation of speculative store bypass, which
        # the kernel (before 5.16) bound to seccomp, stays off.
        return flags | (FLAGS[SPEC_ALLOW] if flag_supported(SPEC_ALLOW) else 0)
    for index, name in enumerate(names):
        pointer = f"{ROOT}/flags/{index}"
        if name not in FLAGS:
            message = f"{name!r} is not a seccomp flag"
            raise InvalidSpec(message, pointer=pointer, hint=_choice(FLAGS))
        if not flag_supported(name):
            raise OrlopError(f"the kernel doesn't know {name}", pointer=pointer)
        if name == WAIT_KILLABLE_RECV and not notify:
            message = f"{name} needs a rule with SCMP_ACT_NOTIFY"
            raise InvalidSpec(message, pointer=pointer)
        # The program begins with one thread: nothing to synchronise. A second one of the init
        # must stay without the filter (native/init/deputy.c).
        flags |= 0 if name == TSYNC else FLAGS[name]
    return flags


def action_supported(name: str) -> bool:
    """Ask the kernel whether it has an action of `ACTIONS`: seccomp(2)."""
    try:
        native.get_action_avail(ACTIONS[name])
    except OSError:
        return False
    return True


def flag_supported(name: str) -> bool:
    """Ask the kernel whether it knows a flag of `FLAGS`: seccomp(2) with a null program."""
    try:
        native.set_mode_filter(FLAGS[name], None)
    except OSError as error:
        return error.errno == errno.EFAULT
    return False


def _architectures(names: Sequence[str]) -> list[int]:
    """Return the tokens of the filter's architectures, the native one first."""
    tokens = [native.arch_native()]
    for index, name in enumerate(names):
        pointer = f"{ROOT}/architectures/{index}"
        if name not in ARCHITECTURES:
            message = f"{name!r} is not a seccomp architecture"
            raise InvalidSpec(message, pointer=pointer, hint=_choice(ARCHITECTURES))
        token = arch_token(name)
        if not token:
            major, minor, micro = native.version()
            message = f"libseccomp {major}.{minor}.{micro} doesn't know {name}"
            raise OrlopError(message, pointer=pointer, hint="a newer libseccomp may")
        if token not in tokens:
            tokens.append(token)
    return tokens


def arch_token(name: str) -> int:
    """Return libseccomp's token for a name of `ARCHITECTURES`, 0 if it has none."""
    return native.arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower())


def _build(
    default: int, architectures: list[int], rules: list[_Rule]
) -> tuple[bytes, tuple[str, ...]]:
    """Return libseccomp's program for the rules, and the names that it doesn't know."""
    ctx = _context(default, architectures)
    unknown: dict[str, None] = {}
    added = 0
    for rule in rules:
        for name in rule.names:
            number = _syscall(name)
            if number == native.NR_SCMP_ERROR:
                unknown[name] = None
            elif rule.action != default:
                _add(ctx, rule, name, number)
                added += 1
    # With no rule at all libseccomp 2.5.4 builds a broken tree.
    if added > _MANY_RULES:
        native.attr_set(ctx, native.SCMP_FLTATR_CTL_OPTIMIZE, _OPTIMIZE_BINARY_TREE)
    return _export(ctx), tuple(unknown)


def _context(default: int, architectures: list[int]) -> CData:
    """Return libseccomp's context with the default action and the architectures."""
    ctx = native.init(default)
    for token in architectures[1:]:
        try:
            native.arch_add(ctx, token)
        except OSError as error:
            if error.errno != errno.EDOM:
                raise
            message = f"architecture {token:#x} has the other byte order than this machine"
            raise InvalidSpec(message, pointer=f"{ROOT}/architectures") from error
    return ctx


def _syscall(name: str) -> int:
    """Return the number of a call, a pseudo number if only other architectures have it."""
    # Also keeps "read\0", which JSON can spell, from being taken for "read".
    if not (name.isascii() and name.isidentifier()):
        return native.NR_SCMP_ERROR
    return native.syscall_resolve_name(name)


def _add(ctx: CData, rule: _Rule, name: str, number: int) -> None:
    """Add an entry's rules for one of its names."""
    for conditions in rule.alternatives():
        try:
            native.rule_add_array(ctx, rule.action, number, conditions)
        except OSError as error:
            hint = ""
            if error.errno == errno.EEXIST:
                hint = "another entry has the same conditions and a different action"
            message = f"libseccomp refuses the rule for {name}: {error.strerror}"
            raise InvalidSpec(message, pointer=rule.pointer, hint=hint) from error


def _export(ctx: CData) -> bytes:
    """Return the program; by a memfd, for seccomp_export_bpf_mem(3) is new in libseccomp 2.6."""
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        native.export_bpf(ctx, fd)
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _newest(architectures: list[int], rules: list[_Rule]) -> dict[int, int]:
    """Return for each architecture the highest number that the profile names on it.

    Skipped rules count: an author who lists a call knew of it.
    """
    names = {name for rule in rules for name in rule.names if name.isidentifier()}
    newest: dict[int, int] = {}
    for token in architectures:
        numbers = (native.syscall_resolve_name_arch(token, name) for name in names)
        highest = max(numbers, default=0)
        if highest > 0:
            newest[token] = highest
    return newest


def _choice(names: dict[str, int] | Sequence[str]) -> str:
    return "one of " + ", ".join(names)
