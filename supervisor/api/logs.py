# SPDX-License-Identifier: Apache-2.0
"""`container.logs`: the output that was, and that comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from supervisor import jsonrpc, logs
from supervisor.api.schemas import FLAG, ID
from supervisor.method import Method

if TYPE_CHECKING:
    from supervisor.connection import Call
    from supervisor.container import Container
    from supervisor.logs import Entry
    from supervisor.method import Params
    from supervisor.store import Store


class Logs:
    """The one method."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> list[Method]:
        """The table."""
        wanted = {
            "id": ID,
            "tail": {
                "type": "integer",
                "minimum": 0,
                "maximum": logs.LINES,
                "description": "how many entries of the past at most",
            },
            "since": {
                "type": ["string", "number"],
                "description": "those from this time on: RFC 3339, or seconds since 1970",
            },
            "stream": {"enum": ["stdout", "stderr"]},
            "follow": {
                **FLAG,
                "description": "answer `subscription`; entries come as notifications `log`,"
                " until the container has ended",
            },
        }
        return [
            Method(
                "container.logs",
                "The last entries of its output: `log`, `stream`, `time`",
                self.logs,
                wanted,
                ("id",),
                result={"type": ["array", "object"]},
            )
        ]

    async def logs(self, call: Call, params: Params) -> object:
        """`container.logs`."""
        container = self._store.get(params["id"])
        path = self._store.log_path(container.record)
        lines = params.get("tail", logs.LINES)
        wanted = logs.Wanted(params.get("since", ""), params.get("stream", ""))
        if not params.get("follow"):
            return await asyncio.to_thread(logs.tail, path, lines, wanted)
        connection = call.connection
        number = connection.open_stream()

        async def notify(**said: object) -> None:
            note = jsonrpc.notification("log", {"subscription": number, **said})
            await connection.send(note)

        async def send() -> None:
            async def entries(found: list[Entry]) -> None:
                await notify(entries=found)

            await _until_drained(container, path, lines, wanted, entries)
            await notify(end=True)

        call.afterwards.append(lambda: connection.begin_stream(number, send()))
        return {"subscription": number}


async def _until_drained(
    container: Container, path: str, lines: int, wanted: logs.Wanted, send: logs.Send
) -> None:
    done = asyncio.ensure_future(container.drained())
    try:
        await logs.follow(path, lines, wanted, done, send)
    finally:
        done.cancel()
