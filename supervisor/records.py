# SPDX-License-Identifier: Apache-2.0
"""What orlopd knows, in SQLite: containers, and the events about them in their order.

A change and its event are one transaction, written before anybody is told. WAL without a sync at
each commit: durable against the end of this process at any moment, not against power loss.
Where nothing can be written, see supervisor.writer.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from runtime.state import now
from spec.errors import OrlopError
from supervisor.writer import Writer

#: What makes version N+1 of version N.
MIGRATIONS = (
    """
    CREATE TABLE container (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        bundle TEXT NOT NULL UNIQUE,
        key TEXT,
        status TEXT NOT NULL,
        pid INTEGER NOT NULL DEFAULT 0,
        has_shim INTEGER NOT NULL DEFAULT 1,
        exit_status INTEGER,
        created_at TEXT NOT NULL,
        started_at TEXT,
        exited_at TEXT,
        labels TEXT NOT NULL DEFAULT '{}'
    ) STRICT;
    CREATE TABLE event (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        topic TEXT NOT NULL,
        container TEXT NOT NULL,
        data TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE container ADD COLUMN runtime_id TEXT NOT NULL DEFAULT '';
    UPDATE container SET runtime_id = id;
    ALTER TABLE container ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE exec (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        container INTEGER NOT NULL REFERENCES container ON DELETE CASCADE,
        id TEXT NOT NULL,
        status TEXT NOT NULL,
        pid INTEGER NOT NULL,
        exit_status INTEGER,
        exited_at TEXT,
        UNIQUE (container, id)
    ) STRICT;
    """,
)
_COLUMNS = ("number", "id", "bundle", "key", "status", "pid", "has_shim", "exit_status",
            "created_at", "started_at", "exited_at", "labels", "runtime_id",
            "settings")  # fmt: skip
_JSON = ("labels", "settings")

_ALL = """
    SELECT number, id, bundle, key, status, pid, has_shim, exit_status, created_at, started_at,
           exited_at, labels, runtime_id, settings
    FROM container ORDER BY number
"""
_ADD = """
    INSERT INTO container (id, bundle, key, status, pid, has_shim, exit_status, created_at,
                           started_at, exited_at, labels, runtime_id, settings)
    VALUES (:id, :bundle, :key, :status, :pid, :has_shim, :exit_status, :created_at,
            :started_at, :exited_at, :labels, :runtime_id, :settings)
"""
_SAVE = """
    UPDATE container SET id = :id, status = :status, pid = :pid, has_shim = :has_shim,
        exit_status = :exit_status, started_at = :started_at, exited_at = :exited_at,
        labels = :labels, settings = :settings
    WHERE number = :number
"""
_REPAIR = "move it away, with -wal and -shm: orlopd begins anew; its containers go on unknown to it"
_EXECS_KEPT = 100  # of one container, that have ended


class Record:
    """One container. status: the standard's words, or "deleting"; times: RFC 3339.

    runtime_id: what the shim and the runtime call it, for as long as it lives. settings: JSON of
    what its creator chose, beyond config.json.
    """

    __slots__ = _COLUMNS

    def __init__(self, container_id: str, bundle: str, key: str | None = None) -> None:
        self.number = 0
        self.id = container_id
        self.bundle = bundle
        self.key = key
        self.status = "creating"
        self.pid = 0
        self.has_shim = True
        self.exit_status: int | None = None
        self.created_at = now()
        self.started_at: str | None = None
        self.exited_at: str | None = None
        self.labels: dict[str, str] = {}
        self.runtime_id = container_id
        self.settings: dict[str, Any] = {}


class ExecRecord:
    """A process that was started in a container. status: creating, running or stopped."""

    __slots__ = ("exit_status", "exited_at", "id", "pid", "status")

    def __init__(self, exec_id: str) -> None:
        self.id = exec_id
        self.status = "creating"
        self.pid = 0
        self.exit_status: int | None = None
        self.exited_at: str | None = None


class Event:
    """Something that happened, with its place in the order of all."""

    __slots__ = ("container", "data", "number", "time", "topic")

    def __init__(self, number: int, time: str, topic: str, container: str, data: str) -> None:
        self.number = number
        self.time = time
        self.topic = topic
        self.container = container
        self.data: dict[str, object] = json.loads(data)


class Records:
    """The database in one file.

    writer: what its changes go through.
    """

    def __init__(self, path: str, events_kept: int) -> None:
        """Open it, or make it. Raises OrlopError: it can't be read, or a newer orlopd wrote it."""
        self._path = path
        self._events_kept = events_kept
        self._db = sqlite3.connect(path, isolation_level=None)
        self.writer = Writer(self._db, path)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate(path)
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise OrlopError(f"{path}: {error}", hint=_REPAIR) from error
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _migrate(self, path: str) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise OrlopError(
                f"{path} has version {version}, this orlopd knows up to {len(MIGRATIONS)}",
                hint="start the newer orlopd that wrote it, or choose another --root",
            )
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    # -- containers

    def all(self) -> list[Record]:
        """All containers, in the order of their creation. Raises OrlopError."""
        try:
            return [_record(row) for row in self._db.execute(_ALL)]
        except (sqlite3.Error, ValueError, RecursionError) as error:
            raise OrlopError(f"{self._path}: {error}", hint=_REPAIR) from error

    def number_after(self, number: int) -> None:
        """New containers have greater numbers than this one. Raises OrlopError: not writable."""

        def change() -> None:
            self._db.execute(
                "INSERT INTO sqlite_sequence SELECT 'container', 0"
                " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'container')"
            )
            self._db.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, :number) WHERE name = 'container'",
                {"number": number},
            )

        self.writer.write(change)

    def add(self, record: Record) -> None:
        """A new container, with its number.

        Raises sqlite3.IntegrityError: id or bundle in use; OrlopError: it can't be written.
        """

        def change() -> None:
            record.number = self._db.execute(_ADD, _values(record)).lastrowid or 0

        self.writer.write(change)

    def save(self, record: Record, topic: str = "", **data: object) -> None:
        """A container's change, with an event where a topic is given."""
        values, time = _values(record), now()

        def change() -> None:
            self._db.execute(_SAVE, values)
            if topic:
                self._add_event(time, topic, values["id"], data)

        self.writer.owe(change)

    def remove(self, record: Record, topic: str = "") -> None:
        """A container is no more."""
        number, name, time = record.number, record.id, now()

        def change() -> None:
            self._db.execute("DELETE FROM container WHERE number = ?", [number])
            if topic:
                self._add_event(time, topic, name, {})

        self.writer.owe(change)

    # -- exec processes

    def execs(self, record: Record) -> list[ExecRecord]:
        """Those of a container, in the order of their start."""
        rows = self._db.execute(
            "SELECT id, status, pid, exit_status, exited_at FROM exec WHERE container = ?"
            " ORDER BY number",
            [record.number],
        )
        found = []
        for row in rows:
            process = ExecRecord(row[0])
            process.status, process.pid, process.exit_status, process.exited_at = row[1:]
            found.append(process)
        return found

    def add_exec(self, record: Record, process: ExecRecord, topic: str) -> None:
        """A new one, with its event; the oldest ended ones are forgotten. Raises OrlopError."""

        def change() -> None:
            self._db.execute(
                "INSERT INTO exec (container, id, status, pid) VALUES (?, ?, ?, 0)",
                [record.number, process.id, process.status],
            )
            self._db.execute(
                "DELETE FROM exec WHERE container = :of AND status = 'stopped' AND number <="
                " (SELECT max(number) FROM exec WHERE container = :of) - :kept",
                {"of": record.number, "kept": _EXECS_KEPT},
            )
            self._add_event(now(), topic, record.id, {"exec": process.id})

        self.writer.write(change)

    def save_exec(
        self, record: Record, process: ExecRecord, topic: str = "", **data: object
    ) -> None:
        """Its change, with an event where a topic is given."""
        values = [process.status, process.pid, process.exit_status, process.exited_at,
                  record.number, process.id]  # fmt: skip
        name, time, content = record.id, now(), {"exec": process.id, **data}

        def change() -> None:
            self._db.execute(
                "UPDATE exec SET status = ?, pid = ?, exit_status = ?, exited_at = ?"
                " WHERE container = ? AND id = ?",
                values,
            )
            if topic:
                self._add_event(time, topic, name, content)

        self.writer.owe(change)

    def remove_exec(self, record: Record, process: ExecRecord) -> None:
        """It never came to be."""
        values = [record.number, process.id]

        def change() -> None:
            self._db.execute("DELETE FROM exec WHERE container = ? AND id = ?", values)

        self.writer.owe(change)

    # -- events

    def _add_event(self, time: str, topic: str, container: str, data: dict[str, object]) -> None:
        added = self._db.execute(
            "INSERT INTO event (time, topic, container, data) VALUES (?, ?, ?, ?)",
            [time, topic, container, json.dumps(data)],
        )
        oldest = (added.lastrowid or 0) - self._events_kept
        self._db.execute("DELETE FROM event WHERE number <= ?", [oldest])

    def last_event(self) -> int:
        """The number of the newest event that ever was, or 0."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
        return int(row[0]) if row else 0

    def first_event(self) -> int:
        """The number of the oldest event that is kept, or of the next one."""
        (number,) = self._db.execute("SELECT min(number) FROM event").fetchone()
        return int(number) if number is not None else self.last_event() + 1

    def events_after(self, number: int, limit: int) -> list[Event]:
        """The next events, at most `limit`."""
        rows = self._db.execute(
            "SELECT number, time, topic, container, data FROM event WHERE number > ?"
            " ORDER BY number LIMIT ?",
            [number, limit],
        )
        return [Event(*row) for row in rows]


def _values(record: Record) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in _COLUMNS}
    return {**values, **{name: json.dumps(values[name]) for name in _JSON}}


def _record(row: tuple[Any, ...]) -> Record:
    record = Record("", "")
    for name, value in zip(_COLUMNS, row, strict=True):
        setattr(record, name, _members(value) if name in _JSON else value)
    record.has_shim = bool(record.has_shim)
    return record


def _members(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{text[:40]!r} is no object")  # noqa: TRY004 - of the text
    return found
