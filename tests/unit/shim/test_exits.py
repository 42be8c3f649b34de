# SPDX-License-Identifier: Apache-2.0
"""What a shim keeps in a bundle that others may write to: no way out, and nothing that trips it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim import exits
from shim.exits import Exit
from spec import jsontext

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("name", ["init.pid", "init.pid.new", "shim.json", "shim.json.new"])
def test_nothing_is_written_or_read_through_a_link(tmp_path: Path, name: str) -> None:
    host = tmp_path / "host"
    host.write_text('{"root": "/evil", "mounted": true}')
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / name).symlink_to(host)
    assert exits.read_record(str(bundle)) == ("", False)
    assert exits.read_pid(str(bundle)) == 0
    exits.write_record(str(bundle), "/ours", mounted=False)
    exits.write_pid(str(bundle), 7)
    assert exits.read_record(str(bundle)) == ("/ours", False)
    assert exits.read_pid(str(bundle)) == 7
    exits.clear(str(bundle))
    assert host.read_text() == '{"root": "/evil", "mounted": true}'


def test_a_directory_of_exits_that_is_a_link_is_refused(tmp_path: Path) -> None:
    host, bundle = tmp_path / "host", tmp_path / "bundle"
    host.mkdir()
    (host / "init.json").write_text('{"pid": 1, "exitStatus": 0, "exitedAt": 1}')
    bundle.mkdir()
    (bundle / "exits").symlink_to(host)
    assert exits.read(str(bundle)) is None
    with pytest.raises(OSError, match="exits"):
        exits.write(str(bundle), "", 7, Exit(0, 1))
    with pytest.raises(OSError, match="exits"):
        exits.forget(str(bundle), "")
    with pytest.raises(OSError, match="exits"):
        exits.clear(str(bundle))
    assert [entry.name for entry in host.iterdir()] == ["init.json"]


def test_a_fifo_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / exits.RECORD)
    os.mkfifo(tmp_path / exits.INIT_PID)
    assert exits.read_record(str(tmp_path)) == ("", False)
    assert exits.read_pid(str(tmp_path)) == 0


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / exits.ADDRESS).touch()
    os.truncate(tmp_path / exits.ADDRESS, 1 << 40)
    assert len(exits.read_text(str(tmp_path), exits.ADDRESS)) == 65536


def test_a_bundle_that_is_gone_has_nothing(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    exits.clear(gone)
    exits.forget(gone, "")
    assert (exits.read(gone), exits.read_pid(gone)) == (None, 0)


NUMBERS = {"pid": 1, "exitStatus": 2, "exitedAt": 3}


@given(st.binary(max_size=100) | JSON.map(jsontext.dumps).map(os.fsencode))
@example(b'{"pid": 1e999, "exitStatus": 0, "exitedAt": 0}')
@example(b'{"pid": -1, "exitStatus": 0, "exitedAt": 0}')
@example(b'{"pid": 1, "exitStatus": 4096, "exitedAt": 0}')
@example(b'{"pid": 1, "exitStatus": 0, "exitedAt": ' + b"9" * 5000 + b"}")
@example(b"9" * 5000)
@example(b"-7")
@example(b"[" * 50_000)
@example(jsontext.dumps(NUMBERS).encode())
def test_any_text_is_an_exit_a_record_and_a_pid_or_nothing(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        kept = Path(directory, "exits")
        kept.mkdir()
        for file in (kept / "init.json", kept.parent / exits.RECORD, kept.parent / exits.INIT_PID):
            file.write_bytes(data)
        found = exits.read(directory)
        root, mounted = exits.read_record(directory)
        pid = exits.read_pid(directory)
    if found is not None:
        assert 0 <= found[0] <= 1 << 22
        assert 0 <= found[1].status <= 255
        assert 0 <= found[1].at <= 1 << 63
    assert (found is not None) == (data == jsontext.dumps(NUMBERS).encode())
    assert isinstance(root, str)
    assert isinstance(mounted, bool)
    assert 0 <= pid <= 1 << 22
