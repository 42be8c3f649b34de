# SPDX-License-Identifier: Apache-2.0
"""All containers of one orlopd, and its directory.

DIR/lock           held while an orlopd runs
DIR/orlopd.sock    where clients connect
DIR/records.db     supervisor.records
DIR/s/N            the socket of container number N's shim (unix(7): paths have 108 bytes)
DIR/logs/N.json    its output, a JSON object per line
DIR/bundles/TOKEN  the bundles of containers that were made from a rootfs
DIR/state/orlopd   the runtime's state (`orlop --root DIR/state/orlopd list`)
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import sqlite3
from typing import TYPE_CHECKING

from shim.ttrpc import RpcError
from spec.errors import OrlopError
from supervisor.container import Container
from supervisor.failure import BUSY, EXISTS, NOT_FOUND, Failure
from supervisor.records import Records
from supervisor.restarts import Restarts
from supervisor.shim_process import NAMESPACE, Shims

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeVar

    from supervisor.configuration import Configuration
    from supervisor.journal import Journal
    from supervisor.meter import Meter
    from supervisor.planner import Planner
    from supervisor.records import Record

    Result = TypeVar("Result")


_LONGEST = 60.0  # seconds between attempts to write what is owed


class Store:
    """The containers by id."""

    def __init__(
        self, configuration: Configuration, shim_program: str, journal: Journal, meter: Meter
    ) -> None:
        """Raises OrlopError: another orlopd runs there, or a newer one did; OSError."""
        self.configuration = configuration
        self.journal = journal
        self.meter = meter
        self.planner: Planner | None = None
        self.root = os.path.realpath(configuration.text("root"))
        self.shim_program = shim_program
        self.state_root = os.path.join(self.root, "state")
        for directory in ("s", "logs", "state", "bundles"):
            os.makedirs(os.path.join(self.root, directory), mode=0o700, exist_ok=True)
        self._lock = os.open(os.path.join(self.root, "lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise OrlopError(f"another orlopd runs in {self.root}") from error
        self.records = Records(
            os.path.join(self.root, "records.db"), configuration.whole("events.kept")
        )
        self.records.writer.on_debt = self._begin_paying
        self.shims = Shims(shim_program)
        self.changed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lasting: set[asyncio.Task[Any]] = set()
        self.restarts = Restarts(self)
        self._containers = {r.id: Container(self, r) for r in self.records.all()}
        self._runtime_ids = {each.record.runtime_id for each in self.all()}
        self._leave_unknown()

    def _leave_unknown(self) -> None:
        """Shims of records that were lost: nothing of theirs is taken by a new container."""
        known = {each.record.number for each in self.all()}
        unknown = {
            int(n) for n in os.listdir(os.path.join(self.root, "s")) if n.isdecimal()
        } - known
        if unknown:
            self.records.number_after(max(unknown))
            self.journal.warning(
                "containers without a record go on: see `orlop --root list`",
                root=self.runtime_root,
                shims=len(unknown),
            )

    async def recover(self) -> None:
        """Go on where the orlopd before ended."""
        self._remove_bundles()
        await asyncio.gather(*(c.recover() for c in list(self._containers.values())))

    def _remove_bundles(self) -> None:
        """Those of containers that never got a record, or have none any more."""
        used = {container.record.bundle for container in self.all()}
        for entry in os.scandir(os.path.join(self.root, "bundles")):
            if entry.path not in used:
                shutil.rmtree(entry.path)

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Do something that goes on although whoever asked for it goes away.

        Then its failure is nobody's: asyncio has none to complain of, unless it is a fault of ours.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)
        return task

    def _spawned_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, (Failure, OrlopError, OSError, RpcError)):
            self.journal.error("unexpected", error)

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that goes on for as long as a container, or orlopd itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)

    async def settle(self, seconds: float) -> None:
        """Wait for what was begun: what takes longer, the next orlopd undoes or finishes."""
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=seconds)
            if left:
                self.journal.warning("not everything came to its end", left=len(left))

    # -- containers

    def get(self, container_id: str) -> Container:
        """Raises Failure."""
        found = self._containers.get(container_id)
        if found is None:
            raise Failure(NOT_FOUND, f"there is no container {container_id!r}")
        return found

    def has(self, container: Container) -> bool:
        """Whether it is one of ours yet."""
        return self._containers.get(container.record.id) is container

    def all(self) -> list[Container]:
        """All, the oldest first."""
        return list(self._containers.values())

    def add(self, record: Record) -> Container:
        """Write the record of a new container. Raises Failure."""
        most = self.configuration.whole("limits.containers")
        if len(self._containers) >= most:
            raise Failure(BUSY, f"there are {most} containers, as many as limits.containers allows")
        if record.runtime_id in self._runtime_ids or (
            os.path.lexists(os.path.join(self.runtime_root, record.runtime_id))
        ):  # of one that was renamed since, or whose record was lost
            record.runtime_id += f"-{secrets.token_hex(4)}"
        try:
            self.records.add(record)
        except sqlite3.IntegrityError as error:
            what = "the id" if record.id in self._containers else "the bundle"
            raise Failure(EXISTS, f"{what} is in use by a container") from error
        container = self._containers[record.id] = Container(self, record)
        self._runtime_ids.add(record.runtime_id)
        return container

    def made_with(self, container_id: str, key: str | None) -> Container | None:
        """The container of the same request before."""
        before = self._containers.get(container_id)
        is_same = before is not None and key is not None and before.record.key == key
        return before if is_same else None

    def rename(self, container: Container, name: str) -> None:
        """Give it another id, for orlopd and its clients. Raises Failure."""
        record, before = container.record, container.record.id
        if name in self._containers:
            raise Failure(EXISTS, "the id is in use by a container")
        record.id = name
        self._containers = {each.record.id: each for each in self.all()}
        self.save(record, "rename", **{"from": before})

    def save(self, record: Record, topic: str = "", **data: object) -> None:
        """Write a change, and wake who waits for its event."""
        self.records.save(record, topic, **data)
        if topic:
            self.meter.happened(topic, record.id, data)
        self.wake()

    def forget(self, container: Container, topic: str = "") -> None:
        """A container is no more. Its record goes last: who has one can finish the rest."""
        log = self.log_path(container.record)
        rotated = (f"{log}.{n}" for n in range(1, self.configuration.whole("output.max-files")))
        for path in (log, *rotated):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
        bundle = container.record.bundle
        if os.path.dirname(bundle) == os.path.join(self.root, "bundles"):
            shutil.rmtree(bundle, ignore_errors=True)
        self.records.remove(container.record, topic)
        if topic:
            self.meter.happened(topic, container.record.id, {})
        self._containers.pop(container.record.id, None)
        self._runtime_ids.discard(container.record.runtime_id)
        self.wake()

    def _begin_paying(self, why: str) -> None:
        self.journal.error("records can't be written", error=why)
        self.watch(self._pay())

    async def _pay(self) -> None:
        """Write what is owed, however long it takes until there is room."""
        delay = 1.0
        while self.records.writer.pay():
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST)
        self.journal.warning("records can be written again")
        self.wake()
        await asyncio.gather(*(each.let_go() for each in self.all()))

    def wake(self) -> None:
        """Let everybody look who waits for `changed`; who waits from now on has another one."""
        self.changed.set()
        self.changed = asyncio.Event()

    # -- its files

    @property
    def runtime_root(self) -> str:
        """Where the runtime keeps its containers: the shim adds the namespace."""
        return os.path.join(self.state_root, NAMESPACE)

    def bundle_path(self, token: str) -> str:
        """Where a bundle of our own is."""
        return os.path.join(self.root, "bundles", token)

    def socket_path(self, record: Record) -> str:
        """Where the shim of a container listens."""
        return os.path.join(self.root, "s", str(record.number))

    def log_path(self, record: Record) -> str:
        """Where the output of a container is."""
        return os.path.join(self.root, "logs", f"{record.number}.json")

    def log_address(self, record: Record) -> str:
        """The same for its shim, with how it rotates."""
        size, files = (self.configuration.whole(f"output.max-{what}") for what in ("size", "files"))
        return f"json://{self.log_path(record)}?max-size={size}&max-files={files}"

    def remove_socket(self, record: Record) -> None:
        """After the shim is gone."""
        try:
            os.unlink(self.socket_path(record))
        except FileNotFoundError:
            pass
