# SPDX-License-Identifier: Apache-2.0
"""The arithmetic from the standard's values, which are cgroup v1's, to those of cgroup v2."""

from __future__ import annotations

import math

UNLIMITED = -1


def cpu_weight(shares: int) -> int:
    """Return cpu.weight, 1 to 10000, of cpu.shares, 2 to 262144; 0, which means unset, stays 0.

    A quadratic in the exponent that maps smallest, default (1024 to 100) and largest to their
    likes: what runc 1.3.2 and crun 1.23 and later do. (The linear formula of before made 39 of
    the default.)
    """
    if shares <= 0:
        return 0
    if shares <= 2:  # noqa: PLR2004 - the smallest that v1 has
        return 1
    if shares >= 1 << 18:
        return 10000
    exponent = math.log2(shares)
    return math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """Return io.weight, 1 to 10000, of blkio.weight, 10 to 1000; 0, which means unset, stays 0."""
    return 1 + (weight - 10) * 9999 // 990 if weight > 0 else 0


def swap_max(swap: int, memory: int) -> int | None:
    """Return memory.swap.max (bytes, -1 for no limit) of `swap`, which is memory plus swap.

    memory: the memory limit, 0 when unset. None: leave it. Unlimited memory means unlimited swap
    unless `swap` says otherwise, as on v1. Raises ValueError when the pair makes no sense.
    """
    if swap == 0:
        return UNLIMITED if memory == UNLIMITED else None
    if UNLIMITED in (swap, memory):
        return swap
    if memory == 0:
        raise ValueError("a swap limit needs a memory limit")
    if swap < memory:
        raise ValueError(f"memory plus swap ({swap}) is less than the memory limit ({memory})")
    return swap - memory
