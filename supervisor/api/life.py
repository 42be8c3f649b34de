# SPDX-License-Identifier: Apache-2.0
"""`container.*`: every way from one status to the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runtime import signals
from runtime.errors import UsageError
from supervisor import creation
from supervisor.api import policies, schemas, views
from supervisor.api.schemas import FLAG, ID, LABELS, NOTHING, OBJECT, TEXT
from supervisor.api.streams import Streams
from supervisor.container import Container
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.method import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from supervisor.connection import Call
    from supervisor.container import Attach
    from supervisor.method import Params, Schema
    from supervisor.store import Store

_SIGNAL: Schema = {"type": ["string", "integer"], "description": "a number or a name; SIGTERM"}
_SECONDS = 10
_GRACE: Schema = {
    "type": "number",
    "minimum": 0,
    "default": _SECONDS,
    "description": f"seconds until SIGKILL; {_SECONDS}",
}
_CREATE: dict[str, Schema] = {
    "id": ID,
    "bundle": {**TEXT, "description": "absolute path of the bundle; of one container at a time"},
    **schemas.SHORT,
    "labels": LABELS,
    "key": {**TEXT, "description": "a repeated request with the same key creates nothing new"},
    "stdin": schemas.STDIN,
    "attach": schemas.ATTACH,
    "descriptors": schemas.DESCRIPTORS,
    **policies.PARAMETERS,
}


class Life:
    """Containers, from create to delete."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> list[Method]:
        """The table."""
        one, needed = {"id": ID}, ("id",)
        signal = {**one, "signal": _SIGNAL, "all": FLAG, "exec": schemas.EXEC}
        return [
            Method(
                "container.create",
                "Create a container of a bundle; its program waits for start",
                self.create,
                _CREATE,
                ("id",),
                result=OBJECT,
            ),
            Method("container.start", "Start its program", self.start, one, needed, result=NOTHING),
            Method(
                "container.run",
                "Create and start",
                self.run,
                _CREATE,
                ("id",),
                result=OBJECT,
            ),
            Method(
                "container.kill",
                "Send a signal to the init, or to all processes",
                self.kill,
                signal,
                needed,
                result=NOTHING,
            ),
            Method(
                "container.stop",
                "SIGTERM, and SIGKILL when that was not enough; answers how it ended",
                self.stop,
                {**one, "grace": _GRACE},
                needed,
                result=OBJECT,
            ),
            Method("container.pause", "Freeze it", self.pause, one, needed, result=NOTHING),
            Method("container.resume", "Let it go on", self.resume, one, needed, result=NOTHING),
            Method(
                "container.wait",
                "Answer when it has ended, or a process in it",
                self.wait,
                {**one, "exec": schemas.EXEC},
                needed,
                result=OBJECT,
                lasts=True,
            ),
            Method(
                "container.delete",
                "Remove it and its output; with force also one that runs",
                self.delete,
                {**one, "force": FLAG},
                needed,
                result=NOTHING,
            ),
        ]

    async def _through(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it to its end, although the request may time out or be cancelled."""
        await asyncio.shield(self._store.spawn(work))

    async def create(self, call: Call, params: Params) -> object:
        """`container.create`."""
        return await self._create(call, params, Container.create)

    async def run(self, call: Call, params: Params) -> object:
        """`container.run`."""
        return await self._create(call, params, _create_and_start)

    async def _create(
        self,
        call: Call,
        params: Params,
        act: Callable[[Container, Attach | None], Coroutine[Any, Any, None]],
    ) -> object:
        if params.get("descriptors"):
            params = {**params, "stdin": True}
        streams = Streams(call, params)
        try:
            container, is_new = creation.add(self._store, params)
        except BaseException:
            streams.close()
            raise
        if not is_new:
            streams.close()
            return views.state(container)
        attach = (lambda: streams.begin(container)) if streams.are_wanted else None
        work = act(container, attach)
        await streams.through(self._store.spawn(work))
        streams.follow(container.exit)
        return {**views.state(container), **streams.result}

    async def start(self, _call: Call, params: Params) -> None:
        """`container.start`."""
        container = self._store.get(params["id"])
        self._store.restarts.release(container.record)
        await self._through(container.start())

    async def kill(self, _call: Call, params: Params) -> None:
        """`container.kill`."""
        try:
            number = signals.parse(str(params.get("signal", "TERM")))
        except UsageError as error:
            raise Failure(INVALID_PARAMS, f"/signal: {error}", pointer="/signal") from error
        container, exec_id = self._store.get(params["id"]), params.get("exec", "")
        if exec_id:
            container.processes.get(exec_id)
        everyone = params.get("all", False)
        await self._through(container.kill(number, everyone=everyone, exec_id=exec_id))

    async def stop(self, _call: Call, params: Params) -> object:
        """`container.stop`."""
        container = self._store.get(params["id"])
        await self._through(container.stop(params.get("grace", _SECONDS)))
        return container.exit.result().values()

    async def pause(self, _call: Call, params: Params) -> None:
        """`container.pause`."""
        await self._through(self._store.get(params["id"]).pause())

    async def resume(self, _call: Call, params: Params) -> None:
        """`container.resume`."""
        await self._through(self._store.get(params["id"]).resume())

    async def wait(self, _call: Call, params: Params) -> object:
        """`container.wait`."""
        container, exec_id = self._store.get(params["id"]), params.get("exec", "")
        exited = container.processes.get(exec_id).exit if exec_id else container.exit
        return (await asyncio.shield(exited)).values()

    async def delete(self, _call: Call, params: Params) -> None:
        """`container.delete`."""
        container = self._store.get(params["id"])
        await self._through(container.delete(force=params.get("force", False)))


async def _create_and_start(container: Container, attach: Attach | None) -> None:
    container.is_unwanted = True  # until it is started: all or nothing
    await container.create(attach, starts=attach is None)
    try:
        await container.start()
    except BaseException:
        await container.delete(force=True)
        raise
