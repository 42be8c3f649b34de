# SPDX-License-Identifier: Apache-2.0
"""SystemdCgroup: a shim's containers in units of systemd's, in a guest whose pid 1 it is."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shim.messages import RUNC_OPTIONS
from tests.shim.conftest import OPTIONS
from tests.shim.test_killed import SLEEP
from tests.support import leaks
from tests.support.bundle import Bundle
from tests.support.features import requires
from tests.support.systemd import is_known, show, systemctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shim.conftest import Shim

pytestmark = [requires("root", "systemd"), pytest.mark.systemd]
_numbers = itertools.count(1)


@pytest.fixture
def slice_name() -> Iterator[str]:
    """A slice for this test alone; systemd makes it, and would keep it."""
    name = f"orlopshim{os.getpid()}x{next(_numbers)}.slice"
    yield name
    systemctl("stop", name)


@pytest.fixture
def watch(tmp_path: Path, slice_name: str) -> Iterator[leaks.Watch]:
    watch = leaks.Watch(tmp_path, f"/{slice_name}", parents=False)
    yield watch
    watch.check()


@pytest.fixture
def bundle(tmp_path: Path, slice_name: str) -> Bundle:
    """Its cgroup is a scope in that slice."""
    made = Bundle(tmp_path / "bundle-1", f"/{slice_name}")
    made.spec["linux"]["cgroupsPath"] = f"{slice_name}:orlop:{os.getpid()}"
    return made


def test_a_container_is_a_unit_of_systemds(shim: Shim, bundle: Bundle, slice_name: str) -> None:
    scope = f"orlop-{os.getpid()}.scope"
    values = {"root": str(shim.root), "systemd_cgroup": True}
    options = {"type_url": OPTIONS, "value": RUNC_OPTIONS.encode(values)}
    bundle.args("sleep").write()
    client = shim.start()
    init = shim.create(client, options=options)["pid"]
    client.call("Start", id=shim.id)
    assert show(scope, "ActiveState", "Slice") == {"ActiveState": "active", "Slice": slice_name}
    client.call("Exec", id=shim.id, exec_id="e", spec={"type_url": "process", "value": SLEEP})
    process = client.call("Start", id=shim.id, exec_id="e")["pid"]
    for pid in (init, process):
        assert scope in Path(f"/proc/{pid}/cgroup").read_text()
    limits = json.dumps({"pids": {"limit": 77}}).encode()
    client.call("Update", id=shim.id, resources={"type_url": "LinuxResources", "value": limits})
    assert show(scope, "TasksMax") == {"TasksMax": "77"}
    client.call("Pause", id=shim.id)
    client.call("Resume", id=shim.id)
    assert client.call("Stats", id=shim.id)["stats"]["value"]
    shim.end(client)
    assert not is_known(scope)


def test_out_of_memory_is_told_before_the_exit(shim: Shim, bundle: Bundle) -> None:
    values = {"root": str(shim.root), "systemd_cgroup": True}
    options = {"type_url": OPTIONS, "value": RUNC_OPTIONS.encode(values)}
    bundle.resources["memory"] = {"limit": 4 << 20, "swap": 4 << 20}
    bundle.args("mem", "32768").write()
    client = shim.start()
    shim.create(client, options=options)
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 128 + 9
    shim.finish(client)
    assert shim.events.topics(shim.id) == ["create", "start", "oom", "exit", "delete"]
