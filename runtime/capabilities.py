# SPDX-License-Identifier: Apache-2.0
"""`process.capabilities`: names to sets (capabilities(7))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: In the kernel's order: the index is the number (include/uapi/linux/capability.h).
NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
SYS_ADMIN = 1 << NAMES.index("CAP_SYS_ADMIN")
_NUMBERS = {name: number for number, name in enumerate(NAMES)}


def mask(names: Iterable[str], last: int) -> int:
    """The set as the kernel writes it; names that it doesn't know are left out, as runc does."""
    bits = 0
    for name in names:
        number = _NUMBERS.get(name)
        if number is not None and number <= last:
            bits |= 1 << number
    return bits


def names(bits: int) -> list[str]:
    """The names in a set."""
    return [name for number, name in enumerate(NAMES) if bits >> number & 1]


def text(bits: int, last: int) -> str:
    """A set for people: `all`, `none`, or names without their prefix."""
    if bits == (1 << last + 1) - 1:
        return "all"
    return ",".join(name[4:].lower() for name in names(bits)) or "none"
