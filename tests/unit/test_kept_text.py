# SPDX-License-Identifier: Apache-2.0
"""What was written down and is read again, whatever has become of it: records, logs, answers."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orlop import errors
from orlop.protocol import Protocol
from shim import exits, messages, ttrpc
from shim.loop import Loop
from shim.publisher import Publisher
from spec.errors import OrlopError
from supervisor import logs
from supervisor.records import Records

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
ENTRIES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("log", "stream", "time"), JSON)
) | st.fixed_dictionaries(dict.fromkeys(("log", "stream", "time"), SCALARS))
LINES = st.binary(max_size=40) | ENTRIES.map(json.dumps).map(str.encode)
DEEP = b"[" * 100_000


@given(st.lists(LINES, max_size=6), st.sampled_from(["", 0.5]), st.sampled_from(["", "stdout"]))
@example([b'{"log": 1, "stream": null, "time": 3}'], 0.5, "")
@example([DEEP], "", "")
def test_any_log_is_entries(lines: list[bytes], since: str | float, stream: str) -> None:
    good = b'{"log": "x", "stream": "stdout", "time": "2026-01-01T00:00:00Z"}'
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join([*lines, good, b""]))
        file.flush()
        found = logs.tail(file.name, 100, logs.Wanted(since, stream))
    assert found[-1] == json.loads(good)
    for entry in found:
        assert all(isinstance(entry[name], str) for name in ("log", "stream", "time"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of one container."""
    path = tmp_path_factory.mktemp("records") / "records.db"
    with closing(Records(str(path), 10)), closing(sqlite3.connect(path)) as db:
        db.execute(
            "INSERT INTO container (id, bundle, status, created_at) VALUES ('a', '/b', '', '')"
        )
        db.commit()
    return path


@given(
    st.sampled_from(["labels", "settings"]),
    st.text(max_size=30) | JSON.map(json.dumps),
)
@example("labels", "{")
@example("settings", "[]")
@example("settings", DEEP.decode())
def test_any_row_is_a_record_or_refused(written: Path, column: str, text: str) -> None:
    with closing(sqlite3.connect(written)) as db:
        db.execute("UPDATE container SET labels = '{}', settings = '{}'")
        db.execute(f"UPDATE container SET {column} = ?", [text])  # noqa: S608 - of two
        db.commit()
    with closing(Records(str(written), 10)) as records:
        try:
            (record,) = records.all()
        except OrlopError as error:
            assert str(written) in str(error)  # noqa: PT017 - either way is right
            return
    assert isinstance(record.labels, dict)
    assert isinstance(record.settings, dict)


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_any_file_is_records_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "records.db"
        path.write_bytes(content)
        try:
            Records(str(path), 10).close()
        except OrlopError as error:
            assert str(path) in str(error)  # noqa: PT017 - either way is right


@given(st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode))
@example(DEEP)
@example(b"\xff")
@example(b'{"pid": 1, "exitStatus": true, "exitedAt": 1}')
@example(b"9" * 5000)
def test_any_kept_exit_is_one_or_none(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as bundle:
        (Path(bundle) / "exits").mkdir()
        for name in ("exits/init.json", exits.RECORD, exits.INIT_PID):
            (Path(bundle) / name).write_bytes(content)
        found = exits.read(bundle)
        root, _ = exits.read_record(bundle)
        pid = exits.read_pid(bundle)
    assert found is None or 0 <= found[1].status <= 255
    assert isinstance(root, str)
    assert pid >= 0


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: b"\x0a" + data))
def test_any_answer_to_an_event_lets_the_next_one_go(data: bytes) -> None:
    warnings: list[str] = []
    publisher = Publisher(Loop(lambda error: pytest.fail(repr(error))), "x", "n", warnings.append)
    publisher._queue = [b"first", b"second"]
    publisher._failures = 99
    publisher._answered(ttrpc.Frame(1, ttrpc.RESPONSE, 0, data))
    assert publisher._queue == [b"second"]
    assert messages.RESPONSE.by_name


@given(st.lists(st.binary(max_size=60) | JSON.map(json.dumps).map(str.encode), max_size=4))
@example([DEEP])
@example([b'{"jsonrpc": "2.0", "id": [], "result": 1}'])
@example([b'{"jsonrpc": "2.0", "id": 1, "error": 7}'])
@example([b'{"jsonrpc": "2.0", "method": "event", "params": []}'])
@example([b"null"])
@example([b"9" * 5000])
def test_any_answer_of_an_orlopd_is_read_or_an_error_of_the_client(lines: list[bytes]) -> None:
    protocol = Protocol()
    protocol.request("container.list", {})
    try:
        protocol.receive(b"\n".join([*lines, b""]))
    except errors.OrlopError as error:
        assert str(error)  # noqa: PT017 - either way is right
