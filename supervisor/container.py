# SPDX-License-Identifier: Apache-2.0
"""One container: its record, and every way from one status to the next.

The record is written first where a step must be undone or finished later ("creating",
"recreating", "deleting"), and after the shim's answer where the shim can be asked again.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from runtime.state import now
from shim import exits
from shim.ttrpc import RpcError
from spec.errors import OrlopError
from supervisor import usage
from supervisor.exit import Exit, expected
from supervisor.failure import NOT_FOUND, WRONG_STATE, Failure
from supervisor.health import Health
from supervisor.processes import Processes
from supervisor.restarts import ENDING
from supervisor.retry import Retry
from supervisor.shim import Shim
from supervisor.task_client import Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shim.protobuf import Values
    from supervisor.records import Record
    from supervisor.store import Store
    from supervisor.task_client import TaskClient

    Attach = Callable[[], Awaitable[None]]

_CREATED, _RUNNING, _STOPPED, _PAUSED = 1, 2, 3, 4  # containerd api/types/task/task.proto
_STREAMS = ("stdin", "stdout", "stderr")


class Container:
    """A container from its record's first write to its last.

    exit: how it ends; another one after each start.
    """

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self.record = record
        self.shim = Shim(store, record)
        self.processes = Processes(store, self)
        self._lock = asyncio.Lock()
        self._retry = Retry(store, record, self._recover_again)
        self.exit = expected(Exit(record.exit_status, record.exited_at)
                             if record.status == "stopped" else None)  # fmt: skip

    @property
    def is_unwanted(self) -> bool:
        """Whether the next orlopd removes it, should this one end now. To be saved."""
        return bool(self.record.settings.get("unwanted"))

    @is_unwanted.setter
    def is_unwanted(self, unwanted: bool) -> None:
        self.record.settings = {**self.record.settings, "unwanted": unwanted}

    def client(self, *allowed: str) -> TaskClient:
        """Its shim, in one of these statuses. Raises Failure."""
        if self.record.status not in allowed or self.shim.client is None:
            wanted, found = " or ".join(allowed), self.record.status
            text = f"container {self.record.id!r} is {found}, not {wanted}"
            raise Failure(WRONG_STATE, text, status=found)
        return self.shim.client

    # -- create and start

    async def create(
        self, attach: Attach | None = None, *, starts: bool = False, **values: object
    ) -> None:
        """Start a shim and have it create the container; all undone where that fails.

        values: further ones of the shim's Create. attach: done before anything can be started.
        starts: `start` is called next; see Shim.create.
        """
        async with self._lock:
            try:
                pid = await self.shim.create(starts=starts, **values)
            except (RpcError, OSError):
                await self._not_created()
                raise
            self.record.pid, self.record.status = pid, "created"
            self._store.save(self.record, "create", pid=pid)
            self._watch()
        if attach is not None:
            try:
                await attach()
            except BaseException:
                await self.delete(force=True)
                raise

    async def _not_created(self) -> None:
        try:
            await self._recover()
        except (OrlopError, OSError) as error:
            self._retry.begin(error)

    async def start(self, attach: Attach | None = None) -> None:
        """Start its program, again where it has ended. Raises RpcError, Failure, OrlopError."""
        async with self._lock:
            if self.record.status == "stopped":
                await self._create_again(starts=attach is None)
            self.client("created")
            if attach is not None:
                await attach()
            self.record.pid = await self.shim.start()  # a restored one has it only now
            self._running()

    async def _create_again(self, *, starts: bool) -> None:
        """The same container with a new shim; its output goes on in the same log."""
        record = self.record
        await self.shim.dispose()  # what was left of the one before
        record.status, record.has_shim = "recreating", True
        self._store.save(record)
        try:
            record.pid = await self.shim.create(starts=starts)
        except (RpcError, OSError):
            await self._not_created()
            raise
        record.status = "created"  # not written: until it is started, the next orlopd begins anew
        self.exit = expected()
        self._watch()

    def _running(self) -> None:
        self.record.status, self.record.started_at = "running", now()
        self.is_unwanted = False
        self.record.exit_status, self.record.exited_at = None, None
        self._store.save(self.record, "start", pid=self.record.pid)
        self._check_health(is_new=True)

    def _check_health(self, *, is_new: bool) -> None:
        if self.record.settings.get("health"):
            self._store.watch(Health(self._store, self).run(is_new=is_new))

    # -- while it lives

    async def attach(
        self, exec_id: str, fds: Mapping[str, int], *, ends_input: bool = False, log: bool = False
    ) -> Values:
        """Give streams of it, or of a process in it, these descriptors. Raises Failure, RpcError.

        ends_input: the end of what is written to stdin is the end of stdin. log: say where the log
        ends when the streams begin, as `inode` and `size` of its file.
        """
        client = self.client("created", "running", "paused")
        names = [name for name in _STREAMS if name in fds]
        given = [fds[name] for name in names]
        wanted = dict.fromkeys(names, True)
        return await client.call(
            "Attach", given, exec_id=exec_id, ends_input=ends_input, log=log, **wanted
        )

    async def end_input(self, exec_id: str) -> None:
        """Stdin ends when whoever attached has closed its end. Raises Failure, RpcError."""
        client = self.client("created", "running", "paused")
        await client.call("CloseIO", exec_id=exec_id, stdin=True)

    async def drained(self) -> None:
        """Wait until it has ended, and all its output is in the log."""
        await asyncio.shield(self.exit)
        async with self._lock:
            pass

    async def kill(self, number: int, *, everyone: bool = False, exec_id: str = "") -> None:
        """Send a signal. Raises RpcError, Failure."""
        client = self.client("created", "running", "paused")
        if number in ENDING and not exec_id:
            self._store.restarts.hold(self.record)
        await client.call("Kill", signal=number, all=everyone, exec_id=exec_id)

    async def pause(self) -> None:
        """Freeze it."""
        async with self._lock:
            await self.client("running").call("Pause")
            self.record.status = "paused"
            self._store.save(self.record, "pause")

    async def resume(self) -> None:
        """Let it go on."""
        async with self._lock:
            await self.client("paused").call("Resume")
            self.record.status = "running"
            self._store.save(self.record, "resume")

    # -- its end

    async def stop(self, grace: float) -> None:
        """SIGTERM, and after so many seconds SIGKILL; until it has ended. Raises Failure."""
        exited = self.exit
        self.client("created", "running", "paused")
        if self.record.status == "running":
            await self.kill(signal.SIGTERM)
            await asyncio.wait({exited}, timeout=grace)
        if not exited.done():
            await self._end()

    async def delete(self, *, force: bool) -> None:
        """Remove it; with `force` also one that runs. Raises Failure, OrlopError."""
        if force:
            self._store.restarts.hold(self.record)
        while not await self._delete(force=force):
            self.is_unwanted = True
            self._store.save(self.record)
            await self._end()

    async def _delete(self, *, force: bool) -> bool:
        """Remove it; False where it runs, and has to be ended first."""
        async with self._lock:
            if force and self.record.status in ("running", "paused"):
                return False
            if not self._store.has(self):
                text = f"there is no container {self.record.id!r} any more"
                raise Failure(NOT_FOUND, text)
            if self.record.status not in ("created", "stopped", "deleting"):
                text = f"container {self.record.id!r} is {self.record.status}"
                raise Failure(WRONG_STATE, text, status=self.record.status)
            self.record.status = "deleting"
            self._store.save(self.record)
            try:
                await self._recover()
            except (OrlopError, OSError) as error:
                self._retry.begin(error)
                raise
            return True

    async def _end(self) -> None:
        paused = self.record.status == "paused"
        try:
            await self.kill(signal.SIGKILL, everyone=True)
            if paused:
                await self.resume()  # cgroup v1: what is frozen takes no signal
        except (Failure, Lost, RpcError):
            pass  # it has just ended by itself
        await asyncio.shield(self.exit)

    def _forget(self, topic: str = "") -> None:
        self._store.forget(self, topic)
        if not self.exit.done():
            self.exit.set_result(Exit(None, None))

    def _watch(self) -> None:
        assert self.shim.client is not None  # noqa: S101 - for the type checker
        self._store.watch(self._until_exit(self.shim.client))

    async def _until_exit(self, client: TaskClient) -> None:
        try:
            end: Values | None = await client.call("Wait")
        except (Lost, RpcError):
            end = None
        async with self._lock:
            is_over = self.record.status not in ("created", "running", "paused")
            if is_over or self.shim.client is not client:
                return
            try:
                await self._stopped(end)
            except (OrlopError, OSError) as error:
                self.shim.disconnect()  # it is asked again, by `_recover`
                self._retry.begin(error)

    async def _stopped(self, end: Values | None) -> None:
        """Record an exit, once; `end` None: the shim is gone, and with it all that it held."""
        is_new = self.record.status in ("created", "recreating")
        if is_new and self.record.started_at:
            await self._not_started_again()
            return
        reason = {}
        if end is None:
            reason = {"reason": "the shim died"}
            self.shim.disconnect()
            kept = exits.read(self.record.bundle)
            status = kept[1].status if kept is not None else await self.shim.clean_up()
        else:
            status = int(end["exit_status"])
            if kills := self._oom_kills(end):
                self._store.save(self.record, "oom", kills=kills)
        self.processes.container_ended()
        self.record.status, self.record.exit_status = "stopped", status
        self.record.exited_at, self.record.pid = now(), 0
        self._store.save(self.record, "exit", exitStatus=status, **reason)
        self.exit.set_result(Exit(status, self.record.exited_at))
        if not self._store.records.writer.owes:  # else it stays, to tell the next orlopd
            await self.shim.dispose()
        self._store.restarts.has_ended(self)

    def _oom_kills(self, end: Values) -> int:
        if end.get("counts_kills"):
            return int(end["oom_kills"])
        # a shim that was found so, or of an orlopd before this one
        return usage.oom_kills(self._store.runtime_root, self.record.runtime_id)

    async def let_go(self) -> None:
        """Have the shim go that stayed because an exit could not be written."""
        async with self._lock:
            if self.record.status == "stopped":
                try:
                    await self.shim.dispose()
                except (OrlopError, OSError) as error:
                    self._retry.begin(error)

    async def _not_started_again(self) -> None:
        """It has ended between its creation and its start: the exit before is the last one yet."""
        await self.shim.dispose()
        self.record.status, self.record.pid = "stopped", 0
        self._store.save(self.record)
        if not self.exit.done():
            self.exit.set_result(Exit(self.record.exit_status, self.record.exited_at))
        self._store.restarts.has_ended(self)

    # -- after a restart of orlopd, or a step that failed

    async def recover(self) -> None:
        """Attach to its shim; learn what happened; finish or undo what was half done."""
        async with self._lock:
            try:
                await self._recover()
            except (OrlopError, OSError, RpcError) as error:
                self._retry.begin(error)
        if self.is_unwanted and self._store.has(self):
            self._store.watch(self._delete_at_last())

    async def _delete_at_last(self) -> None:
        """What was being removed by force when orlopd ended, or was yet to be started by run."""
        try:
            await self.delete(force=True)
        except (Failure, OrlopError, OSError) as error:
            self._retry.complain(error)

    async def _recover_again(self) -> None:
        async with self._lock:
            if self.shim.client is None and self._store.has(self):
                await self._recover()

    async def _recover(self) -> None:
        status = self.record.status
        if status in ("creating", "deleting"):
            await self.shim.dispose()
            self._forget("delete" if status == "deleting" else "")
        elif status == "stopped":
            await self.shim.dispose()
            self._store.restarts.has_ended(self)
        else:
            await self._find()

    def _has_run(self) -> bool:
        """Whether it started, and ended, while nobody watched."""
        kept = exits.read(self.record.bundle)
        return self.record.status in ("created", "recreating") and kept is not None and kept[1].ran

    async def _find(self) -> None:
        try:
            client = await self.shim.connect()
            found = await client.call("State")
            await self.processes.recover(client)
        except (OSError, RpcError):
            if self._has_run():
                self._running()
            await self._stopped(None)
            return
        is_started = found["status"] in (_RUNNING, _PAUSED) or self._has_run()
        if self.record.status == "recreating" and not is_started:
            await self._not_started_again()
            return
        if self.record.status in ("created", "recreating") and is_started:
            self.record.pid = int(found["pid"])
            self._running()
        elif self.record.status != "created":
            self._check_health(is_new=False)
        if found["status"] == _STOPPED:
            await self._stopped(found)
            return
        now_paused, was_paused = found["status"] == _PAUSED, self.record.status == "paused"
        if found["status"] != _CREATED and now_paused != was_paused:
            self.record.status = "paused" if now_paused else "running"
            self._store.save(self.record, "pause" if now_paused else "resume")
        self._watch()
