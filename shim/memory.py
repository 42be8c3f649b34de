# SPDX-License-Identifier: Apache-2.0
"""The memory that shims have in common with what they are forks of, and with one another."""

from __future__ import annotations

import gc
import marshal
import os

from native import shared_heap

_TELLERS = 3  # the first shims, whose pages are those of all that follow
_MOST = 4096  # pages: what is told fits into a pipe


def share() -> None:
    """From now on forks share what is here, but for what they have changed."""
    gc.collect()
    gc.freeze()  # the collector of cycles would write to all of it
    try:
        shared_heap.share()
    except OSError:
        pass  # then they keep a copy of whatever they have written to


def give_back() -> None:
    """Share again what was written to and is as it was."""
    try:
        shared_heap.give_back()
    except OSError:
        pass  # it stays a copy


class Copies:
    """The pages of which shims come to have copies of their own, as the first of them tell.

    A shim that waits for its request has them copied at once, rather than one by one when somebody
    waits for it.
    """

    def __init__(self) -> None:
        self._pages: list[int] = []
        self._told = 0

    @property
    def are_known(self) -> bool:
        """Whether shims need not tell any more."""
        return self._told >= _TELLERS

    def add(self, told: bytes) -> None:
        """What a shim has told; one that was killed meanwhile has told nothing."""
        try:
            pages = marshal.loads(told)  # noqa: S302 - a fork of ours
        except (EOFError, ValueError):
            return
        self._pages = sorted({*self._pages, *pages})
        self._told += 1

    def make(self) -> None:
        """Copy them."""
        try:
            shared_heap.copy(self._pages)
        except OSError:
            pass  # one by one, then


def tell_copies(pipe: int) -> None:
    """Write which pages we have copied."""
    try:
        os.write(pipe, marshal.dumps(shared_heap.copied(_MOST)))
    except OSError:
        pass  # nobody wants to know any more
