# SPDX-License-Identifier: Apache-2.0
"""`system.*` and `rpc.discover`: about orlopd itself."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from runtime.features import features
from runtime.version import VERSION
from supervisor import openrpc
from supervisor.api import metrics, views
from supervisor.api.schemas import OBJECT
from supervisor.method import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from supervisor.connection import Call
    from supervisor.method import Params
    from supervisor.store import Store


class System:
    """The daemon. all_methods: what `rpc.discover` describes."""

    def __init__(self, store: Store, all_methods: Callable[[], Mapping[str, Method]]) -> None:
        self._store = store
        self._all_methods = all_methods
        self._document: dict[str, object] | None = None

    def methods(self) -> list[Method]:
        """The table."""
        return [
            Method(
                "rpc.discover", "This API as an OpenRPC document", self.discover, {}, result=OBJECT
            ),
            Method("system.ping", "Answer", self.ping, {}, result={"const": "pong"}),
            Method(
                "system.version",
                "Versions of orlopd and of the API",
                self.version,
                {},
                result=OBJECT,
            ),
            Method(
                "system.info",
                "Directories, pid, containers by status, the host, the runtime's features",
                self.info,
                {},
                result=OBJECT,
            ),
            Method(
                "system.metrics",
                "What orlopd counts: requests, latencies in seconds, events, its own resources",
                self.metrics,
                {},
                result=OBJECT,
            ),
        ]

    async def discover(self, _call: Call, _params: Params) -> object:
        """`rpc.discover`, as the OpenRPC specification has it."""
        if self._document is None:  # large, and always the same
            self._document = openrpc.document(self._all_methods())
        return self._document

    async def ping(self, _call: Call, _params: Params) -> object:
        """`system.ping`."""
        return "pong"

    async def version(self, _call: Call, _params: Params) -> object:
        """`system.version`."""
        return {
            "version": VERSION,
            "api": openrpc.API_VERSION,
            "ociVersion": views.OCI_VERSION,
        }

    async def info(self, _call: Call, _params: Params) -> object:
        """`system.info`."""
        store = self._store
        return {
            "root": store.root,
            "stateRoot": store.state_root,
            "pid": os.getpid(),
            "containers": metrics.containers(store),
            "lastEvent": store.records.last_event(),
            "host": views.host(),
            "features": await asyncio.to_thread(features),
            "planner": store.planner.pid if store.planner else 0,
        }

    async def metrics(self, _call: Call, _params: Params) -> object:
        """`system.metrics`."""
        return await metrics.figures(self._store)
