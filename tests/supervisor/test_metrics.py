# SPDX-License-Identifier: Apache-2.0
"""What orlopd counts: over its API, and as Prometheus fetches it."""

from __future__ import annotations

import re
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from supervisor import failure
from tests.supervisor.conftest import Orlopd, Refused
from tests.support.waiting import limit, readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.supervisor.conftest import Client
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: A sample of the text format 0.0.4: a name, labels, a number
SAMPLE = re.compile(r'([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? ([0-9.e+-]+)')


def connect(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(limit(30))
    found.connect(str(path))
    return found


def fetch(path: Path, request: bytes = b"GET /metrics HTTP/1.0\r\n\r\n") -> tuple[str, str]:
    """The head and the body of an answer."""
    with connect(path) as client, client.makefile("rb") as answer:
        client.sendall(request)
        head, _, body = answer.read().decode().partition("\r\n\r\n")
    return head, body


def samples(body: str) -> dict[str, float]:
    found = {}
    for line in body.splitlines():
        if not line.startswith("#"):
            matched = SAMPLE.fullmatch(line)
            assert matched, line
            found[matched[1] + (matched[2] or "")] = float(matched[3])
    return found


@pytest.fixture
def metered(watch: Watch) -> Iterator[Orlopd]:
    assert not watch.found()
    daemon = Orlopd()
    (daemon.root / "orlopd.toml").write_text("[metrics]\ncontainers = true\n")
    daemon.flags = (
        f"--metrics-socket={daemon.root}/metrics",
        f"--config={daemon.root}/orlopd.toml",
    )
    daemon.start()
    yield daemon
    daemon.close()


def test_requests_are_counted_by_method_and_code_with_their_latencies(client: Client) -> None:
    for _ in range(3):
        client.call("system.ping")
    with pytest.raises(Refused):
        client.call("container.state", id="nobody")
    with pytest.raises(Refused):
        client.call("made.up")
    found = client.call("system.metrics")
    counted = {(r["method"], r["code"]): r["count"] for r in found["requests"]}
    assert counted == {
        ("system.ping", 0): 3,
        ("container.state", failure.NOT_FOUND): 1,
        ("(none of them)", failure.METHOD_NOT_FOUND): 1,
    }
    latency = found["latencies"]["system.ping"]
    assert latency["count"] == 3
    numbers = [number for _, number in latency["buckets"]]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 3
    assert found["connections"] == 1
    assert found["process"]["memory"] > 1 << 20
    assert found["process"]["descriptors"] > 5


def test_containers_and_events_are_counted(client: Client, bundle: Bundle) -> None:
    bundle.args("exit", "1").write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    client.call("container.wait", id="a")
    found = client.call("system.metrics")
    assert found["containers"]["stopped"] == 1
    assert found["events"] == {"create": 1, "start": 1, "exit": 1}


def test_prometheus_finds_its_page(metered: Orlopd, bundle: Bundle) -> None:
    client = metered.client()
    bundle.args("sleep").write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    head, body = fetch(metered.root / "metrics")
    assert head.startswith("HTTP/1.0 200 OK\r\n")
    assert f"Content-Length: {len(body)}" in head
    found = samples(body)
    assert found['orlopd_containers{status="running"}'] == 1
    assert found['orlopd_requests_total{method="container.run",code="0"}'] == 1
    assert found['orlopd_request_seconds_bucket{method="container.run",le="+Inf"}'] == 1
    assert found['orlopd_request_seconds_count{method="container.run"}'] == 1
    assert found['orlopd_events_total{topic="start"}'] == 1
    assert found["orlopd_process_descriptors"] > 5
    assert found['orlopd_container_pids{container="a"}'] == 1
    assert found['orlopd_container_memory_bytes{container="a"}'] > 0
    names = {line.split()[2] for line in body.splitlines() if line.startswith("# TYPE")}
    bases = {re.sub(r"_(bucket|sum|count)$", "", name.partition("{")[0]) for name in found}
    assert bases <= names


def test_what_is_no_get_of_the_page_is_refused(metered: Orlopd) -> None:
    path = metered.root / "metrics"
    assert fetch(path, b"GET / HTTP/1.0\r\n\r\n")[0].startswith("HTTP/1.0 404 ")
    assert fetch(path, b"POST /metrics HTTP/1.0\r\n\r\n")[0].startswith("HTTP/1.0 405 ")
    head, body = fetch(path, b"HEAD /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith("HTTP/1.0 200 ")
    assert body == ""
    assert fetch(path, b"nonsense\r\n\r\n")[0].startswith("HTTP/1.0 405 ")


def test_the_pages_socket_is_for_its_user_alone(metered: Orlopd) -> None:
    assert stat.S_IMODE((metered.root / "metrics").stat().st_mode) == 0o600


def test_slow_clients_of_the_page_harm_nobody(metered: Orlopd) -> None:
    """Half a request from as many as may come: the API serves on, and they are hung up on."""
    path, client = metered.root / "metrics", metered.client()
    slow = [connect(path) for _ in range(40)]
    try:
        for each in slow[:16]:
            each.sendall(b"GET /metrics HT")
        assert client.call("system.ping") == "pong"
        for each in slow:
            readable(each.fileno(), 30, "a slow client to be hung up on")
    finally:
        for each in slow:
            each.close()
    assert fetch(path)[0].startswith("HTTP/1.0 200 ")


def test_a_request_that_never_ends_is_hung_up_on(metered: Orlopd) -> None:
    with connect(metered.root / "metrics") as hostile:
        try:
            hostile.sendall(b"x" * (1 << 20))
            assert hostile.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert fetch(metered.root / "metrics")[0].startswith("HTTP/1.0 200 ")


def test_the_socket_goes_with_a_clean_end(metered: Orlopd) -> None:
    assert metered.end() == 0
    metered._manager.recv(100)
    assert not (metered.root / "metrics").exists()
    assert not metered.socket.exists()
