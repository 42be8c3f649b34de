# SPDX-License-Identifier: Apache-2.0
"""A step that failed, such as removing what a dead shim left, is tried again: later each time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shim.ttrpc import RpcError
from spec.errors import OrlopError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from supervisor.records import Record
    from supervisor.store import Store

_DELAY, _LONGEST = 1.0, 60.0  # seconds


class Retry:
    """Of one container, one at a time."""

    def __init__(self, store: Store, record: Record, step: Callable[[], Awaitable[None]]) -> None:
        """step: raises OrlopError, OSError, RpcError where it fails."""
        self._store = store
        self._record = record
        self._step = step
        self._is_on = False

    def begin(self, error: Exception) -> None:
        """It has failed: say so, and try it until it doesn't."""
        self.complain(error)
        if not self._is_on:
            self._is_on = True
            self._store.watch(self._go())

    def complain(self, error: Exception) -> None:
        """Say that something failed."""
        self._store.journal.error("a step failed", container=self._record.id, error=str(error))

    async def _go(self) -> None:
        delay = _DELAY
        while self._is_on:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST)
            try:
                await self._step()
            except (OrlopError, OSError, RpcError) as error:
                self.complain(error)
            else:
                self._is_on = False
