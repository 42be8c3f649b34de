# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio: many calls at a time, cancelling, lost connections."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end; what asyncio complains of fails the test (filterwarnings)."""
    asyncio.run(asyncio.wait_for(work, limit(60)), debug=True)


def test_a_containers_life_with_its_events(orlopd: Orlopd, bundle: Bundle) -> None:
    bundle.args("exit", "7").write()

    async def life() -> None:
        async with orlop.AsyncClient(str(orlopd.socket)) as client:
            async with client.events(since=0) as events:
                await client.run("a", bundle=str(bundle.path))
                assert (await client.wait("a"))["exitStatus"] == 7
                await client.delete("a")
                topics = []
                async for event in events:
                    topics.append(event.topic)
                    if event.topic == "delete":
                        break
            assert topics == ["create", "start", "exit", "delete"]
            assert events.last == 4

    run(life())


def test_calls_are_answered_as_they_are_ready(orlopd: Orlopd, bundle: Bundle) -> None:
    bundle.args("sleep").write()

    async def calls() -> None:
        async with orlop.AsyncClient(str(orlopd.socket)) as client:
            await client.run("a", bundle=str(bundle.path))
            waiting = asyncio.ensure_future(client.wait("a"))
            assert await asyncio.gather(*(client.ping() for _ in range(40))) == ["pong"] * 40
            assert not waiting.done()
            await client.kill("a", "KILL")
            assert (await waiting)["exitStatus"] == 137

    run(calls())


def test_a_cancelled_call_is_cancelled_in_orlopd(orlopd: Orlopd, bundle: Bundle) -> None:
    """Else 64 abandoned waits would keep this client from asking anything."""
    bundle.args("sleep").write()

    async def calls() -> None:
        async with orlop.AsyncClient(str(orlopd.socket)) as client:
            await client.run("a", bundle=str(bundle.path))
            for _ in range(2):
                waits = [asyncio.ensure_future(client.wait("a")) for _ in range(60)]
                await client.ping()
                for wait in waits:
                    wait.cancel()
                await asyncio.wait(waits)
                assert all(wait.cancelled() for wait in waits)
            assert await client.ping() == "pong"

    run(calls())


def test_refusals(orlopd: Orlopd, tmp_path: Path) -> None:
    async def refused() -> None:
        async with orlop.AsyncClient(str(orlopd.socket)) as client:
            with pytest.raises(orlop.NotFound):
                await client.state("nothing")
            with pytest.raises(orlop.InvalidParameter):
                await client.call("events.subscribe", surplus=1)
        with pytest.raises(orlop.Unreachable):
            await orlop.AsyncClient(str(tmp_path / "none")).ping()

    run(refused())


def test_a_lost_connection_is_told_to_all_and_made_anew(
    orlopd: Orlopd, make_bundle: Callable[[], Bundle]
) -> None:
    bundle = make_bundle().args("sleep")
    bundle.write()

    async def lost() -> None:
        async with orlop.AsyncClient(str(orlopd.socket)) as client:
            await client.run("a", bundle=str(bundle.path))
            waits = [asyncio.ensure_future(client.wait("a")) for _ in range(3)]
            await client.ping()
            events = client.events()
            async with events:
                orlopd.end(signal.SIGKILL)
                for wait in waits:
                    with pytest.raises(orlop.Lost):
                        await wait
                orlopd.start()
                # The events go on where they were, over a new connection.
                await client.kill("a", "KILL")
                assert [(await anext(events)).topic for _ in range(1)] == ["exit"]

    run(lost())
