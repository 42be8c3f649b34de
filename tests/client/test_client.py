# SPDX-License-Identifier: Apache-2.0
"""The synchronous client: real containers, errors as exceptions, lost connections."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop import calls
from orlop.errors import CLASSES
from supervisor import failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_a_containers_life(client: orlop.Client, bundle: Bundle) -> None:
    bundle.args("exit", "7").write()
    assert client.ping() == "pong"
    assert client.version()["ociVersion"] == "1.3.0"
    state = client.create("a", bundle=str(bundle.path), labels={"of": "x"}, key="k")
    assert (state["id"], state["status"]) == ("a", "created")
    assert client.start("a") is None
    assert client.wait("a", timeout=60)["exitStatus"] == 7
    assert client.state("a")["status"] == "stopped"
    assert client.inspect("a")["labels"] == {"of": "x"}
    assert [state["id"] for state in client.list(labels={"of": "x"})] == ["a"]
    assert client.list(status="running") == []
    client.delete("a")
    assert client.list() == []


def test_a_running_one_is_paused_and_killed(client: orlop.Client, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    state = client.run("a", bundle=str(bundle.path))
    assert client.info()["containers"]["running"] == 1
    assert client.ps("a")
    client.pause("a")
    assert client.state("a")["status"] == "paused"
    client.resume("a")
    client.kill("a", signal.SIGKILL)
    assert client.wait("a")["exitStatus"] == 137
    assert state["pid"] > 0


def test_output_is_read(client: orlop.Client, bundle: Bundle) -> None:
    bundle.args("args", "hello").write()
    client.run("a", bundle=str(bundle.path))
    client.wait("a")
    entries = client.logs("a", tail=1000)
    assert "hello" in "".join(entry["log"] for entry in entries)
    assert {entry["stream"] for entry in entries} == {"stdout"}


def test_a_method_that_the_client_does_not_know_is_called_by_name(client: orlop.Client) -> None:
    assert isinstance(client.call("rpc.discover"), dict)
    with pytest.raises(orlop.Refused) as refused:
        client.call("no.such")
    assert refused.value.code == failure.METHOD_NOT_FOUND


def test_refusals_are_the_runtimes_exceptions(
    client: orlop.Client, make_bundle: Callable[[], Bundle]
) -> None:
    bundle, wrong = make_bundle().args("sleep"), make_bundle()
    bundle.write()
    wrong.process["cwd"] = 3
    wrong.write()
    with pytest.raises(orlop.NotFound) as missing:
        client.start("nothing")
    assert isinstance(missing.value, orlop.Refused)
    assert missing.value.code == failure.NOT_FOUND
    client.run("a", bundle=str(bundle.path))
    with pytest.raises(orlop.AlreadyExists):
        client.create("a", bundle=str(bundle.path))
    with pytest.raises(orlop.WrongStatus) as status:
        client.delete("a")
    assert isinstance(status.value, orlop.Refused)
    assert status.value.data["status"] == "running"
    with pytest.raises(orlop.InvalidSpec) as invalid:
        client.create("b", bundle=str(wrong.path))
    (violation,) = invalid.value.violations
    assert (violation.pointer, violation.line > 0) == ("/process/cwd", True)
    with pytest.raises(orlop.InvalidParameter) as parameter:
        client.create("b", bundle="relative")
    assert parameter.value.pointer == "/bundle"
    with pytest.raises(orlop.DeadlineOver):
        client.wait("a", timeout=0.01)


def test_a_failing_start_names_the_line_of_the_configuration(
    client: orlop.Client, bundle: Bundle
) -> None:
    bundle.spec["mounts"].append(
        {"destination": "/x", "source": "/nowhere", "type": "bind", "options": ["bind"]}
    )
    bundle.write()
    with pytest.raises(orlop.PlanFailed) as failed:
        client.run("a", bundle=str(bundle.path))
    place = f"/mounts/{len(bundle.spec['mounts']) - 1}"
    assert isinstance(failed.value, orlop.RuntimeFailed)
    assert failed.value.pointer.startswith(place)
    assert str(failed.value).count(failed.value.pointer) == 1


def test_every_code_has_a_class() -> None:
    ours = {code for code in failure.CODES if code > 0}
    assert ours | {failure.INVALID_PARAMS} == CLASSES.keys()


def test_nobody_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(orlop.Unreachable) as unreachable:
        orlop.Client(str(tmp_path / "orlopd.sock")).ping()
    assert str(unreachable.value) == f"{tmp_path}/orlopd.sock: no orlopd listens here"
    assert unreachable.value.hint == f"start one: orlopd --root {tmp_path}"


def test_the_client_survives_a_restart_of_orlopd(client: orlop.Client, orlopd: Orlopd) -> None:
    client.ping()
    orlopd.end(signal.SIGKILL)
    with pytest.raises(orlop.Unreachable):
        client.ping()
    orlopd.start()
    assert client.ping() == "pong"


def test_a_call_whose_orlopd_dies_is_lost(
    client: orlop.Client, orlopd: Orlopd, bundle: Bundle
) -> None:
    """Not done again: who asked can't know whether it was done."""
    bundle.args("sleep").write()
    client.run("a", bundle=str(bundle.path))
    assert client._connection is not None
    client._connection.begin(calls.wait("a"))
    assert orlopd.process is not None
    orlopd.end(signal.SIGKILL)
    with pytest.raises(orlop.Lost):
        client._connection.read()
    orlopd.start()
    assert client.state("a")["status"] == "running"


def test_events_come_in_their_order_and_go_on_after_a_restart(
    client: orlop.Client, orlopd: Orlopd, bundle: Bundle
) -> None:
    bundle.args("exit", "3").write()
    with client.events(since=0) as events:
        client.run("a", bundle=str(bundle.path))
        client.wait("a")
        found = [next(events) for _ in range(3)]
        assert [event.topic for event in found] == ["create", "start", "exit"]
        assert [event.number for event in found] == [1, 2, 3]
        assert found[2].data["exitStatus"] == 3
        orlopd.end(signal.SIGKILL)
        with pytest.raises(orlop.Unreachable):
            next(events)
        orlopd.start()
        with client.events(since=events.last) as rest:
            client.delete("a")
            event = next(rest)
            assert (event.number, event.topic) == (4, "delete")


def test_events_are_filtered(client: orlop.Client, make_bundle: Callable[[], Bundle]) -> None:
    for name in "ab":
        bundle = make_bundle().args("sleep")
        bundle.write()
        client.run(name, bundle=str(bundle.path))
    with client.events(since=0, containers=["b"], topics=["start"]) as events:
        client.kill("b", "KILL")
        event = next(events)
        assert (event.topic, event.container) == ("start", "b")
