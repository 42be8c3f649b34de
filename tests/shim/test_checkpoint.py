# SPDX-License-Identifier: Apache-2.0
"""Checkpoint, and a container made of one: through the shim, whose children restored ones are.

Where criu works: `QEMU=1 scripts/test-vm.sh -- tests/shim/test_checkpoint.py`.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from shim import ttrpc
from shim.messages import CHECKPOINT_OPTIONS
from shim.ttrpc import RpcError
from tests.support.features import requires
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.ttrpc import Client

pytestmark = [requires("root"), pytest.mark.v2]
CREATED, RUNNING, STOPPED = 1, 2, 3


def running(shim: Shim, bundle: Bundle) -> Client:
    """A container that answers SIGUSR1."""
    bundle.args("trap", "SIGUSR1")
    client = shim.start()
    out = shim.fifo("out")
    shim.create(client, stdout=out.path, stderr=out.path)
    client.call("Start", id=shim.id)
    assert out.read_until(b"ready\n")
    return client


def checkpoint(client: Client, shim: Shim, path: Path, **options: object) -> None:
    value = CHECKPOINT_OPTIONS.encode(options)
    given = {"type_url": "containerd.runc.v1.CheckpointOptions", "value": value}
    client.call("Checkpoint", id=shim.id, path=str(path), options=given)


@requires("criu-works")
def test_a_container_goes_on_from_its_checkpoint(
    shim: Shim, bundle: Bundle, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    client = running(shim, bundle)
    waiting = client.begin("Wait", id=shim.id)
    checkpoint(client, shim, images, exit=True)
    assert waiting.result()["exit_status"] == 128 + 9
    shim.events.wait("/tasks/checkpointed")
    client.call("Delete", id=shim.id)
    out = shim.fifo("restored")
    made = shim.create(client, stdout=out.path, stderr=out.path, checkpoint=str(images))
    assert made["pid"] == 0
    assert client.call("State", id=shim.id)["status"] == CREATED
    pid = client.call("Start", id=shim.id)["pid"]
    state = client.call("State", id=shim.id)
    assert (state["pid"], state["status"]) == (pid, RUNNING)
    client.call("Kill", id=shim.id, signal=10)
    assert out.read_until(b"SIGUSR1\n") == b"SIGUSR1\n"
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)
    shim.events.wait("/tasks/delete")
    assert shim.events.topics(shim.id)[-4:] == ["create", "start", "exit", "delete"]
    assert not (bundle.path / "criu").exists()


@requires("criu-works")
def test_without_exit_it_runs_on(shim: Shim, bundle: Bundle, tmp_path: Path) -> None:
    client = running(shim, bundle)
    checkpoint(client, shim, tmp_path / "images")
    assert client.call("State", id=shim.id)["status"] == RUNNING
    shim.end(client)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory with no room for images."""
    path = tmp_path / "full"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@requires("criu")
def test_what_criu_refuses_is_told_with_its_log_and_runs_on(
    shim: Shim, bundle: Bundle, full_disk: Path
) -> None:
    client = running(shim, bundle)
    with pytest.raises(RpcError) as error:
        checkpoint(client, shim, full_disk, exit=True)
    message = error.value.message
    assert f"criu could not checkpoint container {shim.id}: " in message
    log = bundle.path / "criu" / "dump.log"
    assert (f"the whole log is {log}" in message) == log.exists()
    assert client.call("State", id=shim.id)["status"] == RUNNING
    shim.end(client)


def test_images_that_are_none_leave_a_container_that_can_be_deleted(
    shim: Shim, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "descriptors.json").write_text('["/dev/null", "/dev/null", "/dev/null"]')
    client = shim.start()
    assert shim.create(client, checkpoint=str(images)) == {"pid": 0}
    for _ in range(2):  # nothing of the first is in the way of the second
        with pytest.raises(RpcError) as error:
            client.call("Start", id=shim.id)
        assert f"criu could not restore container {shim.id}" in error.value.message
    log = shim.bundle.path / "criu" / "restore.log"
    assert (str(log) in error.value.message) == log.exists()
    assert client.call("Delete", id=shim.id)["pid"] == 0
    assert not log.parent.exists()
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"cgroups_mode": "loose"}, "cgroups_mode 'loose': none of"), ({}, "no path")],
)
def test_wrong_options_are_refused(
    shim: Shim, bundle: Bundle, options: dict[str, object], wanted: str
) -> None:
    client = running(shim, bundle)
    value = CHECKPOINT_OPTIONS.encode(options)
    given = {"type_url": "containerd.runc.v1.CheckpointOptions", "value": value}
    path = "/nowhere" if options else ""
    with pytest.raises(RpcError) as error:
        client.call("Checkpoint", id=shim.id, path=path, options=given)
    assert wanted in error.value.message
    with pytest.raises(RpcError) as error:
        client.call("Checkpoint", id=shim.id, path="/nowhere", options={**given, "type_url": "x"})
    assert error.value.code == ttrpc.INVALID_ARGUMENT
    shim.end(client)
