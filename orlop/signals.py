# SPDX-License-Identifier: Apache-2.0
"""Signals as something to wait for with other things: a descriptor (signal.set_wakeup_fd)."""

from __future__ import annotations

import _signal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self


class Signals:
    """Meanwhile these signals do nothing but make `fileno` readable. Of the main thread only."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = list(numbers)
        self._before: dict[int, Any] = {}
        self._reader = self._writer = self._wakeup = -1

    def __enter__(self) -> Self:
        """Begin."""
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup = _signal.set_wakeup_fd(self._writer)
        for number in self._numbers:
            self._before[number] = _signal.signal(number, _nothing)
        return self

    def __exit__(self, *_: object) -> None:
        """All as it was."""
        for number, handler in self._before.items():
            _signal.signal(number, handler)
        _signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """Readable when there is a signal."""
        return self._reader

    def take(self) -> list[int]:
        """The signals that came."""
        try:
            return [*os.read(self._reader, 512)]
        except BlockingIOError:
            return []


def _nothing(_number: int, _frame: object) -> None:
    """It has made the descriptor readable."""
