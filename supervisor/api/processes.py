# SPDX-License-Identifier: Apache-2.0
"""Processes in containers, and streams: exec, attach, what is written, a terminal's size."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from supervisor import process_spec
from supervisor.api import schemas
from supervisor.api.schemas import FLAG, ID, NOTHING, OBJECT, TEXT
from supervisor.api.streams import Streams
from supervisor.failure import INVALID_PARAMS, NOT_FOUND, Failure
from supervisor.method import Method

if TYPE_CHECKING:
    from supervisor.connection import Call
    from supervisor.method import Params
    from supervisor.relay import Relay
    from supervisor.store import Store


class Processes:
    """What is done with processes while their container lives."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> list[Method]:
        """The table."""
        executed = {
            "id": ID,
            "exec": {**schemas.EXEC, "description": "its id; one is made up where it is missing"},
            "args": schemas.WORDS,
            "env": schemas.ENVIRONMENT,
            "cwd": TEXT,
            "user": schemas.USER,
            "terminal": FLAG,
            "consoleSize": schemas.SIZE,
            "capabilities": schemas.CAPABILITIES,
            "stdin": schemas.STDIN,
            "attach": schemas.ATTACH,
            "descriptors": schemas.DESCRIPTORS,
        }
        attached = {
            "id": ID,
            "exec": schemas.EXEC,
            "stdin": {**FLAG, "description": "write to it, too"},
            "logs": {**FLAG, "description": "what is in the container's log comes first"},
            "descriptors": schemas.DESCRIPTORS,
        }
        size = {"id": ID, "exec": schemas.EXEC, **schemas.SIZE["properties"]}
        number = {"subscription": schemas.SUBSCRIPTION}
        data = {**number, "data": {"type": "string", "description": "base64"}}
        return [
            Method(
                "container.exec",
                "Start a process in it",
                self.exec,
                executed,
                ("id", "args"),
                result=OBJECT,
            ),
            Method(
                "container.attach",
                "Its output as notifications `output`, or that of a process in it",
                self.attach,
                attached,
                ("id",),
                result=OBJECT,
            ),
            Method(
                "container.resize",
                "Give its terminal a size, or that of a process in it",
                self.resize,
                size,
                ("id", "height", "width"),
                result=NOTHING,
            ),
            Method(
                "stream.write",
                "Write to stdin; answered when it is on its way",
                self.write,
                data,
                ("subscription", "data"),
                result=NOTHING,
            ),
            Method(
                "stream.close",
                "End stdin",
                self.close,
                number,
                ("subscription",),
                result=NOTHING,
            ),
        ]

    async def exec(self, call: Call, params: Params) -> object:
        """`container.exec`."""
        container = self._store.get(params["id"])
        container.client("running")
        spec = process_spec.build(self._store.runtime_root, container.record.runtime_id, params)
        if params.get("descriptors"):
            params = {**params, "stdin": True}
        streams = Streams(call, params)
        try:
            process = container.processes.add(params.get("exec", ""))
        except BaseException:
            streams.close()
            raise
        exec_id = process.record.id
        work = container.processes.start(
            process,
            spec,
            has_stdin=params.get("stdin", False),
            attach=lambda: streams.begin(container, exec_id),
        )
        await streams.through(self._store.spawn(work))
        streams.follow(process.exit)
        return {"exec": exec_id, "pid": process.record.pid, **streams.result}

    async def attach(self, call: Call, params: Params) -> object:
        """`container.attach`."""
        container, exec_id = self._store.get(params["id"]), params.get("exec", "")
        exited = container.processes.get(exec_id).exit if exec_id else container.exit
        container.client("created", "running", "paused")
        has_log = params.get("logs", False) and not exec_id
        streams = Streams(call, {"attach": True, **params})
        await streams.begin(container, exec_id, log=has_log)
        streams.follow(exited, self._store.log_path(container.record) if has_log else "")
        return streams.result

    async def resize(self, _call: Call, params: Params) -> None:
        """`container.resize`."""
        container = self._store.get(params["id"])
        client = container.client("created", "running", "paused")
        await client.call(
            "ResizePty",
            exec_id=params.get("exec", ""),
            width=params["width"],
            height=params["height"],
        )

    async def write(self, call: Call, params: Params) -> None:
        """`stream.write`."""
        try:
            data = base64.b64decode(params["data"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Failure(INVALID_PARAMS, f"/data: {error}", pointer="/data") from error
        await _relay(call, params).write(data)

    async def close(self, call: Call, params: Params) -> None:
        """`stream.close`."""
        await _relay(call, params).end_input()


def _relay(call: Call, params: Params) -> Relay:
    found = call.connection.relays.get(params["subscription"])
    if found is None:
        text = f"/subscription: there is no stream {params['subscription']}"
        raise Failure(NOT_FOUND, text, pointer="/subscription")
    return found
