# SPDX-License-Identifier: Apache-2.0
"""SIGKILL before the things that orlopd does, one after the other: in a life, and in a recovery.

What was answered holds, what was not is there or isn't, and every exit is told once. KILLED_STEP=1
is for all of these things; otherwise for some, spread evenly.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.supervisor.books import balance
from tests.supervisor.conftest import PROGRAM, Refused
from tests.support import leaks
from tests.support.killer import KILLED
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

pytestmark = [pytest.mark.root, pytest.mark.slow]

STEP = int(os.environ.get("KILLED_STEP", "9"))
TERMINATED = 128 + signal.SIGTERM
KILL_STATUS = 128 + signal.SIGKILL
STATUS = 7
#: A life: methods and what else they are given.
LIVES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "bundle": [
        ("create", {}),
        ("start", {}),
        ("exec", {"exec": "x", "args": ["/bin/probe", "exit", str(STATUS)]}),
        ("wait", {"exec": "x"}),
        ("pause", {}),
        ("resume", {}),
        ("kill", {}),
        ("wait", {}),
        ("start", {}),
        ("delete", {"force": True}),
    ],
    "rootfs": [("run", {"restart": {"policy": "always"}}), ("delete", {"force": True})],
}
#: What a container may be after a method.
AFTER = {
    "create": {"created"},
    "run": {"running", "created", "stopped"},
    "start": {"running"},
    "exec": {"running"},
    "pause": {"paused"},
    "resume": {"running"},
    "kill": {"running", "stopped"},
    "delete": {"", "stopped"},
}
#: What is shown of one that is on its way out.
GOING = {"created", "stopped"}
#: Fewer would mean that the calls are not seen any more.
LEAST = {"bundle": 200, "rootfs": 80, "recovery": 80}


class Life:
    """A container's life, as far as its orlopd lets it come."""

    def __init__(
        self, client: Client, container_id: str, kind: str, params: dict[str, Any]
    ) -> None:
        self.id, self.answers = container_id, 0
        self._steps = LIVES[kind]
        for method, values in self._steps:
            given = {**values, **(params if method in ("create", "run") else {})}
            try:
                answer = client.call(f"container.{method}", id=container_id, **given)
            except ConnectionError:
                client.close()
                return
            if method == "wait":
                assert answer["exitStatus"] == (STATUS if values else TERMINATED)
            self.answers += 1

    @property
    def is_whole(self) -> bool:
        """Whether everything was answered."""
        return self.answers == len(self._steps)

    @property
    def last(self) -> str:
        """The last one that was answered."""
        return self._steps[self.answers - 1][0] if self.answers else ""

    @property
    def asked(self) -> str:
        """The one that was not answered."""
        return self._steps[self.answers][0]

    def statuses(self) -> set[str]:
        """What it may be now; "" is not there."""
        found = {""}
        for place, (method, values) in enumerate(self._steps[: self.answers + 1]):
            after = found if values.get("exec") else AFTER.get(method, {"stopped"})
            # what wasn't answered was done, or wasn't
            found = after if place < self.answers else found | after
        return found


def killed(point: int, victim: str) -> list[str]:
    """An orlopd that is killed there."""
    return [*KILLED, str(point), victim, "", str(PROGRAM)]


def points() -> Iterator[int]:
    """Which ones; others where they begin elsewhere, so that runs don't all take the same."""
    return itertools.count(1 + os.getpid() % STEP, STEP)


@pytest.mark.parametrize("kind", LIVES)
def test_what_was_answered_holds(
    orlopd: Orlopd, make_bundle: Callable[[], Bundle], watch: Watch, kind: str
) -> None:
    bundle = make_bundle().args("sleep")
    bundle.write()
    given: dict[str, Any] = {"bundle": str(bundle.path)}
    if kind == "rootfs":
        given = {"rootfs": str(bundle.rootfs), "args": ["/bin/probe", "sleep"]}
    for point in points():
        orlopd.program = killed(point, "signalled")
        client = orlopd.restart()
        os.kill(orlopd.pid, signal.SIGUSR1)
        life = Life(client, f"c{point}", kind, given)
        if life.is_whole:
            break
        orlopd.program = [str(PROGRAM)]
        client = orlopd.restart()
        try:
            holds(client, life)
            deleted(client)
            client.close()
            nothing_is_left(orlopd, watch)
        except Exception as error:
            error.add_note(f"killed before effect {point}, after {life.answers} answers")
            raise
    assert point > LEAST[kind]
    balance(orlopd.restart())


