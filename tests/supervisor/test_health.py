# SPDX-License-Identifier: Apache-2.0
"""Health checks: probes in real containers, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import leaks

if TYPE_CHECKING:
    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: There while all is well.
CHECK = {"args": ["/bin/probe", "cat", "/work/well"], "interval": 0.05, "retries": 2}


def run(client: Client, bundle: Bundle, **health: Any) -> None:  # noqa: ANN401
    client.call("events.subscribe")
    bundle.args("sleep").write()
    client.call("container.run", id="a", bundle=str(bundle.path), health={**CHECK, **health})


def told(client: Client) -> str:
    status = client.event("health")["data"]["status"]
    assert isinstance(status, str)
    return status


def test_it_is_healthy_unhealthy_and_healthy_again(client: Client, bundle: Bundle) -> None:
    well = bundle.rootfs / "work" / "well"
    well.touch()
    run(client, bundle)
    assert told(client) == "healthy"
    well.unlink()
    failed = client.event("health")["data"]
    assert failed == {"status": "unhealthy", "failures": 2}
    found = client.call("container.inspect", id="a")["health"]
    assert (found["status"], found["args"]) == ("unhealthy", CHECK["args"])
    well.touch()
    assert told(client) == "healthy"


def test_failures_do_not_count_in_the_start_period(client: Client, bundle: Bundle) -> None:
    run(client, bundle, startPeriod=3600, retries=1)
    log = client.call("container.inspect", id="a")["health"]
    assert log["status"] == "starting"
    (bundle.rootfs / "work" / "well").touch()
    assert told(client) == "healthy"
    (bundle.rootfs / "work" / "well").unlink()
    assert told(client) == "unhealthy"  # it had come up


def test_a_probe_that_takes_too_long_is_ended_and_a_failure(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    run(client, bundle, args=["/bin/probe", "sleep"], timeout=0.05, retries=1)
    assert told(client) == "unhealthy"
    pids = client.call("container.ps", id="a")
    client.call("container.pause", id="a")  # no probe begins from now on
    assert len(pids) <= 2
    client.call("container.resume", id="a")
    assert len(orlopd.shims()) == 1


def test_a_probe_that_is_not_there_is_a_failure(client: Client, bundle: Bundle) -> None:
    run(client, bundle, args=["/nowhere"])
    assert told(client) == "unhealthy"


def test_probes_go_on_after_orlopd_was_killed(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    """Also where the probe of the one before is still there."""
    well = bundle.rootfs / "work" / "well"
    well.touch()
    run(client, bundle, args=["/bin/probe", "cat", "/work/well"])
    assert told(client) == "healthy"
    client = orlopd.restart()
    client.call("events.subscribe")
    assert client.call("container.inspect", id="a")["health"]["status"] == "healthy"
    well.unlink()
    assert told(client) == "unhealthy"


def test_a_probe_left_behind_by_a_killed_orlopd_is_replaced(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    run(client, bundle, args=["/bin/probe", "sleep"], timeout=1, retries=1)
    assert told(client) == "unhealthy"  # the next probe hangs by now, or soon
    client = orlopd.restart()
    client.call("events.subscribe")
    bundle.spec["hostname"] = "unchanged"
    assert client.call("container.inspect", id="a")["health"]["status"] == "unhealthy"
    client.call("container.delete", id="a", force=True)
    assert leaks.processes(bundle.path.parent, bundle.cgroup) == []
