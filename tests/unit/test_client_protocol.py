# SPDX-License-Identifier: Apache-2.0
"""The clients' core, without input or output: bytes in, messages and items out."""

from __future__ import annotations

import copy
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import orlop
from orlop import calls, errors, subscriptions
from orlop.calls import Call
from orlop.items import EventFold, LogFold, OutputFold
from orlop.protocol import Answer, Notification, Protocol
from supervisor import configuration

ROOT = Path(__file__).resolve().parents[2]


def line(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


def notified(**params: object) -> Notification:
    return Notification("event", params)


def test_a_request_is_one_line_with_a_number_of_its_own() -> None:
    protocol = Protocol()
    numbers = set()
    for _ in range(3):
        number, data = protocol.request("container.kill", {"id": "a\nb\u00e9"})
        assert data.count(b"\n") == 1
        message = json.loads(data)
        assert message["params"] == {"id": "a\nb\u00e9"}
        assert message["id"] == number
        numbers.add(number)
    assert len(numbers) == 3


def test_messages_may_come_in_pieces_of_any_size() -> None:
    data = line(id=1, result={"x": "\u00e9" * 10}) + line(method="event", params={})
    for size in (1, 2, 7, len(data)):
        protocol = Protocol()
        found = []
        for start in range(0, len(data), size):
            found += protocol.receive(data[start : start + size])
        answer, notification = found
        assert isinstance(answer, Answer)
        assert answer.value() == {"x": "\u00e9" * 10}
        assert isinstance(notification, Notification)


@pytest.mark.parametrize(
    "data", [b"{\n", b"\xff\n", b"[]\n", b"3\n", line(id="x", result=1), line(id=1, error=3)]
)
def test_what_is_no_message_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(orlop.ProtocolError):
        Protocol().receive(data)


def test_a_refusal_without_a_number_is_raised_at_once() -> None:
    """It is about a line that orlopd could not read."""
    with pytest.raises(orlop.Refused) as refused:
        Protocol().receive(line(id=None, error={"code": -32600, "message": "too long"}))
    assert refused.value.code == -32600


@pytest.mark.parametrize("code", [*errors.CLASSES, -32603, 99])
def test_a_refusal_has_all_that_was_said_and_survives_a_copy(code: int) -> None:
    data = {
        "pointer": "/mounts/3", "step": "open_tree", "errno": 2, "hint": "make it",
        "violations": [{"pointer": "/a", "found": "3", "allowed": "a string", "line": 7}],
        "more": [1],
    }  # fmt: skip
    error = errors.refusal({"code": code, "message": "/mounts/3: bind: no", "data": data})
    for one in (error, copy.copy(error)):
        assert isinstance(one, orlop.Refused)
        assert str(one) == "/mounts/3: bind: no"
        assert (one.code, one.pointer, one.step, one.errno) == (code, "/mounts/3", "open_tree", 2)
        assert (one.hint, one.data["more"]) == ("make it", [1])
        assert str(one.violations[0]) == "/a: found 3, expected a string (config.json line 7)"


def test_what_is_not_given_is_not_sent() -> None:
    call = calls.checkpoint("a", "/x", leave_running=False, tcp_established=None)
    assert call.params == {"id": "a", "path": "/x", "leaveRunning": False}


def test_events_go_on_behind_the_last_one_or_the_gap() -> None:
    fold = EventFold(subscriptions.subscribe(None, None, ["start"]))
    assert fold.answered({"subscription": 5, "last": 40}) == 5
    assert fold.again().params == {"since": 40, "topics": ["start"]}
    fold.items(notified(number=42, topic="start", container="a", time="", data={}))
    assert fold.again().params["since"] == 42
    (missed,) = fold.items(notified(missed={"from": 43, "to": 50}))
    assert isinstance(missed, orlop.Missed)
    assert (missed.topic, missed.first, missed.last, missed.number) == ("missed", 43, 50, 50)
    assert fold.again().params["since"] == 50


def test_only_events_can_be_had_twice() -> None:
    with pytest.raises(orlop.Lost):
        LogFold(Call("container.logs", {})).again()
    with pytest.raises(orlop.ProtocolError):
        LogFold(Call("container.logs", {})).answered([])


def test_output_is_bytes_until_the_end() -> None:
    fold = OutputFold(Call("container.attach", {}))
    (output,) = fold.items(notified(stream="stderr", data="/wA="))
    assert (output.stream, output.data) == ("stderr", b"\xff\x00")
    assert (fold.items(notified(end=True, exitStatus=3)), fold.ended) == ([], True)
    assert fold.exit_status == 3


def test_client_and_daemon_agree_where_the_socket_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for directory in ("/run/user/7", ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        for user in (0, 7):
            monkeypatch.setattr("os.geteuid", lambda user=user: user)
            assert orlop.default_path() == f"{configuration.default_root()}/orlopd.sock"


def imported(program: str) -> set[str]:
    """What an interpreter has imported after a program."""
    text = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}; print(*sys.modules)"
    command = [sys.executable, "-IS", "-c", text]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_imports_nothing_of_it() -> None:
    ours = {"native", "orlop", "runtime", "spec"}
    found = imported("import orlop")
    assert {name for name in found if name.partition(".")[0] in ours} == {"orlop"}


def test_the_synchronous_client_is_light() -> None:
    found = imported("import orlop; orlop.Client")
    assert "orlop.client" in found
    assert not found & {"asyncio", "json", "re", "typing", "socket", "enum", "subprocess"}


def test_every_public_name_is_there() -> None:
    assert set(orlop.__all__) <= set(dir(orlop))
    for name in orlop.__all__:
        assert getattr(orlop, name).__doc__
    with pytest.raises(AttributeError):
        _ = orlop.nothing


def test_what_comes_with_the_answer_needs_no_more_waiting(tmp_path: Path) -> None:
    """Of what was read together with an answer, the descriptor says nothing any more."""
    output = {"subscription": 1, "stream": "stdout", "data": "eA=="}
    data = line(id=1, result={"subscription": 1}) + line(method="output", params=output)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(data)

        server = threading.Thread(target=serve)
        server.start()
        with orlop.Process(str(tmp_path / "s"), "a", Call("container.exec", {})) as process:
            server.join()
            assert process.has_pending
            assert [output.data for output in process.pending()] == [b"x"]
            assert not process.has_pending
