# SPDX-License-Identifier: Apache-2.0
"""All containers of one orlopd, and its directory.

DIR/lock           held while an orlopd runs
DIR/orlopd.sock    where clients connect
DIR/records.db     supervisor.records
DIR/s/N            the socket of container number N's shim (unix(7): paths have 108 bytes)
DIR/logs/N.json    its output, a JSON object per line
DIR/state/orlopd   the runtime's state (`orlop --root DIR/state/orlopd list`)
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING

from runtime.state import check_id
from spec import bundle as bundles
from spec.errors import OrlopError
from supervisor.container import Container
from supervisor.failure import BUSY, EXISTS, INVALID_PARAMS, NOT_FOUND, Failure
from supervisor.records import Record, Records

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeVar

    from supervisor.configuration import Configuration
    from supervisor.journal import Journal
    from supervisor.meter import Meter
    from supervisor.planner import Planner

    Result = TypeVar("Result")


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
        self.root = os.path.abspath(configuration.text("root"))
        self.shim_program = shim_program
        self.state_root = os.path.join(self.root, "state")
        for directory in ("s", "logs", "state"):
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
        self.changed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lasting: set[asyncio.Task[Any]] = set()
        self._containers = {r.id: Container(self, r) for r in self.records.all()}

    async def recover(self) -> None:
        """Go on where the orlopd before ended."""
        await asyncio.gather(*(c.recover() for c in list(self._containers.values())))

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Do something that goes on although whoever asked for it goes away."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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

    def all(self) -> list[Container]:
        """All, the oldest first."""
        return list(self._containers.values())

    def add(
        self, container_id: str, bundle: str, labels: dict[str, str], key: str | None
    ) -> tuple[Container, bool]:
        """A record of a new container; whether it is new, and not that of the same request before.

        Raises Failure, OrlopError.
        """
        check_id(container_id)
        if not os.path.isabs(bundle):
            raise Failure(INVALID_PARAMS, "/bundle: is no absolute path", pointer="/bundle")
        before = self._containers.get(container_id)
        if before is not None and key is not None and before.record.key == key:
            return before, False
        most = self.configuration.whole("limits.containers")
        if len(self._containers) >= most:
            raise Failure(BUSY, f"there are {most} containers, as many as limits.containers allows")
        bundles.load(bundle)
        record = Record(container_id, os.path.realpath(bundle), key)
        record.labels = labels
        try:
            self.records.add(record)
        except sqlite3.IntegrityError as error:
            what = "the id" if before is not None else "the bundle"
            raise Failure(EXISTS, f"{what} is in use by a container") from error
        container = self._containers[container_id] = Container(self, record)
        return container, True

    def save(self, record: Record, topic: str = "", **data: object) -> None:
        """Write a change, and wake who waits for its event."""
        self.records.save(record, topic, **data)
        if topic:
            self.meter.happened(topic, record.id, data)
        self._wake()

    def forget(self, container: Container, topic: str = "") -> None:
        """A container is no more."""
        self.records.remove(container.record, topic)
        if topic:
            self.meter.happened(topic, container.record.id, {})
        self._containers.pop(container.record.id, None)
        log = self.log_path(container.record)
        rotated = (f"{log}.{n}" for n in range(1, self.configuration.whole("output.max-files")))
        for path in (log, *rotated):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
        self._wake()

    def _wake(self) -> None:
        """Let everybody look who waits for `changed`; who waits from now on has another one."""
        self.changed.set()
        self.changed = asyncio.Event()

    # -- its files

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
