# SPDX-License-Identifier: Apache-2.0
"""Lists of processors or memory nodes such as `0-3,7` (cpuset(7), "List format"), as sets of bits.

spec.rules has checked their form.
"""

from __future__ import annotations

from _struct import pack

from spec.errors import InvalidSpec

#: More than a kernel can be built for: NR_CPUS is at most 8192, MAX_NUMNODES 1024.
LIMIT = 8192
_WORD = 64


def bits(text: str, pointer: str) -> bytes:
    """The set as an array of unsigned long, as sched_setaffinity(2) and set_mempolicy(2) take it.

    No longer than its highest member needs: the kernel refuses a set that has room for members
    it can't have, only if they are in it. Raises InvalidSpec with the list's pointer.
    """
    members = 0
    for part in text.split(",") if text else ():
        first, dash, last = part.strip().partition("-")
        low, high = _member(first, pointer), _member(last if dash else first, pointer)
        if low > high:  # 1 << low would have as many bits
            raise InvalidSpec(f"{low}-{high}: ends before it begins", pointer=pointer)
        members |= (1 << high + 1) - (1 << low)
    count = -(-members.bit_length() // _WORD)
    words = [members >> _WORD * index & (1 << _WORD) - 1 for index in range(count)]
    return pack(f"={count}Q", *words)


def _member(text: str, pointer: str) -> int:
    # Python's int() refuses thousands of digits with an error of its own.
    digits = text.strip().lstrip("0")
    if len(digits) > len(str(LIMIT)) or int(text) >= LIMIT:
        raise InvalidSpec(f"{digits[:20]} is too large: at most {LIMIT - 1}", pointer=pointer)
    return int(text)
