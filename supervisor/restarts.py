# SPDX-License-Identifier: Apache-2.0
"""Restart policies: what ended is started again, later each time, unless its end was asked for.

All that it takes to go on is in the record (`settings`), written before anything is done: `restart`
(policy and maximum), `restarts` (how many in a row), `ended` (by whoever sent a signal that ends).
"""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shim.ttrpc import RpcError
from spec.errors import OrlopError
from supervisor.backoff import Backoff
from supervisor.failure import Failure

if TYPE_CHECKING:
    from supervisor.container import Container
    from supervisor.records import Record
    from supervisor.store import Store

#: Signals by which somebody wants an end. Others are the program's own affair.
ENDING = {signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM}


class Restarts:
    """Those of all containers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        of = store.configuration
        self._usual = of.text("restart.policy")
        self._backoff = Backoff(
            of.seconds("restart.delay"), of.seconds("restart.longest"), of.seconds("restart.reset")
        )
        self._waiting: set[int] = set()

    def policy(self, record: Record) -> dict[str, Any]:
        """A container's, as `container.inspect` shows it. maximum 0: none."""
        chosen = record.settings.get("restart") or {"policy": self._usual}
        count = record.settings.get("restarts", 0)
        return {"policy": chosen["policy"], "maximum": chosen.get("maximum", 0), "count": count}

    def change(self, container: Container, policy: dict[str, Any]) -> None:
        """Another policy from now on; one that has ended and would go on by it does."""
        record = container.record
        record.settings = {**record.settings, "restart": policy, "restarts": 0}
        self._store.save(record, "update", restart=policy)
        self.has_ended(container)

    def hold(self, record: Record) -> None:
        """Somebody wants its end: it is not started again until somebody starts it."""
        if self.policy(record)["policy"] != "no" and not record.settings.get("ended"):
            self._keep(record, ended=True)

    def release(self, record: Record) -> None:
        """Somebody starts it: the count begins anew."""
        is_down = record.status in ("created", "stopped")
        if is_down and (record.settings.get("ended") or record.settings.get("restarts")):
            self._keep(record, ended=False, restarts=0)

    def has_ended(self, container: Container) -> None:
        """It has: start it again in a while, if that is its policy. May be told twice."""
        number = container.record.number
        if number not in self._waiting and self._is_wanted(container):
            self._waiting.add(number)
            self._store.watch(self._again(container))

    def _is_wanted(self, container: Container) -> bool:
        record = container.record
        if record.status != "stopped" or not record.started_at or record.settings.get("ended"):
            return False
        found = self.policy(record)
        if found["policy"] == "on-failure":
            is_left = not found["maximum"] or self._count(record) < found["maximum"]
            return record.exit_status != 0 and is_left
        return bool(found["policy"] == "always")

    def _count(self, record: Record) -> int:
        """The restarts in a row; a good run begins a new row."""
        if record.started_at and record.exited_at:
            began, ended = map(datetime.fromisoformat, (record.started_at, record.exited_at))
            if self._backoff.is_good((ended - began).total_seconds()):
                return 0
        return int(record.settings.get("restarts", 0))

    async def _again(self, container: Container) -> None:
        record = container.record
        try:
            while self._store.has(container) and self._is_wanted(container):
                count = self._count(record)
                await asyncio.sleep(self._backoff.delay(count))
                if not self._store.has(container) or not self._is_wanted(container):
                    return
                self._keep(record, "restart", restarts=count + 1)
                # its own task: an orlopd that ends waits for it
                if await self._store.spawn(self._start(container)):
                    return
        finally:
            self._waiting.discard(record.number)

    async def _start(self, container: Container) -> bool:
        try:
            await container.start()
        except Failure:
            return True  # somebody was faster, or removes it
        except (OrlopError, OSError, RpcError) as error:
            self._store.journal.warning("a restart failed", container=container.record.id,
                                        error=str(error))  # fmt: skip
            return False
        return True

    def _keep(self, record: Record, topic: str = "", **settings: object) -> None:
        record.settings = {**record.settings, **settings}
        data = {"count": settings["restarts"]} if topic else {}
        self._store.save(record, topic, **data)
