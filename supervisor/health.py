# SPDX-License-Identifier: Apache-2.0
"""Health checks: a probe is executed in a container now and then, and its status is what counts.

The record's settings have `health`, what its creator chose, and `healthy`, what was last found.
"""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

from shim import ttrpc
from shim.ttrpc import RpcError
from spec.errors import OrlopError
from supervisor import process_spec
from supervisor.failure import Failure
from supervisor.task_client import Lost

if TYPE_CHECKING:
    from supervisor.container import Container
    from supervisor.store import Store
    from supervisor.task_client import TaskClient

#: One for all probes of a container, for they follow each other. exec's ids have no such name.
_ID = "orlopd.health"
_PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_TIMES = {"interval": "interval", "timeout": "timeout", "startPeriod": "start-period"}


class Health:
    """One container's, while it runs."""

    def __init__(self, store: Store, container: Container) -> None:
        self._store = store
        self._container = container
        chosen, of = container.record.settings["health"], store.configuration
        self._args = chosen["args"]
        self._times = {name: chosen.get(name, of.seconds(f"health.{key}"))
                       for name, key in _TIMES.items()}  # fmt: skip
        self._retries = int(chosen.get("retries", of.whole("health.retries")))
        self._failures = 0
        self._began = asyncio.get_running_loop().time()

    async def run(self, *, is_new: bool) -> None:
        """Probe it until it ends. is_new: it has just started, and nothing is known of it."""
        if is_new:
            self._found("starting")
        exited = self._container.exit
        while not await self._pause(exited):
            try:
                self._judge(is_well=await self._probe())
            except (Failure, Lost):
                continue  # it is paused, or about to end

    async def _pause(self, exited: asyncio.Future[Any]) -> bool:
        """Wait for the next probe; whether the container has ended."""
        await asyncio.wait({exited}, timeout=self._times["interval"])
        return exited.done() or not self._store.has(self._container)

    def _judge(self, *, is_well: bool) -> None:
        if is_well:
            self._failures = 0
            self._found("healthy")
            return
        lasted = asyncio.get_running_loop().time() - self._began
        if lasted < self._times["startPeriod"] and self._last() == "starting":
            return
        self._failures += 1
        self._found("unhealthy" if self._failures >= self._retries else self._last())

    def _last(self) -> str:
        found = self._container.record.settings.get("healthy", {})
        return str(found.get("status", "starting"))

    def _found(self, status: str) -> None:
        """Write it; an event only where the status is another one."""
        record = self._container.record
        topic = "health" if status != self._last() else ""
        record.settings = {**record.settings,
                           "healthy": {"status": status, "failures": self._failures}}  # fmt: skip
        data = {"status": status, "failures": self._failures} if topic else {}
        self._store.save(record, topic, **data)

    async def _probe(self) -> bool:
        """Whether the probe exits with 0 in time. Raises Failure, Lost."""
        client = self._container.client("running")
        runtime_id = self._container.record.runtime_id
        asked = {"args": self._args}
        try:
            spec = process_spec.build(self._store.runtime_root, runtime_id, asked)
            await self._exec(client, json.dumps(spec).encode())
            await client.call("Start", exec_id=_ID)
            return await self._status(client) == 0
        except (OrlopError, OSError, RpcError) as error:
            if isinstance(error, Lost):
                raise
            self._store.journal.debug("a probe failed", container=runtime_id, error=str(error))
            return False
        finally:
            await self._remove(client)

    async def _exec(self, client: TaskClient, process: bytes) -> None:
        """Give it to the shim, where one of an orlopd that was killed may still be."""
        spec = {"type_url": _PROCESS, "value": process}
        try:
            await client.call("Exec", exec_id=_ID, spec=spec)
        except RpcError as error:
            if error.code != ttrpc.ALREADY_EXISTS:
                raise
            await self._kill(client)
            await self._remove(client)
            await client.call("Exec", exec_id=_ID, spec=spec)

    async def _status(self, client: TaskClient) -> int:
        try:
            async with asyncio.timeout(self._times["timeout"]):
                return int((await client.call("Wait", exec_id=_ID))["exit_status"])
        except TimeoutError:
            await self._kill(client)
            return -1

    async def _kill(self, client: TaskClient) -> None:
        try:
            await client.call("Kill", exec_id=_ID, signal=signal.SIGKILL)
            await client.call("Wait", exec_id=_ID)
        except RpcError:
            pass  # it has ended, or was not started

    async def _remove(self, client: TaskClient) -> None:
        try:
            await client.call("Delete", exec_id=_ID)
        except (Lost, RpcError):
            pass  # it never came to be, or all has gone


def figures(settings: dict[str, Any]) -> dict[str, Any] | None:
    """As `container.inspect` shows it, None where there are no checks."""
    if not settings.get("health"):
        return None
    found: dict[str, Any] = {"status": "starting", "failures": 0, **settings.get("healthy", {})}
    return {**found, **settings["health"]}
