# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC 2.0 by hand: what the specification says, and clients that mean harm."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import failure, jsonrpc
from supervisor.connection import REQUESTS
from tests.supervisor.conftest import PROGRAM, Refused
from tests.support import hierarchies
from tests.support.cli import ENVIRONMENT
from tests.support.features import NOBODY, requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


def ping(number: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": "system.ping"}


@pytest.mark.parametrize("number", [1, "one", 1.5, -(10**30), 1e300, "", None])
def test_an_id_comes_back_as_it_was(client: Client, number: object) -> None:
    client.send(ping(number))
    assert client.receive() == {"jsonrpc": "2.0", "id": number, "result": "pong"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{\n", failure.PARSE_ERROR),
        (b"[" * 100_000 + b"\n", failure.PARSE_ERROR),
        (b"\xff\n", failure.PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "system.ping"}\n', failure.PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1e999, "method": "system.ping"}\n', failure.PARSE_ERROR),
        (b"1" * 5000 + b"\n", failure.PARSE_ERROR),
        (b"[]\n", failure.INVALID_REQUEST),
        (b"3\n", failure.INVALID_REQUEST),
        (b'{"method": "system.ping", "id": 1}\n', failure.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "system.ping"}\n', failure.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "no.such"}\n', failure.METHOD_NOT_FOUND),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "system.ping", "params": [1]}\n',
            failure.INVALID_PARAMS,
        ),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_is_served(
    client: Client, text: bytes, code: int
) -> None:
    client.send(text)
    assert client.receive()["error"]["code"] == code
    client.send(ping(2))
    assert client.receive()["result"] == "pong"


def test_a_batch_is_answered_by_one_without_its_notifications(client: Client) -> None:
    notification = {"jsonrpc": "2.0", "method": "system.ping"}
    client.send([ping(1), notification, 5, ping(2)])
    answers = client.receive()
    assert [answer["id"] for answer in answers] == [1, None, 2]
    client.send([notification])
    client.send(ping(3))
    assert client.receive()["id"] == 3  # to notifications alone there is no answer


def test_parameters_by_position_are_refused_with_how_to_pass_them(client: Client) -> None:
    client.send({**ping(1), "params": [5]})
    refused = client.receive()
    assert (refused["id"], refused["error"]["code"]) == (1, failure.INVALID_PARAMS)
    assert refused["error"]["message"] == "parameters are passed by name, in an object"


@pytest.mark.parametrize("above", [1, (1 << 53) - 1])
def test_a_number_of_other_records_is_none_to_begin_after(client: Client, above: int) -> None:
    """Whoever asked for it would hear nothing, and not know."""
    last = client.call("events.subscribe")["last"]
    client.call("events.subscribe", since=last)
    with pytest.raises(Refused) as refused:
        client.call("events.subscribe", since=max(above, last + 1))
    assert refused.value.code == failure.INVALID_PARAMS
    assert (refused.value.data["pointer"], refused.value.data["last"]) == ("/since", last)


@pytest.mark.parametrize(
    ("method", "params", "pointer"),
    [
        ("container.create", {"id": "a"}, "/bundle"),
        ("container.create", {"id": "a", "bundle": 3}, "/bundle"),
        ("container.create", {"id": "a", "bundle": "relative"}, "/bundle"),
        ("container.create", {"id": "a", "bundle": "/", "labels": {"x": 1}}, "/labels/x"),
        ("system.ping", {"surplus": 1}, "/surplus"),
        ("container.list", {"limit": 0}, "/limit"),
        ("container.list", {"limit": 10**30}, "/limit"),
        ("events.subscribe", {"since": 1 << 53}, "/since"),
        ("events.subscribe", {"since": 1e300}, "/since"),
    ],
)
def test_an_error_names_the_parameter(
    client: Client, method: str, params: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Refused) as refused:
        client.call(method, **params)
    assert (refused.value.code, refused.value.data["pointer"]) == (failure.INVALID_PARAMS, pointer)


def test_a_wait_holds_up_nobody_and_can_be_cancelled_or_time_out(
    client: Client, bundle: Bundle
) -> None:
    bundle.args("sleep").write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    waiting = client.begin("container.wait", id="a")
    assert client.call("system.ping") == "pong"
    assert client.call("rpc.cancel", id=waiting) is True
    with pytest.raises(Refused) as refused:
        client.finish(waiting)
    assert refused.value.code == failure.CANCELLED
    with pytest.raises(Refused) as refused:
        client.call("container.wait", id="a", timeout=0.01)
    assert refused.value.code == failure.TIMEOUT
    assert client.call("container.state", id="a")["status"] == "running"


