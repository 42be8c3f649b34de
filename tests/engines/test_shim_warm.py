# SPDX-License-Identifier: Apache-2.0
"""containerd over a warm planner of the shim's: the same results, by forks of one process."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engines.room import ENVIRONMENT
from tests.engines.runtime import SHIM, shim
from tests.engines.tree import outside, shim_of
from tests.support.features import requires
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.containerd import Containerd

pytestmark = [requires("root", "containerd"), pytest.mark.slow]


class Planner:
    """A planner where the shim looks for one, in a room. pid: out here."""

    def __init__(self, containerd: Containerd) -> None:
        self._log = containerd.room.directory / "planner.log"
        with self._log.open("wb") as log:
            self._wrapper = subprocess.Popen(
                containerd.room.command(SHIM, "-debug", "planner"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=ENVIRONMENT,
            )
        assert self._wrapper.stdout is not None
        assert self._wrapper.stdout.readline() == b"ready\n", self._log.read_text()
        children = f"/proc/{self._wrapper.pid}/task/{self._wrapper.pid}/children"
        (self.pid,) = map(int, Path(children).read_text().split())

    def calls(self) -> int:
        """How many it did."""
        text = self._log.read_text()
        assert "to be done cold" not in text
        return text.count(": a call of")

    def kill(self) -> None:
        """End it without a word."""
        os.kill(self.pid, 9)
        self._wrapper.wait()

    def close(self) -> None:
        """End it, and forget it."""
        if self._wrapper.poll() is None:
            self.kill()
        assert self._wrapper.stdout is not None
        self._wrapper.stdout.close()


@pytest.fixture
def planner(own_containerd: Containerd) -> Iterator[Planner]:
    planner = Planner(own_containerd)
    yield planner
    planner.close()


def test_a_container_is_run_and_removed(own_containerd: Containerd, planner: Planner) -> None:
    result = own_containerd.run(
        shim(), "once", "sh", "-c", "echo out; exit 3", options=("--rm",), check=False
    )
    assert (result.stdout, result.returncode) == ("out\n", 3)
    assert planner.calls() == 2  # start, and delete


def test_a_shim_is_where_a_cold_one_is(own_containerd: Containerd, planner: Planner) -> None:
    """In containerd's cgroups, with its limits, and a process of the room's first."""
    room = own_containerd.room
    own_containerd.run(shim(), "warm", "sleep", "1000", options=("--detach",))
    assert planner.calls() == 1
    shims = [shim_of(room, own_containerd.pid("warm"))]
    planner.kill()
    own_containerd.run(shim(), "cold", "sleep", "1000", options=("--detach",))
    shims.append(shim_of(room, own_containerd.pid("cold")))
    for name in ("cgroup", "limits", "oom_score_adj", "comm", "loginuid", "personality"):
        warm, cold = (Path(f"/proc/{pid}/{name}").read_text() for pid in shims)
        assert warm == cold, name
    for name in ("warm", "cold"):
        own_containerd("task", "delete", "--force", name, check=False)


def test_a_killed_planner_harms_no_container(own_containerd: Containerd, planner: Planner) -> None:
    own_containerd.run(shim(), "service", "sleep", "1000", options=("--detach",))
    assert planner.calls() == 1
    planner.kill()
    words = ("task", "exec", "--exec-id", "e", "service", "sh", "-c", "echo still here")
    assert own_containerd(*words).stdout == "still here\n"
    own_containerd.daemon.stop(signal.SIGKILL)
    own_containerd.daemon.start()
    assert own_containerd.status("service") == "RUNNING"
    (init,) = outside(own_containerd.room, own_containerd.pid("service"))
    own_containerd("task", "delete", "--force", "service", check=False)
    ended(init)
    assert own_containerd.status("service") == ""
    assert own_containerd.run(shim(), "next", "echo", "cold", options=("--rm",)).stdout == "cold\n"


def test_what_a_killed_shim_left_is_removed(own_containerd: Containerd, planner: Planner) -> None:
    room = own_containerd.room
    with own_containerd.events() as lines:
        own_containerd.run(shim(), "service", "sleep", "1000", options=("--detach",))
        (init,) = outside(room, own_containerd.pid("service"))
        os.kill(shim_of(room, own_containerd.pid("service")), 9)
        lines.until("/tasks/delete")
    ended(init)
    assert planner.calls() == 2
    assert own_containerd.status("service") == ""
