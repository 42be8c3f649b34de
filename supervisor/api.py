# SPDX-License-Identifier: Apache-2.0
"""The methods of the API, with the schemas that parameters are checked against."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from runtime import signals
from runtime.errors import UsageError
from runtime.version import VERSION
from supervisor import jsonrpc, logs, openrpc
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.method import Method

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from supervisor.connection import Call
    from supervisor.container import Container
    from supervisor.method import Params, Schema
    from supervisor.records import Event
    from supervisor.store import Store

_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}
_ID: Schema = {**_TEXT, "maxLength": 1024, "description": "the container's id"}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_NOTHING: Schema = {"type": "null"}
_LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_STATUSES = ["creating", "created", "running", "paused", "stopped"]
_SIGNAL: Schema = {"type": ["string", "integer"], "description": "a number or a name; SIGTERM"}
_CREATE: dict[str, Schema] = {
    "id": _ID,
    "bundle": {**_TEXT, "description": "absolute path of the bundle; of one container at a time"},
    "labels": _LABELS,
    "key": {**_TEXT, "description": "a repeated request with the same key creates nothing new"},
}
_BATCH = 100  # events read at a time
_OCI_VERSION = "1.3.0"


class Api:
    """Every method, each a thin call."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> dict[str, Method]:
        """The table, by name."""
        table = [*self._system(), *self._lives(), *self._questions(), *self._streams()]
        return {method.name: method for method in table}

    def _system(self) -> list[Method]:
        return [
            Method(
                "rpc.discover", "This API as an OpenRPC document", self.discover, {}, result=_OBJECT
            ),
            Method("system.ping", "Answer", self.ping, {}, result={"const": "pong"}),
            Method(
                "system.version",
                "Versions of orlopd and of the API",
                self.version,
                {},
                result=_OBJECT,
            ),
            Method(
                "system.info",
                "Directories, pid, containers by status",
                self.info,
                {},
                result=_OBJECT,
            ),
        ]

    def _lives(self) -> list[Method]:
        one, needed = {"id": _ID}, ("id",)
        signal = {**one, "signal": _SIGNAL, "all": _FLAG}
        return [
            Method(
                "container.create",
                "Create a container of a bundle; its program waits for start",
                self.create,
                _CREATE,
                ("id", "bundle"),
                result=_OBJECT,
            ),
            Method(
                "container.start", "Start its program", self.start, one, needed, result=_NOTHING
            ),
            Method(
                "container.run",
                "Create and start",
                self.run,
                _CREATE,
                ("id", "bundle"),
                result=_OBJECT,
            ),
            Method(
                "container.kill",
                "Send a signal to the init, or to all processes",
                self.kill,
                signal,
                needed,
                result=_NOTHING,
            ),
            Method("container.pause", "Freeze it", self.pause, one, needed, result=_NOTHING),
            Method("container.resume", "Let it go on", self.resume, one, needed, result=_NOTHING),
            Method(
                "container.wait",
                "Answer when it has ended",
                self.wait,
                one,
                needed,
                result=_OBJECT,
                lasts=True,
            ),
            Method(
                "container.delete",
                "Remove it and its output; with force also one that runs",
                self.delete,
                {**one, "force": _FLAG},
                needed,
                result=_NOTHING,
            ),
        ]

    def _questions(self) -> list[Method]:
        one, needed = {"id": _ID}, ("id",)
        listed: dict[str, Schema] = {
            "status": {"enum": _STATUSES},
            "labels": _LABELS,
            "after": {**_TEXT, "description": "the last id of the page before"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
        }
        tail = {**one, "tail": {"type": "integer", "minimum": 0, "maximum": logs.LINES}}
        return [
            Method(
                "container.state", "The standard's state", self.state, one, needed, result=_OBJECT
            ),
            Method(
                "container.inspect",
                "All that is known of it",
                self.inspect,
                one,
                needed,
                result=_OBJECT,
            ),
            Method(
                "container.list",
                "Containers, the oldest first",
                self.list,
                listed,
                result={"type": "array"},
            ),
            Method(
                "container.ps",
                "Its processes, as the host counts them",
                self.ps,
                one,
                needed,
                result={"type": "array"},
            ),
            Method(
                "container.logs",
                "The last entries of its output",
                self.logs,
                tail,
                needed,
                result={"type": "array"},
            ),
        ]

    def _streams(self) -> list[Method]:
        wanted: dict[str, Schema] = {
            "since": {
                **_NUMBER,
                "description": "the last number seen; without it, only what comes",
            },
            "containers": {"type": "array", "items": _ID},
            "topics": {"type": "array", "items": _TEXT},
        }
        number = {"subscription": _NUMBER}
        return [
            Method(
                "events.subscribe",
                "Events in their order, as notifications `event`",
                self.subscribe,
                wanted,
                result=_OBJECT,
            ),
            Method(
                "events.unsubscribe",
                "No more of them",
                self.unsubscribe,
                number,
                ("subscription",),
                result=_FLAG,
            ),
        ]

    # -- system

    async def discover(self, _call: Call, _params: Params) -> object:
        """`rpc.discover`, as the OpenRPC specification has it."""
        return openrpc.document(self.methods())

    async def ping(self, _call: Call, _params: Params) -> object:
        """`system.ping`."""
        return "pong"

    async def version(self, _call: Call, _params: Params) -> object:
        """`system.version`."""
        return {"version": VERSION, "api": openrpc.API_VERSION, "ociVersion": _OCI_VERSION}

    async def info(self, _call: Call, _params: Params) -> object:
        """`system.info`."""
        counts = dict.fromkeys(_STATUSES, 0)
        for container in self._store.all():
            counts[_status(container)] += 1
        store = self._store
        return {"root": store.root, "stateRoot": store.state_root, "pid": os.getpid(),
                "containers": counts, "lastEvent": store.records.last_event()}  # fmt: skip

    # -- lives

    async def _through(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it to its end, although the request may time out or be cancelled."""
        await asyncio.shield(self._store.spawn(work))

    async def create(self, _call: Call, params: Params) -> object:
        """`container.create`."""
        container, is_new = self._store.add(
            params["id"], params["bundle"], params.get("labels", {}), params.get("key")
        )
        if is_new:
            await self._through(container.create())
        return _state(container)

    async def run(self, _call: Call, params: Params) -> object:
        """`container.run`."""
        container, is_new = self._store.add(
            params["id"], params["bundle"], params.get("labels", {}), params.get("key")
        )
        if is_new:
            await self._through(_create_and_start(container))
        return _state(container)

    async def start(self, _call: Call, params: Params) -> None:
        """`container.start`."""
        await self._through(self._store.get(params["id"]).start())

    async def kill(self, _call: Call, params: Params) -> None:
        """`container.kill`."""
        try:
            number = signals.parse(str(params.get("signal", "TERM")))
        except UsageError as error:
            raise Failure(INVALID_PARAMS, f"/signal: {error}", pointer="/signal") from error
        container = self._store.get(params["id"])
        await self._through(container.kill(number, everyone=params.get("all", False)))

    async def pause(self, _call: Call, params: Params) -> None:
        """`container.pause`."""
        await self._through(self._store.get(params["id"]).pause())

    async def resume(self, _call: Call, params: Params) -> None:
        """`container.resume`."""
        await self._through(self._store.get(params["id"]).resume())

    async def wait(self, _call: Call, params: Params) -> object:
        """`container.wait`."""
        container = self._store.get(params["id"])
        await container.exited.wait()
        return {"exitStatus": container.record.exit_status, "exitedAt": container.record.exited_at}

    async def delete(self, _call: Call, params: Params) -> None:
        """`container.delete`."""
        container = self._store.get(params["id"])
        await self._through(container.delete(force=params.get("force", False)))

    # -- questions

    async def state(self, _call: Call, params: Params) -> object:
        """`container.state`."""
        return _state(self._store.get(params["id"]))

    async def inspect(self, _call: Call, params: Params) -> object:
        """`container.inspect`."""
        container = self._store.get(params["id"])
        record = container.record
        return {
            **_state(container),
            "labels": record.labels,
            "createdAt": record.created_at,
            "startedAt": record.started_at,
            "exitedAt": record.exited_at,
            "exitStatus": record.exit_status,
            "log": self._store.log_path(record),
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
            c for c in found if labels <= c.record.labels.items() and wanted in (None, _status(c))
        ]
        return [_state(c) for c in found[: params.get("limit", 1000)]]

    async def ps(self, _call: Call, params: Params) -> object:
        """`container.ps`."""
        return await self._store.get(params["id"]).pids()

    async def logs(self, _call: Call, params: Params) -> object:
        """`container.logs`."""
        path = self._store.log_path(self._store.get(params["id"]).record)
        return await asyncio.to_thread(logs.tail, path, params.get("tail", logs.LINES))

    # -- streams

    async def subscribe(self, call: Call, params: Params) -> object:
        """`events.subscribe`."""
        number = call.connection.open_stream()
        last = self._store.records.last_event()
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


async def _create_and_start(container: Container) -> None:
    await container.create()
    try:
        await container.start()
    except BaseException:
        await container.delete(force=True)
        raise


def _event(event: Event) -> dict[str, object]:
    return {
        "number": event.number,
        "time": event.time,
        "topic": event.topic,
        "container": event.container,
        "data": event.data,
    }


def _status(container: Container) -> str:
    """The standard's word."""
    status = container.record.status
    return "stopped" if status == "deleting" else status


def _state(container: Container) -> dict[str, object]:
    """The standard's state."""
    record = container.record
    state: dict[str, object] = {"ociVersion": _OCI_VERSION, "id": record.id,
                                "status": _status(container), "bundle": record.bundle}  # fmt: skip
    return {**state, "pid": record.pid} if record.pid else state
