# SPDX-License-Identifier: Apache-2.0
"""A log on a disk that hangs: the shim and its container go on, and end."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from shim.ttrpc import RpcError
from tests.support.features import requires
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle

pytestmark = requires("root")
OUTPUT = 16 << 20  # more than pipe and queue take


class Disk:
    """A file system that hangs when it is told to (ioctl FIFREEZE, fsfreeze(8))."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hangs = False

    def hang(self) -> None:
        subprocess.run(["fsfreeze", "-f", self.path], check=True)
        self.hangs = True

    def let_go(self) -> None:
        if self.hangs:
            subprocess.run(["fsfreeze", "-u", self.path], check=True)
            self.hangs = False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    image, path = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    path.mkdir()
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    made = Disk(path)
    yield made
    made.let_go()
    subprocess.run(["umount", "--lazy", path], check=True)  # a test that failed left it in use


@requires("loop")
@pytest.mark.parametrize("layout", ["file", "cri", "json"])
def test_a_container_and_its_shim_end_though_the_disk_hangs(
    shim: Shim, bundle: Bundle, disk: Disk, layout: str
) -> None:
    (bundle.rootfs / "output").write_bytes(b"x" * 99 + b"\n" * (OUTPUT // 100))
    bundle.args("cat", "/output", "--", "exit", "3").write()
    client = shim.start()
    log = disk.path / "log"
    shim.create(client, stdout=f"{layout}://{log}")
    disk.hang()
    waiting = client.begin("Wait", id=shim.id)
    client.call("Start", id=shim.id)
    assert client.call("State", id=shim.id)["pid"]
    client.call("Stats", id=shim.id)
    assert waiting.result()["exit_status"] == 3
    client.call("Delete", id=shim.id)
    client.call("Shutdown", id=shim.id)
    client.socket.settimeout(limit(30))
    assert client.socket.recv(1) == b""
    assert "the disk of a log hangs" in shim.log
    os.kill(shim.pid, 0)
    disk.let_go()
    ended(shim.pid)


@requires("loop")
def test_others_are_served_while_a_create_waits_for_its_disk(
    shim: Shim, bundle: Bundle, make_bundle: Callable[[], Bundle], disk: Disk, tmp_path: Path
) -> None:
    bundle.args("sleep").write()
    other = make_bundle()
    other.args("args", "hello").write()
    client = shim.start()
    shim.create(client)
    disk.hang()
    log = disk.path / "log"
    values = {"id": "other", "bundle": str(other.path), "options": shim.options}
    creating = client.begin("Create", stdout=f"json://{log}", **values)
    client.call("Start", id=shim.id)
    execution = {"id": shim.id, "exec_id": "e"}
    process = {"args": ["/bin/probe", "true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
    spec = {"type_url": "Process", "value": json.dumps(process).encode()}
    client.call("Exec", **execution, spec=spec, stdout=f"file://{tmp_path}/log")
    client.call("Start", **execution)
    assert client.call("Wait", **execution)["exit_status"] == 0
    assert not log.exists()
    disk.let_go()
    assert creating.result()["pid"]
    client.call("Start", id="other")
    assert client.call("Wait", id="other")["exit_status"] == 0
    client.call("Delete", id="other")
    client.call("Kill", id=shim.id, signal=9)
    client.call("Wait", id=shim.id)
    client.call("Delete", id=shim.id)
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)
    assert json.loads(log.read_text().splitlines()[-1])["log"] == "hello\n"


@pytest.mark.parametrize("layout", ["file", "cri", "json"])
def test_a_fifo_is_no_log(shim: Shim, bundle: Bundle, tmp_path: Path, layout: str) -> None:
    """Whoever opens or fills one waits for its reader."""
    bundle.args("true").write()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    client = shim.start()
    with pytest.raises(RpcError, match=r"No such device|neither a file nor"):
        shim.create(client, stdout=f"{layout}://{fifo}")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(RpcError, match="neither a file nor a character device"):
        shim.create(client, stdout=f"{layout}://{fifo}")
    os.close(reader)
    client.call("Shutdown", id=shim.id)
