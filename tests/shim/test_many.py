# SPDX-License-Identifier: Apache-2.0
"""Many containers of one shim, at once and one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shim.messages import RUNC_OPTIONS
from tests.shim.conftest import OPTIONS
from tests.support import hierarchies
from tests.support.features import requires
from tests.support.footprint import anonymous, descriptors, workers_ended
from tests.support.leaks import mounts
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.ttrpc import Client

pytestmark = [requires("root"), pytest.mark.slow]
_CYCLES, _WARM = 1000, 100
_AT_ONCE = 100
_GROWTH_KB = 256


def values(shim: Shim, bundle: Bundle, name: str) -> dict[str, object]:
    """What Create is told."""
    options = {"type_url": OPTIONS, "value": RUNC_OPTIONS.encode({"root": str(shim.root)})}
    return {"id": name, "bundle": str(bundle.path), "options": options}


def written(bundle: Bundle, *argv: str) -> Bundle:
    """Its program set, on disk."""
    bundle.args(*argv).write()
    return bundle


def held(client: Client, shim: Shim, cgroup: str) -> tuple[int, int, int]:
    """Descriptors, mounts and cgroups."""
    workers_ended(shim.pid)
    client.call("State", id=shim.id)
    places = len(mounts(shim.directory)), len(list(hierarchies.below(cgroup)))
    return descriptors(shim.pid), *places


def test_a_thousand_containers_leave_a_shim_as_it_was(
    shim: Shim, cgroup: str, make_bundle: Callable[[], Bundle]
) -> None:
    """One stays, so that the shim does, as a pod's sandbox."""
    client = shim.start()
    shim.create(client)
    other = written(make_bundle(), "true")
    before: tuple[tuple[int, int, int], int] = (0, 0, 0), 0
    for number in range(_CYCLES):
        if number == _WARM:
            before = held(client, shim, cgroup), anonymous(shim.pid)
        name = f"n{number}"
        client.call("Create", **values(shim, other, name))
        client.call("Start", id=name)
        assert client.call("Wait", id=name)["exit_status"] == 0
        client.call("Delete", id=name)
    assert held(client, shim, cgroup) == before[0]
    assert anonymous(shim.pid) - before[1] < _GROWTH_KB
    client.call("Delete", id=shim.id)
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)


def test_a_hundred_at_once(shim: Shim, make_bundle: Callable[[], Bundle]) -> None:
    """One more is there before and after them: it made the cgroup that they share."""
    client: Client = shim.start()
    shim.create(client)
    names = {f"n{number}": written(make_bundle(), "exit", "4") for number in range(_AT_ONCE)}
    created = [client.begin("Create", **values(shim, each, name)) for name, each in names.items()]
    pids = [pending.result()["pid"] for pending in created]
    assert len(set(pids)) == _AT_ONCE
    for method, expected in (("Start", {}), ("Wait", {"exit_status": 4}), ("Delete", {})):
        pending_calls = [client.begin(method, id=name) for name in names]
        for pending in pending_calls:
            answer = pending.result()
            assert expected.items() <= answer.items()
    shim.finish(client)
    for name in names:
        topics = [topic for topic in shim.events.topics(name) if topic == "exit"]
        assert topics == ["exit"], name
