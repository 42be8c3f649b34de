# SPDX-License-Identifier: Apache-2.0
"""Shims are forks of a warm template; without it there are shims all the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.features import requires
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = requires("root")


def words(pid: int) -> list[str]:
    """A process's arguments; those that are empty are what is left of the template's."""
    return [word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if word]


def template(orlopd: Orlopd) -> int:
    children = Path(f"/proc/{orlopd.pid}/task/{orlopd.pid}/children").read_text().split()
    (found,) = [int(pid) for pid in children if "-template" in words(int(pid))]
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def idle_shim(origin: int) -> int:
    """The shim that is forked ahead. It is looked for: nothing tells of another process's fork."""
    deadline = time.monotonic() + limit(20)
    while time.monotonic() < deadline:
        children = Path(f"/proc/{origin}/task/{origin}/children").read_text().split()
        for pid in map(int, children):
            if "-template" in words(pid):
                return pid
        os.sched_yield()
    raise TimeoutError(f"waited for a shim ahead of process {origin}")


def run(client: Client, name: str, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    client.call("container.run", id=name, bundle=str(bundle.path))


def test_a_shim_is_a_fork_of_the_template(orlopd: Orlopd, client: Client, bundle: Bundle) -> None:
    run(client, "a", bundle)
    (shim,) = orlopd.shims()
    assert parent(shim) == template(orlopd)
    assert words(shim)[-4:-1] == ["-namespace", "orlopd", "-socket"]
    assert os.getsid(shim) == shim
    assert {os.readlink(f"/proc/{shim}/fd/{fd}") for fd in (0, 1)} == {os.devnull}


def test_without_the_template_shims_are_executed_and_another_one_comes(
    orlopd: Orlopd, client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    run(client, "a", make_bundle())
    first = template(orlopd)
    os.kill(first, signal.SIGKILL)
    ended(first)
    run(client, "b", make_bundle())  # perhaps the dead one's idle shim takes it
    run(client, "c", make_bundle())  # perhaps nobody is there: executed
    run(client, "d", make_bundle())
    assert len(client.call("container.list", status="running")) == 4
    second = template(orlopd)
    parents = [parent(shim) for shim in orlopd.shims()]
    assert parents.count(second) > 0
    assert parents.count(orlopd.pid) == 1


def test_an_idle_shim_that_is_killed_is_replaced(
    orlopd: Orlopd, client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    run(client, "a", make_bundle())
    origin = template(orlopd)
    idle = idle_shim(origin)
    os.kill(idle, signal.SIGKILL)
    ended(idle)
    run(client, "b", make_bundle())
    assert {parent(shim) for shim in orlopd.shims()} == {origin}


def test_the_template_ends_with_orlopd_and_its_shims_do_not(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    run(client, "a", bundle)
    origin = template(orlopd)
    (shim,) = orlopd.shims()
    client = orlopd.restart()
    ended(origin)
    assert orlopd.shims() == [shim]
    assert client.call("container.state", id="a")["status"] == "running"
