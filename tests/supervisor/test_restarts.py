# SPDX-License-Identifier: Apache-2.0
"""Restart policies, on containers that end by themselves, by somebody, and while nobody watches."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.supervisor.conftest import Orlopd, Refused
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.supervisor.conftest import Client
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

pytestmark = [pytest.mark.root, pytest.mark.slow]

ALWAYS = {"policy": "always"}


@pytest.fixture
def orlopd(watch: Watch) -> Iterator[Orlopd]:
    """One that is quick to start something again."""
    assert not watch.found()
    daemon = Orlopd()
    path = daemon.root / "orlopd.toml"
    path.write_text("[restart]\ndelay = 0.01\nlongest = 0.1\nreset = 3600\n")
    daemon.flags = (f"--config={path}",)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def client(orlopd: Orlopd) -> Client:
    client = orlopd.client()
    client.call("events.subscribe")
    return client


def run(client: Client, bundle: Bundle, *words: str, **params: Any) -> int:  # noqa: ANN401
    bundle.args(*words).write()
    state = client.call("container.run", id="a", bundle=str(bundle.path), **params)
    pid = state.get("pid", 0)  # 0: it has ended already
    assert isinstance(pid, int)
    return pid


def topics(client: Client, last: str) -> list[str]:
    """The topics of the events up to one that is the last."""
    found: list[str] = []
    while not found or found[-1] != last:
        while not client.events:
            client._take()
        found.append(client.events.pop(0)["topic"])
    return found


def test_a_policy_can_be_changed_while_it_runs_and_after(client: Client, bundle: Bundle) -> None:
    run(client, bundle, "exit", "3")
    client.event("exit")
    client.call("container.update", id="a", restart={"policy": "on-failure", "maximum": 1})
    assert client.event("update")["data"] == {"restart": {"policy": "on-failure", "maximum": 1}}
    assert client.event("restart")["data"] == {"count": 1}
    client.event("exit")
    client.call("container.update", id="a", restart={"policy": "no"})
    assert client.call("container.inspect", id="a")["restart"]["policy"] == "no"
    client.call("container.delete", id="a")
    assert topics(client, "delete") == ["update", "delete"]


def test_without_a_policy_it_stays_down(client: Client, bundle: Bundle) -> None:
    run(client, bundle, "exit", "1")
    client.event("exit")
    client.call("container.delete", id="a")
    assert topics(client, "delete") == ["delete"]


def test_on_failure_it_is_started_again_so_many_times_and_no_more(
    client: Client, bundle: Bundle
) -> None:
    run(client, bundle, "exit", "3", restart={"policy": "on-failure", "maximum": 2})
    for count in (1, 2):
        assert client.event("exit")["data"] == {"exitStatus": 3}
        assert client.event("restart")["data"] == {"count": count}
    client.event("exit")
    found = client.call("container.inspect", id="a")
    assert found["restart"] == {"policy": "on-failure", "maximum": 2, "count": 2}
    client.call("container.delete", id="a")
    assert topics(client, "delete") == ["delete"]


def test_on_failure_a_success_is_an_end(client: Client, bundle: Bundle) -> None:
    run(client, bundle, "exit", "0", restart={"policy": "on-failure"})
    client.event("exit")
    client.call("container.delete", id="a")
    assert topics(client, "delete") == ["delete"]


def test_always_also_after_a_success(client: Client, bundle: Bundle) -> None:
    run(client, bundle, "exit", "0", restart=ALWAYS)
    for _ in range(3):
        client.event("restart")
    client.call("container.delete", id="a", force=True)
    topics(client, "delete")
    assert client.call("container.list") == []


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_who_wants_its_end_has_it_until_he_starts_it(
    client: Client, orlopd: Orlopd, bundle: Bundle, name: str
) -> None:
    run(client, bundle, "sleep", restart=ALWAYS)
    client.call("container.kill", id="a", signal=name)
    client.event("exit")
    client = orlopd.restart()  # nor does the next orlopd start it
    client.call("events.subscribe")
    assert client.call("container.state", id="a")["status"] == "stopped"
    client.call("container.start", id="a")
    pid = client.call("container.state", id="a")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert topics(client, "restart") == ["start", "exit", "restart"]
    client.event("start")


def test_another_signal_is_the_programs_affair(client: Client, bundle: Bundle) -> None:
    run(client, bundle, "trap", "USR1", restart=ALWAYS)
    client.call("container.kill", id="a", signal="USR1")
    client.event("exit")
    client.event("restart")
    client.event("start")


def test_it_goes_on_after_orlopd_was_killed(orlopd: Orlopd, client: Client, bundle: Bundle) -> None:
    pid = run(client, bundle, "sleep", restart=ALWAYS)
    orlopd.end(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    orlopd.start()
    client = orlopd.client()
    client.call("events.subscribe", since=2)  # create, start
    assert topics(client, "start") == ["exit", "restart", "start"]
    found = client.call("container.inspect", id="a")
    assert (found["status"], found["restart"]["count"]) == ("running", 1)


def test_a_killed_shim_is_no_end(orlopd: Orlopd, client: Client, bundle: Bundle) -> None:
    run(client, bundle, "sleep", restart=ALWAYS)
    (shim,) = orlopd.shims()
    os.kill(shim, signal.SIGKILL)
    assert topics(client, "restart") == ["create", "start", "exit", "restart"]
    client.event("start")


def test_a_restart_that_fails_is_tried_again(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    orlopd.errors_allowed = True
    pid = run(client, bundle, "sleep", restart=ALWAYS)
    config = bundle.path / "config.json"
    config.rename(bundle.path / "away")
    os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        client.event("restart")
    (bundle.path / "away").rename(config)
    assert "a restart failed" in orlopd.errors
    assert client.event("start")["container"] == "a"


def test_deleting_it_ends_the_waiting(client: Client, bundle: Bundle) -> None:
    run(client, bundle, "exit", "1", restart=ALWAYS)
    client.event("restart")
    client.call("container.delete", id="a", force=True)
    run(client, bundle, "exit", "0")
    client.event("exit")
    assert client.call("container.inspect", id="a")["restart"]["count"] == 0


def test_a_policy_that_is_none_is_refused(client: Client, bundle: Bundle) -> None:
    with pytest.raises(Refused) as refused:
        run(client, bundle, "exit", "0", restart={"policy": "unless-stopped"})
    assert refused.value.data["pointer"] == "/restart/policy"
