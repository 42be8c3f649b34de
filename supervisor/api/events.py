# SPDX-License-Identifier: Apache-2.0
"""`events.*`: what happened, in its order, as notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor import jsonrpc
from supervisor.api.schemas import FLAG, ID, NUMBER, OBJECT, TEXT
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.method import Method

if TYPE_CHECKING:
    from supervisor.connection import Call
    from supervisor.method import Params, Schema
    from supervisor.records import Event
    from supervisor.store import Store

_LAST = (1 << 53) - 1  # what every JSON library keeps exactly (RFC 8259, section 6)
_BATCH = 100  # events read at a time


class Events:
    """Subscriptions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> list[Method]:
        """The table."""
        wanted: dict[str, Schema] = {
            "since": {
                **NUMBER,
                "maximum": _LAST,
                "description": "the last number seen; without it, only what comes",
            },
            "containers": {"type": "array", "items": ID},
            "topics": {"type": "array", "items": TEXT},
        }
        number = {"subscription": NUMBER}
        return [
            Method(
                "events.subscribe",
                "Events in their order, as notifications `event`",
                self.subscribe,
                wanted,
                result=OBJECT,
            ),
            Method(
                "events.unsubscribe",
                "No more of them",
                self.unsubscribe,
                number,
                ("subscription",),
                result=FLAG,
            ),
        ]

    async def subscribe(self, call: Call, params: Params) -> object:
        """`events.subscribe`."""
        last = self._store.records.last_event()
        if params.get("since", 0) > last:
            text = f"/since: the last event has number {last}; numbers above are of other records"
            raise Failure(INVALID_PARAMS, text, pointer="/since", last=last)
        number = call.connection.open_stream()
        stream = _Stream(self._store, call, number, params)
        stream.seen = params.get("since", last)
        call.afterwards.append(lambda: call.connection.begin_stream(number, stream.send()))
        return {"subscription": number, "last": last}

    async def unsubscribe(self, call: Call, params: Params) -> object:
        """`events.unsubscribe`."""
        return call.connection.close_stream(params["subscription"])


class _Stream:
    """A subscription: it reads the records at its client's pace, and keeps nothing itself."""

    def __init__(self, store: Store, call: Call, number: int, params: Params) -> None:
        self._store = store
        self._connection = call.connection
        self._number = number
        self._containers = set(params.get("containers", ()))
        self._topics = set(params.get("topics", ()))
        self.seen = 0

    async def send(self) -> None:
        """Send what there is, then what comes. Raises ConnectionError."""
        while True:
            changed = self._store.changed
            events = self._store.records.events_after(self.seen, _BATCH)
            first = self._store.records.first_event()
            if self.seen + 1 < first:  # so old that they are not kept any more
                await self._notify({"missed": {"from": self.seen + 1, "to": first - 1}})
                self.seen = first - 1
            for event in events:
                self.seen = event.number
                if self._wants(event):
                    await self._notify(_event(event))
            if not events:
                await changed.wait()

    def _wants(self, event: Event) -> bool:
        return (not self._containers or event.container in self._containers) and (
            not self._topics or event.topic in self._topics
        )

    async def _notify(self, params: dict[str, object]) -> None:
        message = jsonrpc.notification("event", {"subscription": self._number, **params})
        await self._connection.send(message)


def _event(event: Event) -> dict[str, object]:
    return {
        "number": event.number,
        "time": event.time,
        "topic": event.topic,
        "container": event.container,
        "data": event.data,
    }
