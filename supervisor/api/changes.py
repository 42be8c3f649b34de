# SPDX-License-Identifier: Apache-2.0
"""`container.*`: what can be changed about a container that is there."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

from shim import messages
from supervisor import creation, short_spec
from supervisor.api import policies, schemas, views
from supervisor.api.schemas import FLAG, ID, LABELS, NOTHING, OBJECT, TEXT
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.method import Method

if TYPE_CHECKING:
    from supervisor.connection import Call
    from supervisor.container import Container
    from supervisor.method import Params, Schema
    from supervisor.store import Store

_RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
_CHECKPOINT = "containerd.runc.v1.CheckpointOptions"
_IMAGES: Schema = {**TEXT, "description": "absolute path of the directory of the images"}


class Changes:
    """Limits, names, labels, images."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def methods(self) -> list[Method]:
        """The table."""
        images = {
            "id": ID,
            "path": _IMAGES,
            "leaveRunning": {**FLAG, "description": "it goes on; without, it ends"},
            "tcpEstablished": FLAG,
            "externalUnixSockets": FLAG,
            "shell": FLAG,
            "fileLocks": FLAG,
        }
        labels = {"id": ID, "set": LABELS, "remove": schemas.NAMES}
        restored = {
            "id": ID,
            "bundle": {**TEXT, "description": "absolute path of the bundle"},
            "path": _IMAGES,
            "labels": LABELS,
        }
        return [
            Method(
                "container.update",
                "Change its limits, or when it is started again; what is not named stays as it is",
                self.update,
                {"id": ID, "limits": schemas.LIMITS, "restart": policies.PARAMETERS["restart"]},
                ("id",),
                result=NOTHING,
            ),
            Method(
                "container.rename",
                "Give it another id; the runtime's own stays",
                self.rename,
                {"id": ID, "name": {**ID, "description": "the new id"}},
                ("id", "name"),
                result=NOTHING,
            ),
            Method(
                "container.label",
                "Change its labels; answers `labels`, all of them",
                self.label,
                labels,
                ("id",),
                result=OBJECT,
            ),
            Method(
                "container.checkpoint",
                "Write its processes to images",
                self.checkpoint,
                images,
                ("id", "path"),
                result=NOTHING,
            ),
            Method(
                "container.restore",
                "Create and start a container from images",
                self.restore,
                restored,
                ("id", "bundle", "path"),
                result=OBJECT,
            ),
        ]

    async def update(self, _call: Call, params: Params) -> None:
        """`container.update`."""
        container = self._store.get(params["id"])
        if "limits" in params:
            await self._limit(container, params["limits"])
        if "restart" in params:
            self._store.restarts.change(container, params["restart"])

    async def _limit(self, container: Container, limits: Params) -> None:
        client = container.client("created", "running", "paused")
        wanted = short_spec.resources(limits)
        resources = {"type_url": _RESOURCES, "value": json.dumps(wanted).encode()}

        async def update() -> None:
            await client.call("Update", resources=resources)
            self._store.save(container.record, "update", limits=limits)

        await asyncio.shield(self._store.spawn(update()))

    async def rename(self, _call: Call, params: Params) -> None:
        """`container.rename`."""
        creation.check(params["name"], "/name")
        self._store.rename(self._store.get(params["id"]), params["name"])

    async def label(self, _call: Call, params: Params) -> object:
        """`container.label`."""
        record = self._store.get(params["id"]).record
        changed = {**record.labels, **params.get("set", {})}
        record.labels = {k: v for k, v in changed.items() if k not in params.get("remove", [])}
        self._store.save(record)
        return {"labels": record.labels}

    async def checkpoint(self, _call: Call, params: Params) -> None:
        """`container.checkpoint`."""
        client = self._store.get(params["id"]).client("running", "paused")
        options = messages.CHECKPOINT_OPTIONS.encode(
            {
                "exit": not params.get("leaveRunning", False),
                "open_tcp": params.get("tcpEstablished", False),
                "external_unix_sockets": params.get("externalUnixSockets", False),
                "terminal": params.get("shell", False),
                "file_locks": params.get("fileLocks", False),
            }
        )
        wanted = {"type_url": _CHECKPOINT, "value": options}
        call = client.call("Checkpoint", path=_absolute(params["path"]), options=wanted)
        await asyncio.shield(self._store.spawn(call))

    async def restore(self, _call: Call, params: Params) -> object:
        """`container.restore`."""
        images = _absolute(params["path"])
        container, _ = creation.add(self._store, params)
        await asyncio.shield(self._store.spawn(_restore(container, images)))
        return views.state(container)


async def _restore(container: Container, images: str) -> None:
    await container.create(checkpoint=images)
    try:
        await container.start()
    except BaseException:
        await container.delete(force=True)
        raise


def _absolute(path: str) -> str:
    if not os.path.isabs(path):
        raise Failure(INVALID_PARAMS, "/path: is no absolute path", pointer="/path")
    return path
