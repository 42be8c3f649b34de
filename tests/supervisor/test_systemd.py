# SPDX-License-Identifier: Apache-2.0
"""The units that `make install` places, under a real systemd, and that systemd accepts them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor import documents
from tests.supervisor.conftest import PROGRAM, Client
from tests.support.features import requires
from tests.support.systemd import show, systemctl
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bundle import Bundle

UNITS = Path("/run/systemd/system")
SOCKET = Path("/run/orlopd/orlopd.sock")

pytestmark = [requires("root", "systemd"), pytest.mark.root, pytest.mark.systemd]


def prop(unit: str, name: str) -> str:
    return show(unit, name)[name]


@pytest.fixture
def units() -> Iterator[list[Path]]:
    """Installed, with this tree's programs, and orlopd's socket started."""
    prefix = str(PROGRAM.parents[1])
    written = []
    for path, text in documents.documents(prefix).items():
        if path.startswith("lib/systemd/"):
            unit = UNITS / Path(path).name
            unit.write_text(text)
            written.append(unit)
    systemctl("daemon-reload")
    systemctl("start", "orlopd.socket")
    yield written
    client = Client(SOCKET)
    for state in client.call("container.list"):
        client.call("container.delete", id=state["id"], force=True)
    client.close()
    systemctl("stop", "orlopd.socket", "orlopd.service", "orlop-planner.socket",
              "orlop-shim-planner.socket")  # fmt: skip
    for unit in written:
        unit.unlink()
    systemctl("daemon-reload")


def test_a_client_starts_it_and_a_restart_keeps_containers(
    units: list[Path], bundle: Bundle
) -> None:
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, check=False, text=True, timeout=limit(60),
    )  # fmt: skip
    assert (verified.returncode, verified.stderr) == (0, "")
    assert prop("orlopd.service", "ActiveState") == "inactive"
    client = Client(SOCKET)
    assert client.call("system.ping") == "pong"
    assert prop("orlopd.service", "ActiveState") == "active"
    assert prop("orlopd.service", "Delegate") == "yes"
    bundle.args("sleep").write()
    pid = client.call("container.run", id="a", bundle=str(bundle.path))["pid"]
    first = client.call("system.info")["pid"]
    client.close()
    systemctl("restart", "orlopd.service")
    client = Client(SOCKET)
    assert client.call("system.info")["pid"] != first
    assert client.call("container.state", id="a")["pid"] == pid
    client.close()
    systemctl("stop", "orlopd.service", "orlopd.socket")
    os.kill(pid, 0)
    systemctl("start", "orlopd.socket")
    client = Client(SOCKET)
    client.call("container.kill", id="a", signal="KILL")
    assert client.call("container.wait", id="a")["exitStatus"] == 137
    ended(pid)
    client.close()


def test_a_killed_orlopd_is_started_by_systemd(units: list[Path]) -> None:
    assert units
    client = Client(SOCKET)
    pid = client.call("system.info")["pid"]
    os.kill(pid, 9)
    assert client.receive() is None
    client.close()
    client = Client(SOCKET)
    assert client.call("system.info")["pid"] != pid
    client.close()


@pytest.mark.parametrize(
    ("unit", "words", "variable"),
    [
        ("orlop-planner", ["orlop", "features"], "ORLOP_PLANNER"),
        ("orlop-shim-planner", ["containerd-shim-orlop-v1", "-info"], "ORLOP_SHIM_PLANNER"),
    ],
)
def test_planners_are_started_by_their_sockets(
    units: list[Path], unit: str, words: list[str], variable: str
) -> None:
    assert units
    systemctl("start", f"{unit}.socket")
    command = [str(PROGRAM.with_name(words[0])), *words[1:]]
    environment = {name: of for name, of in os.environ.items() if name != variable}
    done = subprocess.run(command, env=environment, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=limit(60))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert prop(f"{unit}.service", "ActiveState") in ("activating", "active")
    systemctl("start", f"{unit}.service")  # waits until it is
    assert prop(f"{unit}.service", "ActiveState") == "active"
    systemctl("stop", f"{unit}.service")
