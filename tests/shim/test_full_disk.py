# SPDX-License-Identifier: Apache-2.0
"""Logs on a full disk: the container goes on, entries are whole, and what is lost is told."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from shim.log_file import File
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle

pytestmark = requires("root")
SIZE = 64 << 10
LINE = b"x" * 99 + b"\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    syscalls.mount("none", str(path), "tmpfs", 0, f"size={SIZE}")
    yield path
    syscalls.umount2(str(path), syscalls.MNT_DETACH)


@pytest.mark.parametrize("batch", [1, 2000])
def test_what_is_lost_is_told_when_there_is_room_again(disk: Path, batch: int) -> None:
    filler = disk / "filler"
    filler.write_bytes(bytes(SIZE // 2))
    file = File(str(disk / "log"), 0, 1)
    written = 2000
    for _ in range(written // batch):
        file.write([LINE] * batch)
    filler.unlink()
    file.write([b"more\n"])
    file.close()
    text = (disk / "log").read_bytes()
    told = re.findall(rb"\[(\d+) bytes lost: no space left on device\]\n", text)
    # A note that was not written whole is lost with the rest.
    assert text.count(b"x") + sum(map(int, told)) >= (len(LINE) - 1) * written
    assert text.endswith(b" bytes lost: no space left on device]\nmore\n")
    assert text.count(b"x") > 0


def test_a_file_that_can_not_be_begun_is_begun_later(disk: Path) -> None:
    path = disk / "log"
    file = File(str(path), 200, 2)
    file.write([LINE, LINE])
    (disk / "log.1").mkdir()
    (disk / "log.1" / "in the way").touch()
    file.write([LINE])
    (disk / "log.1" / "in the way").unlink()
    (disk / "log.1").rmdir()
    file.write([LINE])
    file.close()
    text = b"".join(
        (disk / name).read_bytes() for name in ("log.1", "log") if (disk / name).exists()
    )
    assert re.search(rb"\[100 bytes lost: is a directory\]\n" + LINE, text)


@pytest.mark.parametrize("layout", ["cri", "json", "file"])
def test_a_container_does_not_wait_for_a_full_disk(
    shim: Shim, bundle: Bundle, disk: Path, layout: str
) -> None:
    bundle.args("args", *["x" * 1000] * 500)
    client = shim.start()
    shim.create(client, stdout=f"{layout}://{disk}/log")
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)
    lines = (disk / "log").read_text().splitlines()
    if layout == "json":
        texts = [json.loads(line)["log"].rstrip() for line in lines]
    else:
        texts = [line.split(" ", 3)[-1] if layout == "cri" else line for line in lines]
    assert "x" * 1000 in texts
    assert len(texts) < 500
    assert {len(text) for text in texts if text.startswith("x")} == {1000} or layout == "file"
