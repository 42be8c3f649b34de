# SPDX-License-Identifier: Apache-2.0
"""What Create's options change, each seen from the container or from the shim's process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shim import messages
from tests.shim.conftest import NAMESPACE, OPTIONS
from tests.shim.test_life import run
from tests.support import hierarchies
from tests.support.features import requires
from tests.support.waiting import ended

if TYPE_CHECKING:
    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle

pytestmark = requires("root")


def options(shim: Shim, **values: object) -> dict[str, object]:
    """An Any of these, with the tests' state root."""
    given = {"root": str(shim.root), **values}
    return {"type_url": OPTIONS, "value": messages.RUNC_OPTIONS.encode(given)}


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_pipes_are_the_users_that_options_name(shim: Shim, bundle: Bundle, form: str) -> None:
    """io_uid, io_gid: a program of another user may open /dev/stdout again."""
    bundle.process["user"] = {"uid": 1234, "gid": 0}  # the init gives its stdio to its own uid
    client, out = shim.start(), shim.fifo("out")
    given = options(shim, io_uid=1234, io_gid=5678)
    if form == "json":
        text = json.dumps({"root": str(shim.root), "io_uid": 1234, "io_gid": 5678})
        given["value"] = text.encode()
    pid = shim.create(client, stdout=out.path, options=given)["pid"]
    status = Path(f"/proc/{pid}/fd/1").stat()
    assert (status.st_uid, status.st_gid) == (1234, 5678)
    client.call("Delete", id=shim.id)
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)


def test_the_shim_joins_the_cgroup_that_options_name(shim: Shim, cgroup: str) -> None:
    """shim_cgroup comes with `start`, so that nothing of the shim is outside of it."""
    place = f"{cgroup}/shim"
    for mountpoint in hierarchies.mountpoints().values():
        directory = mountpoint / place.lstrip("/")
        directory.mkdir(parents=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # cpuset(7): a new one of v1 has none
            for each in (directory.parent / name, directory / name):
                if each.exists() and not (directory / "cgroup.type").exists():
                    each.write_text((mountpoint / name).read_text())
    given = options(shim, shim_cgroup=place)
    started = shim.run("start", stdin=messages.ANY.encode(given))
    shim.address = started.stdout.decode()
    client = shim.connect()
    shim.create(client, options=given)
    lines = Path(f"/proc/{shim.pid}/cgroup").read_text().splitlines()
    assert {line.rpartition(":")[2] for line in lines} == {place}
    client.call("Delete", id=shim.id)
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)
    hierarchies.remove(cgroup)


@pytest.mark.parametrize("new", [True, False])
def test_a_session_keyring_is_new_unless_options_say_otherwise(
    shim: Shim, bundle: Bundle, *, new: bool
) -> None:
    bundle.args("keyring")
    client, out = shim.start(), shim.fifo("out")
    shim.create(client, stdout=out.path, options=options(shim, no_new_keyring=not new))
    client.call("Start", id=shim.id)
    client.call("Wait", id=shim.id)
    shim.finish(client)
    assert (f"_ses.{shim.id}".encode() in out.read_all()) == new


def test_without_pivot_root_the_root_is_moved(shim: Shim, bundle: Bundle) -> None:
    bundle.args("ls", "/")
    client, out = shim.start(), shim.fifo("out")
    shim.create(client, stdout=out.path, options=options(shim, no_pivot_root=True))
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)
    assert b"proc" in out.read_all()


def test_all_processes_get_a_signal_to_all(shim: Shim, bundle: Bundle) -> None:
    """Kill with `all`, of a container without a pid namespace, where each has to be signalled."""
    bundle.drop_namespace("pid")
    bundle.args("sleep")
    client, out = shim.start(), shim.fifo("out")
    shim.create(client, stdout=out.path)
    client.call("Start", id=shim.id)
    out.read_until(b"ready")
    run(client, shim, "e1", "/bin/probe", "sleep")
    client.call("Kill", id=shim.id, signal=9, all=True)
    assert client.call("Wait", id=shim.id)["exit_status"] == 128 + 9
    assert client.call("Wait", id=shim.id, exec_id="e1")["exit_status"] == 128 + 9
    client.call("Delete", id=shim.id, exec_id="e1")
    shim.finish(client)


def test_a_shim_that_nobody_needs_goes_by_itself(shim: Shim, bundle: Bundle) -> None:
    """A master that died between Delete and Shutdown leaves it nothing to do: 30 seconds."""
    client = shim.start()
    shim.create(client)
    client.call("Delete", id=shim.id)
    client.close()
    ended(shim.pid, seconds=60)
    assert not Path(shim.address.removeprefix("unix://")).exists()
    assert not (Path(shim.root) / NAMESPACE).exists()
    assert not os.path.lexists(bundle.path / "exits")
