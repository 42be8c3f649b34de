# SPDX-License-Identifier: Apache-2.0
"""orlopd keeps `orlop planner` running, and takes it along when it goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

import pytest

from supervisor.backoff import Backoff
from tests.supervisor.conftest import PROGRAM, Orlopd
from tests.support.waiting import ended, limit, readable

if TYPE_CHECKING:
    from collections.abc import Iterator


class Planning:
    """An orlopd with a planner on a socket of its own; its journal is read line by line."""

    def __init__(self) -> None:
        self.daemon = Orlopd("--log-format=json", "--log-level=info")
        self.daemon.errors_allowed = True
        root = self.daemon.root
        (root / "orlopd.toml").write_text(
            f'[planner]\nrun = true\nsocket = "{root}/planner.sock"\n'
        )
        self.daemon.flags = (*self.daemon.flags, f"--config={root}/orlopd.toml")
        os.mkfifo(root / "stderr")
        self._journal: IO[bytes] = os.fdopen(os.open(root / "stderr", os.O_RDWR), "rb", buffering=0)
        self.daemon.start()

    def told(self, message: str) -> dict[str, Any]:
        """The next line of the journal with this message."""
        while True:
            readable(self._journal.fileno(), 60, message)
            found: dict[str, Any] = json.loads(self._journal.readline())
            if found["message"] == message:
                return found

    def server(self) -> int:
        """The pid of who listens where commands look for a planner."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(self.daemon.root / "planner.sock"))
            raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(raw[:4], sys.byteorder)

    def close(self) -> None:
        """End everything."""
        self._journal.close()
        (self.daemon.root / "stderr").unlink()
        (self.daemon.root / "stderr").touch()
        self.daemon.close()


@pytest.fixture
def planning() -> Iterator[Planning]:
    found = Planning()
    yield found
    found.close()


def test_delays_double_up_to_the_longest_and_a_good_run_forgets_them() -> None:
    backoff = Backoff(0.1, 5, 10)
    assert [backoff.delay(n) for n in (0, 1, 2)] == [0.1, 0.2, 0.4]
    assert backoff.delay(1000) == 5
    assert not backoff.is_good(9.9)
    assert backoff.is_good(10)


@pytest.mark.root
@pytest.mark.slow
def test_the_planner_serves_and_is_started_again_when_it_dies(planning: Planning) -> None:
    first = planning.told("the planner serves")["planner"]
    assert planning.server() == first
    os.kill(first, signal.SIGKILL)
    assert planning.told("the planner ended")["status"] == -signal.SIGKILL
    second = planning.told("the planner serves")["planner"]
    assert second != first
    found = planning.daemon.client().call("system.metrics")["planner"]
    assert found == {"pid": second, "starts": 2}
    assert planning.server() == second


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_planner_goes_with_orlopd_however_that_ends(planning: Planning, number: int) -> None:
    pid = planning.told("the planner serves")["planner"]
    planning.daemon.end(number)
    ended(pid)
    if number == signal.SIGTERM:
        planning.daemon._manager.recv(100)
    planning.daemon.start()
    assert planning.told("the planner serves")["planner"] != pid


@pytest.mark.root
@pytest.mark.slow
def test_a_planner_that_another_has_started_is_left_alone(planning: Planning) -> None:
    pid = planning.told("the planner serves")["planner"]
    second = subprocess.run(
        [PROGRAM.with_name("orlop"), "planner", "--socket", planning.daemon.root / "planner.sock"],
        capture_output=True, check=False, timeout=limit(30),
    )  # fmt: skip
    assert second.returncode == 1
    os.kill(pid, 0)
