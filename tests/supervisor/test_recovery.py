# SPDX-License-Identifier: Apache-2.0
"""orlopd is killed, or a shim, or an init: the books balance all the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pytest

from supervisor import failure
from supervisor.records import MIGRATIONS
from tests.supervisor.conftest import PROGRAM, Refused
from tests.support.ttrpc import Client as TaskClient
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]

ROUNDS = 12


def run(client: Client, bundle: Bundle, container_id: str = "a") -> int:
    """A container that goes on until it is killed; its pid."""
    bundle.args("sleep").write()
    pid = client.call("container.run", id=container_id, bundle=str(bundle.path))["pid"]
    assert isinstance(pid, int)
    return pid


def test_a_container_goes_on_while_orlopd_is_killed(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    pid = run(client, bundle)
    shims = orlopd.shims()
    client = orlopd.restart()
    assert client.call("container.state", id="a")["pid"] == pid
    assert orlopd.shims() == shims
    client.call("container.kill", id="a", signal="KILL")
    assert client.call("container.wait", id="a")["exitStatus"] == 137


def test_containers_outlive_a_clean_end(orlopd: Orlopd, client: Client, bundle: Bundle) -> None:
    pid = run(client, bundle)
    assert orlopd.end() == 0
    assert orlopd._manager.recv(100) == b"STOPPING=1"
    os.kill(pid, 0)
    orlopd.start()
    assert orlopd.client().call("container.state", id="a")["status"] == "running"


def test_a_clean_end_answers_what_was_asked(
    orlopd: Orlopd, client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    one, other = make_bundle(), make_bundle()
    run(client, one)
    other.args("sleep").write()
    waiting = client.begin("container.wait", id="a")
    client.call("system.ping")  # it waits by now
    creating = client.begin("container.run", id="b", bundle=str(other.path))
    read = client.begin("system.ping")
    client.finish(read)  # it has been read
    assert orlopd.end() == 0
    orlopd._manager.recv(100)
    assert client.finish(creating)["status"] == "running"
    with pytest.raises(Refused) as refused:
        client.finish(waiting)
    assert refused.value.code == failure.CANCELLED
    assert client.receive() is None
    assert not orlopd.socket.exists()
    orlopd.start()
    assert orlopd.client().call("container.state", id="b")["status"] == "running"


def test_an_exit_while_nobody_watches_is_told_once(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    pid = run(client, bundle)
    orlopd.end(signal.SIGKILL)
    os.kill(pid, signal.SIGTERM)
    ended(pid)
    orlopd.start()
    client = orlopd.restart()
    assert client.call("container.wait", id="a")["exitStatus"] == 128 + signal.SIGTERM
    client.call("events.subscribe", since=0)
    client.call("container.delete", id="a")
    topics = [client.event("exit")["topic"], *(_topics_until_delete(client))]
    assert topics == ["exit", "delete"]


@pytest.mark.parametrize("killed", ["orlopd", "the shim too"])
@pytest.mark.parametrize("started", [True, False])
def test_a_start_while_nobody_watches_is_told_before_its_exit(
    orlopd: Orlopd, client: Client, bundle: Bundle, *, started: bool, killed: str
) -> None:
    """orlopd has asked for it, and was killed before the answer."""
    bundle.args("sleep").write()
    pid = client.call("container.create", id="a", bundle=str(bundle.path))["pid"]
    (shim,) = orlopd.shims()
    orlopd.end(signal.SIGKILL)
    (state,) = orlopd.root.rglob("state.json")
    (socket,) = (orlopd.root / "s").iterdir()
    with contextlib.closing(TaskClient(str(socket))) as task:
        waiting = task.begin("Wait", id=state.parent.name)
        if started:
            task.call("Start", id=state.parent.name)
        os.kill(pid, signal.SIGKILL)
        assert waiting.result()["exit_status"] == 137
    if killed != "orlopd":
        os.kill(shim, signal.SIGKILL)
        ended(shim)
    orlopd.start()
    client = orlopd.client()
    assert client.call("container.wait", id="a")["exitStatus"] == 137
    client.call("events.subscribe", since=0)
    client.call("container.delete", id="a")
    begun = ["create", "start"] if started else ["create"]
    assert _topics_until_delete(client) == [*begun, "exit", "delete"]


def _topics_until_delete(client: Client) -> list[str]:
    found: list[str] = []
    while "delete" not in found:
        if not client.events:
            client._take()
        found.append(client.events.pop(0)["topic"])
    return found


def test_a_shim_that_dies_takes_its_container_along(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    pid = run(client, bundle)
    client.call("events.subscribe")
    (shim,) = orlopd.shims()
    os.kill(shim, signal.SIGKILL)
    assert client.event("exit")["data"] == {"exitStatus": 137, "reason": "the shim died"}
    ended(pid)


def test_a_shim_that_died_while_nobody_watched_is_found_out(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    pid = run(client, bundle)
    (shim,) = orlopd.shims()
    orlopd.end(signal.SIGKILL)
    os.kill(shim, signal.SIGKILL)
    ended(shim)
    orlopd.start()
    assert orlopd.client().call("container.wait", id="a")["exitStatus"] == 137
    ended(pid)


def test_the_books_balance_wherever_orlopd_is_killed(
    orlopd: Orlopd, make_bundle: Callable[[], Bundle]
) -> None:
    """Killed after a random time of a create, start, kill and delete: all or nothing is there."""
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    bundle = make_bundle()
    bundle.args("sleep").write()
    for number in range(ROUNDS):
        client = orlopd.client()
        name = f"c{number}"
        client.socket.settimeout(chance.uniform(0, 0.25))
        try:
            client.call("container.run", id=name, bundle=str(bundle.path))
            client.call("container.delete", id=name, force=True)
        except TimeoutError:
            pass
        client = orlopd.restart()
        found = client.call("container.list")
        alive = [state for state in found if state["status"] != "stopped"]
        assert len(orlopd.shims()) >= len(alive)
        for state in found:
            assert state["status"] in ("created", "running", "stopped")
            client.call("container.delete", id=state["id"], force=True)
        orlopd.shims_end()


def test_every_start_has_one_exit_in_the_events(
    orlopd: Orlopd, client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    bundles = [make_bundle() for _ in range(3)]
    for number, bundle in enumerate(bundles):
        run(client, bundle, f"c{number}")
    client = orlopd.restart()
    for number in range(3):
        client.call("container.delete", id=f"c{number}", force=True)
    client.call("events.subscribe", since=0)
    numbers, books = [], dict.fromkeys(("create", "start", "exit", "delete"), 0)
    while books["delete"] < 3:
        if not client.events:
            client._take()
        event = client.events.pop(0)
        numbers.append(event["number"])
        books[event["topic"]] += 1
    assert books == {"create": 3, "start": 3, "exit": 3, "delete": 3}
    assert numbers == list(range(1, 13))


def test_a_root_has_one_orlopd(orlopd: Orlopd) -> None:
    second = subprocess.run(
        [PROGRAM, "--root", orlopd.root], capture_output=True, check=False, timeout=limit(30)
    )
    assert second.returncode == 1
    assert b"another orlopd runs in" in second.stderr


def test_records_of_a_newer_version_are_refused(orlopd: Orlopd) -> None:
    orlopd.end(signal.SIGKILL)
    set_version(orlopd, len(MIGRATIONS) + 1)
    refused = subprocess.run(
        [PROGRAM, "--root", orlopd.root], capture_output=True, check=False, timeout=limit(30)
    )
    assert refused.returncode == 1
    assert b"start the newer orlopd" in refused.stderr
    set_version(orlopd, len(MIGRATIONS))


def test_begun_anew_it_leaves_containers_of_before_alone(
    orlopd: Orlopd, client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    """Their ids and sockets are nobody else's, whatever is created since."""
    orlopd.errors_allowed = True
    before = run(client, make_bundle())
    (shim,) = orlopd.shims()
    orlopd.end(signal.SIGKILL)
    for end in ("-wal", "-shm"):
        (orlopd.root / f"records.db{end}").unlink()
    (orlopd.root / "records.db").write_bytes(b"x" * 4096)
    refused = subprocess.run(
        [PROGRAM, "--root", orlopd.root], capture_output=True, check=False, timeout=limit(30)
    )
    assert refused.returncode == 1
    assert b"records.db: file is not a database (move it away" in refused.stderr
    (orlopd.root / "records.db").unlink()
    orlopd.start()
    orlopd.says("containers without a record go on")
    client = orlopd.client()
    assert client.call("container.list") == []
    pids = {run(client, make_bundle(), name) for name in ("b", "a")}
    assert before not in pids
    assert sorted(os.listdir(orlopd.root / "s")) == ["1", "2", "3"]
    for name in ("b", "a"):
        client.call("container.delete", id=name, force=True)
    os.kill(before, 0)  # it goes on
    assert orlopd.shims() == [shim]
    os.kill(shim, signal.SIGKILL)
    ended(shim)
    orlop, state = PROGRAM.with_name("orlop"), orlopd.root / "state" / "orlopd"
    subprocess.run(
        [orlop, "--root", state, "delete", "--force", "a"], check=True, timeout=limit(30)
    )
    ended(before)


def set_version(orlopd: Orlopd, version: int) -> None:
    records = sqlite3.connect(orlopd.root / "records.db")
    records.execute(f"PRAGMA user_version = {version}")
    records.close()
