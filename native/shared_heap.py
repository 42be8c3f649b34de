# SPDX-License-Identifier: Apache-2.0
"""A heap that forks share again where what they have written is what was there before.

What a fork writes to becomes its own, a page at a time, and stays so (fork(2)); half of it are
counts of references, which end as they began. native/host/shared_heap.c says how.
"""

from __future__ import annotations

from array import array

from native._syscalls import ffi, lib
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


def copied(most: int) -> array[int]:
    """Addresses of pages that this process has its own copy of, `most` at most. Raises OSError."""
    pages = array("Q", bytes(8 * most))
    count = _checked(lib.orlop_copied_pages(ffi.from_buffer("uint64_t[]", pages), most), "copied")
    return pages[:count]


def copy(pages: array[int]) -> None:
    """Copy pages of a shared heap before they are written to. Raises OSError: Linux before 5.14."""
    if pages:
        content = ffi.from_buffer("uint64_t[]", pages)
        _checked(lib.orlop_copy_pages(content, len(pages)), "madvise")


def _checked(result: int, call: str) -> int:
    if result < 0:
        raise oserror(-result, call)
    return result
