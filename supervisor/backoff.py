# SPDX-License-Identifier: Apache-2.0
"""How long to wait before something is started again."""

from __future__ import annotations

_MOST_DOUBLINGS = 64


class Backoff:
    """Doubling delays: seconds of the first, of the longest, of a good run that forgets them."""

    def __init__(self, first: float, longest: float, reset: float) -> None:
        self._first = first
        self._longest = longest
        self._reset = reset

    def delay(self, count: int) -> float:
        """The delay before start number `count` + 1 after the first."""
        return float(min(self._longest, self._first * 2 ** min(count, _MOST_DOUBLINGS)))

    def is_good(self, lasted: float) -> bool:
        """Whether a run that lasted so long makes a new beginning."""
        return lasted >= self._reset
