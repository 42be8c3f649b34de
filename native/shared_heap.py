# SPDX-License-Identifier: Apache-2.0
"""A heap that forks share again where what they have written is what was there before.

What a fork writes to becomes its own, a page at a time, and stays so (fork(2)); half of it are
counts of references, which end as they began. native/host/shared_heap.c says how.
"""

from __future__ import annotations

from native._syscalls import lib
from native.syscalls import oserror


def share() -> int:
    """Share the heap with the forks to come; its size in bytes. Once in a process, before threads.

    Raises OSError: as ever then.
    """
    return _checked(lib.orlop_share_heap(), "share heap")


def give_back() -> int:
    """Let go of copies that are as they were; their bytes. 0 where the heap is not shared.

    And 0 where a thread may be at work, whose changes would be lost. Raises OSError.
    """
    return _checked(lib.orlop_give_back(), "give back")


def _checked(result: int, call: str) -> int:
    if result < 0:
        raise oserror(-result, call)
    return result
