# SPDX-License-Identifier: Apache-2.0
"""`make install` of another version under a running orlopd: containers don't notice."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from supervisor.records import MIGRATIONS
from tests.integration.test_install import script
from tests.supervisor.books import balance
from tests.support.features import requires
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle

pytestmark = [requires("root", "cc"), pytest.mark.slow]

_LATER = "MIGRATIONS += (\"ALTER TABLE container ADD COLUMN later TEXT NOT NULL DEFAULT '';\",)\n"


def installed(prefix: Path) -> Path:
    """Install once more; the real path of its orlopd."""
    result = script("install", PREFIX=str(prefix))
    assert result.returncode == 0, result.stderr
    return (prefix / "bin" / "orlopd").resolve()


def make_later(program: Path) -> None:
    """Have it be another version, with records of another form."""
    packages = program.parents[1] / "packages"
    (packages / "runtime" / "version.py").write_text('VERSION, COMMIT = "9.9.9", "unknown"\n')
    with (packages / "supervisor" / "records.py").open("a") as file:
        file.write(_LATER)


def test_containers_go_on_under_another_version(
    orlopd: Orlopd, make_bundle: Callable[[], Bundle], tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    older = installed(prefix)
    orlopd.program = [str(prefix / "bin" / "orlopd")]
    client = orlopd.restart()
    pids = {}
    for name in ("goes-on", "ends"):
        bundle = make_bundle().args("id", "--", "sleep")
        bundle.write()
        pids[name] = client.call("container.run", id=name, bundle=str(bundle.path))["pid"]
    shims = orlopd.shims()
    process = client.call("container.exec", id="goes-on", args=["/bin/probe", "sleep"], exec="x")
    later = installed(prefix)
    assert later != older
    make_later(later)
    assert orlopd.end() == 0
    orlopd._manager.recv(100)
    os.kill(pids["ends"], signal.SIGTERM)
    ended(pids["ends"])
    orlopd.start()
    client = orlopd.client()
    assert client.call("system.version")["version"] == "9.9.9"

    assert client.call("container.wait", id="ends")["exitStatus"] == 128 + signal.SIGTERM
    assert client.call("container.state", id="goes-on")["pid"] == pids["goes-on"]
    (log, *_) = client.call("container.logs", id="goes-on")
    assert log["log"] == "uid 0\n"
    os.kill(process["pid"], 0)
    client.call("container.kill", id="goes-on", exec="x", signal="KILL")
    assert client.call("container.wait", id="goes-on", exec="x")["exitStatus"] == 137
    further = client.call("container.exec", id="goes-on", args=["/bin/probe", "id"], attach=True)
    assert client.output(further["subscription"])[0].startswith(b"uid 0\n")
    client.call("container.pause", id="goes-on")
    client.call("container.resume", id="goes-on")
    client.call("container.update", id="goes-on", limits={"pids": 50})
    assert client.call("container.stats", id="goes-on")["pids"]["limit"] == 50
    assert set(orlopd.shims()) < set(shims)

    client.call("container.start", id="ends")  # again, and by the later one
    (new,) = set(orlopd.shims()) - set(shims)
    with open(f"/proc/{new}/cmdline") as file:
        assert str(later.parent) in file.read()
    for name in ("ends", "goes-on"):
        client.call("container.delete", id=name, force=True)
    balance(client)

    refused = subprocess.run(
        [older, "--root", orlopd.root], capture_output=True, check=False, timeout=limit(30)
    )
    assert refused.returncode == 1
    assert b"another orlopd runs" in refused.stderr
    assert orlopd.end() == 0
    orlopd._manager.recv(100)
    refused = subprocess.run(
        [older, "--root", orlopd.root], capture_output=True, check=False, timeout=limit(30)
    )
    assert refused.returncode == 1
    known = len(MIGRATIONS)
    text = f"records.db has version {known + 1}, this orlopd knows up to {known}"
    assert text.encode() in refused.stderr
