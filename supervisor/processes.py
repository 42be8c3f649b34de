# SPDX-License-Identifier: Apache-2.0
"""The processes that were started in a container beside its own: exec."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from runtime.state import now
from shim import messages
from shim.ttrpc import RpcError
from supervisor import creation
from supervisor.exit import Exit, expected
from supervisor.failure import EXISTS, NOT_FOUND, Failure
from supervisor.records import ExecRecord
from supervisor.task_client import Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from supervisor.container import Container
    from supervisor.store import Store
    from supervisor.task_client import TaskClient

_PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_RUNNING, _STOPPED, _PAUSED = 2, 3, 4  # containerd api/types/task/task.proto
_KILLED = 128 + 9


class Process:
    """One of them."""

    def __init__(self, record: ExecRecord) -> None:
        self.record = record
        self.exit = expected(Exit(record.exit_status, record.exited_at)
                             if record.status == "stopped" else None)  # fmt: skip


class Processes:
    """Those of one container, by their ids."""

    def __init__(self, store: Store, container: Container) -> None:
        self._store = store
        self._container = container
        found = store.records.execs(container.record) if container.record.number else []
        self._all = {record.id: Process(record) for record in found}

    def get(self, exec_id: str) -> Process:
        """Raises Failure."""
        found = self._all.get(exec_id)
        if found is None:
            text = f"container {self._container.record.id!r} has no process {exec_id!r}"
            raise Failure(NOT_FOUND, text)
        return found

    def running(self) -> list[str]:
        """The ids of those that go on."""
        return [i for i, process in self._all.items() if process.record.status == "running"]

    # -- a new one

    def add(self, exec_id: str) -> Process:
        """A record of a new one. Raises Failure, InvalidId."""
        exec_id = exec_id or secrets.token_hex(6)
        creation.check(exec_id, "/exec")
        if exec_id in self._all:
            raise Failure(EXISTS, f"process {exec_id!r} exists")
        process, container = Process(ExecRecord(exec_id)), self._container.record
        self._store.records.add_exec(container, process.record, "exec-added")
        self._all[exec_id] = process
        kept = {record.id for record in self._store.records.execs(container)}
        self._all = {i: each for i, each in self._all.items() if i in kept}
        self._store.wake()
        return process

    async def start(
        self,
        process: Process,
        spec: dict[str, Any],
        *,
        has_stdin: bool,
        attach: Callable[[], Awaitable[None]],
    ) -> None:
        """Start it; forget it where that fails. Raises Failure, RpcError, Lost.

        spec: the standard's process. attach: done before it starts, so that nothing of its output
        is lost.
        """
        stdio = {
            "stdin": messages.ATTACHED if has_stdin else "",
            "stdout": messages.ATTACHED,
            "stderr": "" if spec.get("terminal") else messages.ATTACHED,
        }
        exec_id = process.record.id
        try:
            client = self._container.client("running")
            document = {"type_url": _PROCESS, "value": json.dumps(spec).encode()}
            terminal = bool(spec.get("terminal"))
            await client.call("Exec", exec_id=exec_id, spec=document, terminal=terminal, **stdio)
            await attach()
            answer = await client.call("Start", exec_id=exec_id)
        except BaseException:
            await self._forget(process)
            raise
        self._started(process, int(answer["pid"]))
        self._store.watch(self._until_exit(process, client))

    def _started(self, process: Process, pid: int) -> None:
        process.record.pid, process.record.status = pid, "running"
        self._save(process, "exec-started", pid=pid)

    async def _forget(self, process: Process) -> None:
        self._all.pop(process.record.id, None)
        self._store.records.remove_exec(self._container.record, process.record)
        try:
            client = self._container.client("created", "running", "paused")
            await client.call("Delete", exec_id=process.record.id)
        except (Failure, RpcError, Lost):
            pass  # the shim has not heard of it, or is gone

    # -- its end

    async def _until_exit(self, process: Process, client: TaskClient) -> None:
        exec_id = process.record.id
        try:
            status = int((await client.call("Wait", exec_id=exec_id))["exit_status"])
            self._ended(process, status)
            await client.call("Delete", exec_id=exec_id)
        except (Lost, RpcError):
            pass  # the shim is gone: `container_ended`; or its Delete was repeated

    def _ended(self, process: Process, status: int) -> None:
        if process.record.status == "stopped":
            return
        record = process.record
        record.status, record.exit_status, record.exited_at = "stopped", status, now()
        self._save(process, "exec-exit", exitStatus=status)
        process.exit.set_result(Exit(status, record.exited_at))

    def container_ended(self) -> None:
        """With the container, all have ended."""
        for process in self._all.values():
            if process.record.status == "running":
                self._ended(process, _KILLED)

    def _save(self, process: Process, topic: str, **data: object) -> None:
        self._store.records.save_exec(self._container.record, process.record, topic, **data)
        self._store.wake()

    # -- after a restart of orlopd

    async def recover(self, client: TaskClient) -> None:
        """Learn what happened to each; one that was not started is removed."""
        for process in list(self._all.values()):
            if process.record.status == "stopped":
                continue
            try:
                found = await client.call("State", exec_id=process.record.id)
            except RpcError:
                await self._gone(process)
                continue
            if found["status"] not in (_RUNNING, _STOPPED, _PAUSED):
                await self._forget(process)
                continue
            if process.record.status == "creating":
                self._started(process, int(found["pid"]))
            self._store.watch(self._until_exit(process, client))

    async def _gone(self, process: Process) -> None:
        """The shim doesn't know it: it never came to be, or its end was told and lost with us."""
        if process.record.status == "creating":
            await self._forget(process)
        else:
            self._ended(process, _KILLED)
