# SPDX-License-Identifier: Apache-2.0
"""One container: its record, its shim, and every way from one status to the next.

The record is written first where a step must be undone or finished later ("creating",
"deleting"), and after the shim's answer where the shim can be asked again.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from runtime.state import now
from shim import exits, messages, ttrpc
from shim.ttrpc import RpcError
from spec.errors import OrlopError
from supervisor import shim_process
from supervisor.failure import WRONG_STATE, Failure
from supervisor.task_client import Lost, TaskClient

if TYPE_CHECKING:
    from supervisor.records import Record
    from supervisor.store import Store

_OPTIONS = "containerd.runc.v1.Options"
_CREATED, _RUNNING, _STOPPED, _PAUSED = 1, 2, 3, 4  # containerd api/types/task/task.proto
_RETRY = 0.05  # seconds between looks at a shim that is still creating what nobody wants


class Container:
    """A container from its record's first write to its last."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self.record = record
        self._client: TaskClient | None = None
        self._lock = asyncio.Lock()
        self.exited = asyncio.Event()
        if record.status == "stopped":
            self.exited.set()

    # -- create and start

    async def create(self) -> None:
        """Start a shim and have it create the container; all undone where that fails."""
        async with self._lock:
            try:
                shim_process.start(self._store.shim_program, self._socket)
                client = await self._connect()
                answer = await client.call(
                    "Create",
                    bundle=self.record.bundle,
                    stdout=self._log,
                    stderr=self._log,
                    options={
                        "type_url": _OPTIONS,
                        "value": messages.RUNC_OPTIONS.encode({"root": self._store.state_root}),
                    },
                )
            except (RpcError, OSError):
                await self._dispose()
                self._store.forget(self)
                raise
            self._created(int(answer["pid"]))

    def _created(self, pid: int) -> None:
        self.record.pid, self.record.status = pid, "created"
        self._store.save(self.record, "create", pid=pid)
        self._watch()

    async def start(self) -> None:
        """Start its program. Raises RpcError, Failure."""
        async with self._lock:
            await self._attached("created").call("Start")
            self._running()

    def _running(self) -> None:
        self.record.status, self.record.started_at = "running", now()
        self._store.save(self.record, "start", pid=self.record.pid)

    # -- while it lives

    async def kill(self, number: int, *, everyone: bool = False) -> None:
        """Send a signal. Raises RpcError, Failure."""
        client = self._attached("created", "running", "paused")
        await client.call("Kill", signal=number, all=everyone)

    async def pause(self) -> None:
        """Freeze it."""
        async with self._lock:
            await self._attached("running").call("Pause")
            self.record.status = "paused"
            self._store.save(self.record, "pause")

    async def resume(self) -> None:
        """Let it go on."""
        async with self._lock:
            await self._attached("paused").call("Resume")
            self.record.status = "running"
            self._store.save(self.record, "resume")

    async def pids(self) -> list[int]:
        """Its processes, as the host counts them."""
        answer = await self._attached("created", "running", "paused").call("Pids")
        return [int(process["pid"]) for process in answer["processes"]]

    def _attached(self, *allowed: str) -> TaskClient:
        if self.record.status not in allowed or self._client is None:
            wanted, found = " or ".join(allowed), self.record.status
            text = f"container {self.record.id!r} is {found}, not {wanted}"
            raise Failure(WRONG_STATE, text, status=found)
        return self._client

    # -- its end

    async def delete(self, *, force: bool) -> None:
        """Remove it; with `force` also one that runs. Raises Failure, OrlopError."""
        if force and self.record.status in ("running", "paused"):
            await self._end()
        async with self._lock:
            if self.record.status not in ("created", "stopped"):
                text = f"container {self.record.id!r} is {self.record.status}"
                raise Failure(WRONG_STATE, text, status=self.record.status)
            self.record.status = "deleting"
            self._store.save(self.record)
            await self._finish_delete()

    async def _end(self) -> None:
        paused = self.record.status == "paused"
        try:
            await self.kill(signal.SIGKILL, everyone=True)
            if paused:
                await self.resume()  # cgroup v1: what is frozen takes no signal
        except (Failure, Lost, RpcError):
            pass  # it has just ended by itself
        await self.exited.wait()

    async def _finish_delete(self) -> None:
        await self._dispose()
        self._store.forget(self, "delete")
        self.exited.set()

    def _watch(self) -> None:
        self._store.watch(self._until_exit())

    async def _until_exit(self) -> None:
        assert self._client is not None  # noqa: S101 - for the type checker
        try:
            status: int | None = (await self._client.call("Wait"))["exit_status"]
        except (Lost, RpcError):
            status = None
        async with self._lock:
            if self.record.status not in ("created", "running", "paused"):
                return
            try:
                await self._stopped(status)
            except (OrlopError, OSError) as error:
                self._complain(error)

    async def _stopped(self, status: int | None) -> None:
        """Record an exit, once; `status` None: the shim is gone, and with it all that it held."""
        reason = {} if status is not None else {"reason": "the shim died"}
        kept = exits.read(self.record.bundle)
        if status is None and kept is not None:
            status = kept[1].status
        elif status is None:
            status = await self._clean_up()
        self.record.status, self.record.exit_status = "stopped", status
        self.record.exited_at, self.record.pid = now(), 0
        self._store.save(self.record, "exit", exitStatus=status, **reason)
        self.exited.set()
        await self._dispose()

    # -- the shim

    @property
    def _socket(self) -> str:
        return self._store.socket_path(self.record)

    @property
    def _log(self) -> str:
        return self._store.log_address(self.record)

    async def _connect(self) -> TaskClient:
        self._client = await TaskClient.connect(self._socket, self.record.id)
        return self._client

    async def _dispose(self) -> None:
        """Have the shim delete the container and go; or do it in its place."""
        if not self.record.has_shim:
            return
        try:
            client = self._client or await self._connect()
            await _shut_down(client)
        except (OSError, RpcError):
            pass  # gone before, or in trouble: what it leaves is removed next
        finally:
            if self._client is not None:
                self._client.close()
                self._client = None
        if exits.read_record(self.record.bundle)[0]:  # else the shim has removed everything
            await self._clean_up()
        self._store.remove_socket(self.record)
        self.record.has_shim = False
        self._store.save(self.record)

    async def _clean_up(self) -> int:
        program, record = self._store.shim_program, self.record
        return await shim_process.clean_up(program, record.id, record.bundle)

    # -- after a restart of orlopd

    async def recover(self) -> None:
        """Attach to its shim; learn what happened; finish or undo what was half done."""
        async with self._lock:
            try:
                await self._recover()
            except (OrlopError, OSError, RpcError) as error:
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        self._store.journal.error("a step failed", container=self.record.id, error=str(error))

    async def _recover(self) -> None:
        if self.record.status == "creating":
            await self._dispose()
            self._store.forget(self)
        elif self.record.status == "deleting":
            await self._finish_delete()
        elif self.record.status == "stopped":
            await self._dispose()
        else:
            await self._attach()

    async def _attach(self) -> None:
        try:
            found = await (await self._connect()).call("State")
        except (OSError, RpcError):
            await self._stopped(None)
            return
        if self.record.status == "created" and found["status"] in (_RUNNING, _PAUSED):
            self._running()
        if found["status"] == _STOPPED:
            await self._stopped(int(found["exit_status"]))
            return
        now_paused, was_paused = found["status"] == _PAUSED, self.record.status == "paused"
        if found["status"] != _CREATED and now_paused != was_paused:
            self.record.status = "paused" if now_paused else "running"
            self._store.save(self.record, "pause" if now_paused else "resume")
        self._watch()


async def _shut_down(client: TaskClient) -> None:
    """Delete the container and end the shim; one still creating it is asked again."""
    while True:
        try:
            await client.call("Delete")
        except RpcError as error:
            if error.code != ttrpc.NOT_FOUND:
                raise
        await client.call("Shutdown")
        try:
            async with asyncio.timeout(_RETRY):
                await client.closed()
            return
        except TimeoutError:
            continue
