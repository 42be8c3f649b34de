# SPDX-License-Identifier: Apache-2.0
"""Containers through orlopd: each method on a real one, and what its errors say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from supervisor import failure
from tests.supervisor.conftest import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_a_container_is_created_started_ends_and_is_removed(client: Client, bundle: Bundle) -> None:
    bundle.args("exit", "7").write()
    client.call("events.subscribe", since=0)
    created = client.call("container.create", id="a", bundle=str(bundle.path))
    assert (created["status"], created["bundle"]) == ("created", str(bundle.path))
    assert client.call("container.start", id="a") is None
    assert client.call("container.wait", id="a")["exitStatus"] == 7
    assert client.call("container.state", id="a")["status"] == "stopped"
    assert client.call("container.inspect", id="a")["exitStatus"] == 7
    client.call("container.delete", id="a")
    assert client.event("exit")["data"] == {"exitStatus": 7}
    assert client.event("delete")["number"] == 4
    assert client.call("container.list") == []


def test_a_running_container_is_killed_by_force_alone(client: Client, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    running = client.call("container.run", id="a", bundle=str(bundle.path))
    assert running["status"] == "running"
    (process,) = client.call("container.ps", id="a")
    assert (process["pid"], process["user"]) == (running["pid"], "0")
    assert process["command"] == "/bin/probe sleep"
    assert process["memory"] > 0
    with pytest.raises(Refused) as refused:
        client.call("container.delete", id="a")
    assert (refused.value.code, refused.value.data) == (
        failure.WRONG_STATE,
        {"status": "running"},
    )
    client.call("container.delete", id="a", force=True)
    assert client.call("container.list") == []


def test_a_paused_container_is_removed_by_force(client: Client, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    client.call("container.pause", id="a")
    assert client.call("container.state", id="a")["status"] == "paused"
    client.call("container.delete", id="a", force=True)


def test_a_created_container_is_removed_without_force(client: Client, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    client.call("container.create", id="a", bundle=str(bundle.path))
    client.call("container.delete", id="a")
    assert client.call("container.list") == []


def test_a_signal_has_a_name_or_a_number(client: Client, make_bundle: Callable[[], Bundle]) -> None:
    for name, number in {"SIGKILL": 9, 9: 9}.items():
        bundle = make_bundle().args("sleep")
        bundle.write()
        client.call("container.run", id=f"c{name}", bundle=str(bundle.path))
        client.call("container.kill", id=f"c{name}", signal=name)
        assert client.call("container.wait", id=f"c{name}")["exitStatus"] == 128 + number


def test_pages_and_filters_of_the_list(client: Client, make_bundle: Callable[[], Bundle]) -> None:
    for name in ("a", "b", "c"):
        bundle = make_bundle().args("sleep")
        bundle.write()
        client.call("container.create", id=name, bundle=str(bundle.path), labels={"of": name})
    client.call("container.start", id="b")

    def ids(**params: object) -> list[str]:
        return [state["id"] for state in client.call("container.list", **params)]

    assert ids(limit=2) == ["a", "b"]
    assert ids(after="b") == ["c"]
    assert ids(labels={"of": "c"}) == ["c"]
    assert ids(status="running") == ["b"]


def test_a_wrong_configuration_is_refused_with_its_pointer(client: Client, bundle: Bundle) -> None:
    bundle.process["cwd"] = 3
    bundle.write()
    with pytest.raises(Refused) as refused:
        client.call("container.create", id="a", bundle=str(bundle.path))
    assert refused.value.code == failure.INVALID_SPEC
    assert refused.value.data["violations"][0]["pointer"] == "/process/cwd"
    assert client.call("container.list") == []


def test_a_start_that_fails_leaves_nothing(client: Client, bundle: Bundle) -> None:
    bundle.spec["mounts"].append({"destination": "/x", "source": "/nowhere", "type": "bind",
                                  "options": ["bind"]})  # fmt: skip
    bundle.write()
    with pytest.raises(Refused) as refused:
        client.call("container.run", id="a", bundle=str(bundle.path))
    place = f"/mounts/{len(bundle.spec['mounts']) - 1}"
    assert refused.value.data["pointer"].startswith(place)
    assert client.call("container.list") == []


def test_an_id_and_a_bundle_are_one_containers(
    client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    one, other = make_bundle(), make_bundle()
    one.write()
    other.write()
    client.call("container.create", id="a", bundle=str(one.path), key="k")
    again = client.call("container.create", id="a", bundle=str(one.path), key="k")
    assert again["status"] == "created"
    for container_id, bundle in (("a", other), ("b", one)):
        with pytest.raises(Refused) as refused:
            client.call("container.create", id=container_id, bundle=str(bundle.path))
        assert refused.value.code == failure.EXISTS


def test_output_is_kept_until_the_container_is_removed(
    client: Client, orlopd: Orlopd, bundle: Bundle
) -> None:
    bundle.args("args", "hello").write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    client.call("container.wait", id="a")
    log = client.call("container.inspect", id="a")["log"]
    with open(log, encoding="utf-8") as file:
        written = [json.loads(line) for line in file]
    assert written
    assert client.call("container.logs", id="a", tail=1) == written[-1:]
    client.call("container.delete", id="a")
    assert list((orlopd.root / "logs").iterdir()) == []