def test_a_recovery_goes_on_where_one_ended(
    orlopd: Orlopd, make_bundle: Callable[[], Bundle], watch: Watch
) -> None:
    """Of what ended meanwhile, what lost its shim, what goes on, and what was being removed."""
    bundles = [make_bundle() for _ in range(4)]
    for bundle in bundles:
        bundle.args("sleep").write()
    orlopd.errors_allowed = True  # a shim dies, and it says so
    for point in points():
        client = orlopd.client()
        names = [f"{name}{point}" for name in ("alive", "shimless", "ended", "unwanted")]
        pids, shims = [], [set(orlopd.shims())]
        for name, bundle in zip(names, bundles, strict=True):
            method = "create" if name.startswith("unwanted") else "run"
            made = client.call(f"container.{method}", id=name, bundle=str(bundle.path))
            pids.append(made["pid"])
            shims.append(set(orlopd.shims()))
        (shim,) = shims[2] - shims[1]
        orlopd.end(signal.SIGKILL)
        os.kill(shim, signal.SIGKILL)
        os.kill(pids[2], signal.SIGTERM)
        ended(shim)
        ended(pids[2])
        with contextlib.closing(sqlite3.connect(orlopd.root / "records.db")) as records, records:
            records.execute("UPDATE container SET status = 'deleting' WHERE id = ?", [names[3]])
        orlopd.program = killed(point, "shim")
        is_over = orlopd.is_served()
        orlopd.program = [str(PROGRAM)]
        client = orlopd.restart()
        try:
            found = {state["id"]: state for state in client.call("container.list")}
            assert {name: state["status"] for name, state in found.items()} == {
                names[0]: "running",
                names[1]: "stopped",
                names[2]: "stopped",
            }
            assert found[names[0]]["pid"] == pids[0]
            assert client.call("container.wait", id=names[1])["exitStatus"] == KILL_STATUS
            assert client.call("container.wait", id=names[2])["exitStatus"] == TERMINATED
            deleted(client)
            client.close()
            nothing_is_left(orlopd, watch)
        except Exception as error:
            error.add_note(f"killed before effect {point}")
            raise
        if is_over:
            break
    assert point > LEAST["recovery"]
    balance(orlopd.restart())


def holds(client: Client, life: Life) -> None:
    """Whatever the client was told is so yet, and what it wasn't is all or nothing."""
    found = {state["id"]: state for state in client.call("container.list")}
    state = found.pop(life.id, {"status": "", "pid": 0})
    assert found == {}
    assert state["status"] in life.statuses()
    if not state["status"]:
        return
    if life.asked in ("run", "delete") and state["status"] in GOING:
        client.call("events.subscribe", since=0, containers=[life.id])
        client.event("delete")  # without being asked again
        return
    if life.asked == "delete":
        return
    if state["status"] in ("running", "paused"):
        os.kill(state["pid"], 0)
    if life.last == "exec":
        answer = client.call("container.wait", id=life.id, exec="x")
        assert answer["exitStatus"] == STATUS
    if state["status"] == "paused":
        client.call("container.resume", id=life.id)
    if life.last == "kill":
        assert client.call("container.wait", id=life.id)["exitStatus"] == TERMINATED


def deleted(client: Client) -> None:
    """Delete all; one that is just going is gone."""
    for state in client.call("container.list"):
        with contextlib.suppress(Refused):
            client.call("container.delete", id=state["id"], force=True)
    assert client.call("container.list") == []


def nothing_is_left(orlopd: Orlopd, watch: Watch) -> None:
    """Once all containers are deleted."""
    orlopd.shims_end()
    assert [line for line in watch.settled() if not line.startswith("descriptor")] == []
    assert leaks.state(orlopd.root / "state" / "orlopd") == []
    for name in ("logs", "s", "bundles"):
        assert list((orlopd.root / name).iterdir()) == []
