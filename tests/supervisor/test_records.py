# SPDX-License-Identifier: Apache-2.0
"""Records that an older orlopd wrote."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from supervisor.records import MIGRATIONS, Records

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_records_of_every_older_version_are_read(tmp_path: Path, version: int) -> None:
    path = str(tmp_path / "records.db")
    older = sqlite3.connect(path)
    for number, script in enumerate(MIGRATIONS[:version], 1):
        older.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
    older.execute(
        "INSERT INTO container (id, bundle, status, created_at, exit_status, labels)"
        " VALUES ('a', '/b', 'stopped', '2026-01-01T00:00:00Z', 3, '{\"x\": \"y\"}')"
    )
    if version > 1:
        older.execute("UPDATE container SET runtime_id = id")
    older.execute(
        "INSERT INTO event (time, topic, container, data)"
        " VALUES ('2026-01-01T00:00:00Z', 'exit', 'a', '{\"exitStatus\": 3}')"
    )
    older.commit()
    older.close()
    for _ in range(2):  # and once only
        records = Records(path, 100)
        (record,) = records.all()
        assert (record.id, record.runtime_id, record.exit_status) == ("a", "a", 3)
        assert (record.labels, record.settings) == ({"x": "y"}, {})
        assert [event.topic for event in records.events_after(0, 10)] == ["exit"]
        assert records.execs(record) == []
        records.close()
