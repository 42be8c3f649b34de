# SPDX-License-Identifier: Apache-2.0
"""The shim of one container: from its start, or our finding it, until nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from shim import exits, messages, ttrpc
from shim.ttrpc import RpcError
from supervisor import shim_process
from supervisor.task_client import Lost, TaskClient

if TYPE_CHECKING:
    from supervisor.records import Record
    from supervisor.store import Store

_OPTIONS = "containerd.runc.v1.Options"
_RETRY = 0.05  # seconds between looks at a shim that is still creating what nobody wants


class Shim:
    """client: the connection to it, None where there is none (yet, or any more)."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self._record = record
        self.client: TaskClient | None = None
        self._starting: asyncio.Future[bytes] | None = None

    async def create(self, *, starts: bool = False, **values: object) -> int:
        """Start it and have it create the container; the init's pid. Raises RpcError, OSError.

        starts: nothing is to be done between that and `start`, so that the shim goes on by itself.
        """
        self._store.shims.start(self._store.socket_path(self._record))
        client = await self.connect()
        log = self._store.log_address(self._record)
        settings = self._record.settings
        options = messages.RUNC_OPTIONS.encode({"root": self._store.state_root})
        creating = await client.ask(
            "Create",
            bundle=self._record.bundle,
            stdin=messages.ATTACHED if settings.get("stdin") else "",
            stdout=log,
            stderr="" if settings.get("terminal") else log,
            terminal=bool(settings.get("terminal")),
            options={"type_url": _OPTIONS, "value": options},
            **values,
        )
        if starts:
            self._starting = await client.ask("Start")
        return int((await client.answer("Create", creating))["pid"])

    async def start(self) -> int:
        """Have it start the program; the init's pid. Raises RpcError, Lost."""
        if self.client is None:
            raise Lost("the shim is gone")
        starting, self._starting = self._starting, None
        if starting is None:
            starting = await self.client.ask("Start")
        return int((await self.client.answer("Start", starting))["pid"])

    async def connect(self) -> TaskClient:
        """Raises OSError: it is not there."""
        path = self._store.socket_path(self._record)
        self.client = await TaskClient.connect(path, self._record.runtime_id)
        return self.client

    async def dispose(self) -> None:
        """Have it delete the container and go; or do it in its place. Raises OrlopError, OSError.

        May be repeated.
        """
        if not self._record.has_shim:
            return
        try:
            client = self.client or await self.connect()
            try:
                await _shut_down(client)
            except RpcError:
                await _kill(client)  # in trouble: what it leaves is removed next
        except (OSError, RpcError):
            pass  # gone before
        finally:
            self.disconnect()
        if exits.read_record(self._record.bundle)[0]:  # else the shim has removed everything
            await self.clean_up()
        self._store.remove_socket(self._record)
        self._record.has_shim = False
        self._store.save(self._record)

    def disconnect(self) -> None:
        """End the connection, or what is left of it."""
        if self._starting is not None:
            self._starting.cancel()  # nobody waits for it any more
            self._starting = None
        if self.client is not None:
            self.client.close()
            self.client = None

    async def clean_up(self) -> int:
        """Remove what a dead one left; the container's exit status. Raises OrlopError, OSError."""
        program, record = self._store.shim_program, self._record
        return await shim_process.clean_up(program, record.runtime_id, record.bundle)


async def _shut_down(client: TaskClient) -> None:
    """Delete the container and end the shim; one still creating it is asked again."""
    while True:
        try:
            await client.call("Delete")
        except RpcError as error:
            if error.code == ttrpc.FAILED_PRECONDITION:  # started, by an orlopd that ended then
                await _end(client)
                continue
            if error.code != ttrpc.NOT_FOUND:
                raise
        await client.call("Shutdown")
        try:
            async with asyncio.timeout(_RETRY):
                await client.closed()
            return
        except TimeoutError:
            continue


async def _end(client: TaskClient) -> None:
    """Kill the container, and wait for its end."""
    try:
        await client.call("Kill", signal=signal.SIGKILL, all=True)
    except RpcError as error:
        if error.code != ttrpc.NOT_FOUND:  # it has ended by itself
            raise
    await client.call("Wait")


async def _kill(client: TaskClient) -> None:
    """End the shim itself. Raises OSError: it is gone; RpcError."""
    pidfd = os.pidfd_open((await client.call("Connect"))["shim_pid"])
    try:
        await client.call("Connect")  # it answers yet, so that the pid is its own
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
    await client.closed()
