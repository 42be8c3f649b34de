# SPDX-License-Identifier: Apache-2.0
"""Whether the books balance: what all events of an orlopd say of each life."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.supervisor.conftest import Client

_LIVES = ("create", "start", "exit", "delete")


def events(client: Client) -> Iterator[dict[str, Any]]:
    """All that there are; their numbers have no gap."""
    last = client.call("events.subscribe", since=0)["last"]
    for number in range(1, last + 1):
        while not client.events:
            client._take()
        event = client.events.pop(0)
        assert event["number"] == number
        yield event


def balance(client: Client) -> None:
    """Each life is whole: created once, an exit for each start, deleted once; so are processes."""
    lives: dict[str, list[str]] = {}
    processes: dict[tuple[str, str], list[str]] = {}
    for event in events(client):
        topic, container = event["topic"], event["container"]
        if topic in _LIVES:
            lives.setdefault(container, []).append(topic)
        elif topic in ("exec-started", "exec-exit"):
            assert lives[container][-1] == "start", (container, event)
            processes.setdefault((container, event["data"]["exec"]), []).append(topic)
    for container, topics in lives.items():
        counts = Counter(topics)
        assert counts["create"] == counts["delete"] == 1, (container, topics)
        assert (topics[0], topics[-1]) == ("create", "delete"), (container, topics)
        pairs = [topic for topic in topics if topic in ("start", "exit")]
        assert all(one != other for one, other in itertools.pairwise(pairs)), (container, topics)
        assert pairs[-1:] != ["start"], (container, topics)
    for process, topics in processes.items():
        assert topics == ["exec-started", "exec-exit"], (process, topics)
    assert lives