def test_what_a_request_began_goes_on_without_its_client(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    bundle.args("sleep").write()
    client.call("events.subscribe")
    other = orlopd.client()
    other.begin("container.run", id="a", bundle=str(bundle.path))
    other.close()
    assert client.event("start")["container"] == "a"


def test_nothing_is_said_of_a_failure_that_nobody_waits_for(
    client: Client, bundle: Bundle, tmp_path: Path
) -> None:
    """By orlopd: what it says is looked at when it has ended (the fixture)."""
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\nread x < {tmp_path}/go\nexit 1\n")
    hook.chmod(0o755)
    os.mkfifo(tmp_path / "go")
    bundle.spec["hooks"] = {"createRuntime": [{"path": str(hook)}]}
    bundle.args("sleep").write()
    with pytest.raises(Refused) as refused:
        client.call("container.run", id="a", bundle=str(bundle.path), timeout=0.3)
    assert refused.value.code == failure.TIMEOUT
    (tmp_path / "go").write_text("\n")
    deadline = time.monotonic() + limit(20)
    while client.call("container.list"):
        assert time.monotonic() < deadline
        time.sleep(0.01)  # looked at again and again: no event tells of one that never came to be


def test_a_client_that_sends_no_more_is_answered(orlopd: Orlopd) -> None:
    client = orlopd.client()
    client.send(json.dumps(ping(1)).encode())  # not even the end of the line, as `printf | socat`
    client.socket.shutdown(socket.SHUT_WR)
    assert client.receive()["result"] == "pong"
    assert client.receive() is None


def test_a_line_that_is_too_long_ends_its_connection_alone(orlopd: Orlopd, client: Client) -> None:
    hostile = orlopd.client()
    try:
        hostile.send(b"x" * (jsonrpc.LINE_LIMIT * 3))
        answer = hostile.receive()
    except (BrokenPipeError, ConnectionResetError):
        answer = None  # it was still sending when the connection was closed
    assert answer is None or answer["error"]["code"] == failure.INVALID_REQUEST
    assert client.call("system.ping") == "pong"


def test_a_client_that_never_reads_is_not_read_from(orlopd: Orlopd, client: Client) -> None:
    hostile = orlopd.client()
    hostile.socket.setblocking(False)  # noqa: FBT003 - takes no keyword
    line = json.dumps({**ping(1), "method": "rpc.discover"}).encode() + b"\n"
    for _ in range(10_000):
        try:
            hostile.socket.send(line * REQUESTS)
        except BlockingIOError:
            break
        assert client.call("system.ping") == "pong"
    else:
        pytest.fail("orlopd reads on from a client that doesn't read its answers")
    assert client.call("system.ping") == "pong"


def test_the_socket_is_for_its_user_alone(orlopd: Orlopd) -> None:
    assert stat.S_IMODE(os.stat(orlopd.socket).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(orlopd.root).st_mode) == 0o700


@requires("rootless")
def test_a_stranger_at_the_socket_gets_no_answer(orlopd: Orlopd, client: Client) -> None:
    """Nor where the file system lets it connect: the kernel says who it is (SO_PEERCRED)."""
    script = (
        "import socket, sys\n"
        "with socket.socket(socket.AF_UNIX) as client:\n"
        "    client.connect(sys.argv[1])\n"
        "    try:\n"
        "        client.sendall(sys.argv[2].encode())\n"
        "        print(client.recv(100))\n"
        "    except ConnectionError:\n"
        "        print(b'')\n"
    )
    for entry in (orlopd.root, orlopd.socket):
        entry.chmod(0o777)
    asked = subprocess.run(
        [sys.executable, "-IS", "-c", script, str(orlopd.socket), json.dumps(ping(1)) + "\n"],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        check=True,
        timeout=limit(30),
    )
    assert asked.stdout == b"b''\n"
    assert client.call("system.ping") == "pong"
    orlopd.root.chmod(0o700)


@pytest.mark.parametrize("how", ["another's", "written by all", "another's link"])
def test_a_directory_that_others_can_change_is_refused(tmp_path: Path, how: str) -> None:
    """In /tmp anybody may have made it, or a link of its name, before orlopd was started."""
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    if how == "another's":
        os.chown(root, NOBODY, -1)
    elif how == "written by all":
        root.chmod(0o1777)
    else:
        link = tmp_path / "link"
        link.symlink_to(root)
        os.lchown(link, NOBODY, -1)
        root = link
    result = subprocess.run(
        [PROGRAM, "--root", root],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(30),
    )
    assert result.returncode == 1
    assert "others may write to it" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(root.iterdir()) == []


def test_info_tells_of_the_host_and_of_what_can_be_done(client: Client) -> None:
    info = client.call("system.info")
    assert info["host"]["cgroup"] == hierarchies.mode()
    assert info["host"]["kernel"] == os.uname().release
    assert "mount" in info["features"]["linux"]["namespaces"]
