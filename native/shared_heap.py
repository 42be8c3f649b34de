# SPDX-License-Identifier: Apache-2.0
"""A heap that forks share again where what they have written is what was there before.

What a fork writes to becomes its own, a page at a time, and stays so (fork(2)); half of it are
counts of references, which end as they began. native/host/shared_heap.c says how.
"""

from __future__ import annotations

from native._syscalls import ffi, lib
from native.syscalls import oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


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


def copied(most: int) -> list[int]:
    """Addresses of pages that this process has its own copy of, `most` at most. Raises OSError."""
    pages = ffi.new("uint64_t[]", most)
    count = _checked(lib.orlop_copied_pages(pages, most), "copied pages")
    return list(pages[0:count])


def copy(pages: Sequence[int]) -> None:
    """Copy pages of a shared heap before they are written to; they are in ascending order.

    Raises OSError: Linux before 5.14.
    """
    _checked(lib.orlop_copy_pages(ffi.new("uint64_t[]", pages), len(pages)), "madvise")


def _checked(result: int, call: str) -> int:
    if result < 0:
        raise oserror(-result, call)
    return result
