# SPDX-License-Identifier: Apache-2.0
"""`container.stats` and `container.ps`: what containers use, once or again and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from spec.errors import OrlopError
from supervisor import jsonrpc, usage
from supervisor.api.schemas import ARRAY, ID, OBJECT
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.method import Method

if TYPE_CHECKING:
    from supervisor.connection import Call, Connection
    from supervisor.container import Container
    from supervisor.method import Params
    from supervisor.store import Store

_ALIVE = ("created", "running", "paused")


class Usage:
    """Figures, as the host counts them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> list[Method]:
        """The table."""
        measured = {
            "id": {**ID, "description": "the container's id; all, where there is an interval"},
            "interval": {
                "type": "number",
                "minimum": 0.1,
                "maximum": 3600,
                "description": "seconds: answer `subscription`; notifications `stats` come",
            },
        }
        return [
            Method(
                "container.stats",
                "What it uses: CPU in nanoseconds, memory and I/O in bytes, processes",
                self.stats,
                measured,
                result=OBJECT,
            ),
            Method(
                "container.ps",
                "Its processes as the host sees them; CPU in nanoseconds, memory in bytes",
                self.ps,
                {"id": ID},
                ("id",),
                result=ARRAY,
            ),
        ]

    async def stats(self, call: Call, params: Params) -> object:
        """`container.stats`."""
        if "interval" in params:
            if "id" in params:
                self._store.get(params["id"])
            connection = call.connection
            number = connection.open_stream()
            work = self._stream(connection, number, params)
            call.afterwards.append(lambda: connection.begin_stream(number, work))
            return {"subscription": number}
        if "id" not in params:
            raise Failure(INVALID_PARAMS, "/id: is missing", pointer="/id")
        return await self._measure(self._store.get(params["id"]))

    async def _measure(self, container: Container) -> dict[str, object]:
        container.client(*_ALIVE)
        root, runtime_id = self._store.runtime_root, container.record.runtime_id
        return await asyncio.to_thread(usage.measure, root, runtime_id)

    async def _stream(self, connection: Connection, number: int, params: Params) -> None:
        """Until the client ends it, or the one container has gone."""
        while True:
            found = [c for c in self._store.all() if params.get("id") in (None, c.record.id)]
            if not found and "id" in params:
                await connection.send(
                    jsonrpc.notification("stats", {"subscription": number, "end": True})
                )
                return
            for container in found:
                try:
                    figures = await self._measure(container)
                except (Failure, OrlopError, OSError):
                    continue  # it has ended, or ends now
                said = {"subscription": number, "container": container.record.id, **figures}
                await connection.send(jsonrpc.notification("stats", said))
            await asyncio.sleep(params["interval"])

    async def ps(self, _call: Call, params: Params) -> object:
        """`container.ps`."""
        client = self._store.get(params["id"]).client(*_ALIVE)
        answer = await client.call("Pids")
        pids = [int(process["pid"]) for process in answer["processes"]]
        return await asyncio.to_thread(usage.processes, pids)
