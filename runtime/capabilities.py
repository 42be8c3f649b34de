# SPDX-License-Identifier: Apache-2.0
"""`process.capabilities`: names to sets (capabilities(7))."""

from __future__ import annotations

from spec.capabilities import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = tuple(CAPABILITIES)
#: Every capability that has a name.
ALL = (1 << len(NAMES)) - 1


def mask(names: Iterable[str], last: int) -> int:
    """The set as the kernel writes it; names that it doesn't know are left out, as runc does."""
    bits = 0
    for name in names:
        number = CAPABILITIES.get(name)
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
