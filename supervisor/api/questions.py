# SPDX-License-Identifier: Apache-2.0
"""`container.*`: what is known of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor import health
from supervisor.api import views
from supervisor.api.schemas import ARRAY, ID, LABELS, OBJECT, TEXT
from supervisor.method import Method

if TYPE_CHECKING:
    from supervisor.connection import Call
    from supervisor.method import Params, Schema
    from supervisor.store import Store


class Questions:
    """Nothing here changes anything."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> list[Method]:
        """The table."""
        one, needed = {"id": ID}, ("id",)
        listed: dict[str, Schema] = {
            "status": {"enum": views.STATUSES},
            "labels": LABELS,
            "after": {**TEXT, "description": "the last id of the page before"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
        }
        return [
            Method(
                "container.state", "The standard's state", self.state, one, needed, result=OBJECT
            ),
            Method(
                "container.inspect",
                "All that is known of it",
                self.inspect,
                one,
                needed,
                result=OBJECT,
            ),
            Method(
                "container.list",
                "Containers, the oldest first",
                self.list,
                listed,
                result=ARRAY,
            ),
        ]

    async def state(self, _call: Call, params: Params) -> object:
        """`container.state`."""
        return views.state(self._store.get(params["id"]))

    async def inspect(self, _call: Call, params: Params) -> object:
        """`container.inspect`."""
        container = self._store.get(params["id"])
        record = container.record
        return {
            **views.state(container),
            "labels": record.labels,
            "createdAt": record.created_at,
            "startedAt": record.started_at,
            "exitedAt": record.exited_at,
            "exitStatus": record.exit_status,
            "log": self._store.log_path(record),
            "terminal": bool(record.settings.get("terminal")),
            "stdin": bool(record.settings.get("stdin")),
            "execs": container.processes.running(),
            "restart": self._store.restarts.policy(record),
            "health": health.figures(record.settings),
        }

    async def list(self, _call: Call, params: Params) -> object:
        """`container.list`."""
        found = self._store.all()
        if "after" in params:
            last = self._store.get(params["after"]).record.number
            found = [c for c in found if c.record.number > last]
        labels = params.get("labels", {}).items()
        wanted = params.get("status")
        found = [
            c
            for c in found
            if labels <= c.record.labels.items() and wanted in (None, views.status(c))
        ]
        return [views.state(c) for c in found[: params.get("limit", 1000)]]
