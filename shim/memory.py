# SPDX-License-Identifier: Apache-2.0
"""The memory that shims have in common with what they are forks of, and with one another."""

from __future__ import annotations

import gc

from native import shared_heap


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
