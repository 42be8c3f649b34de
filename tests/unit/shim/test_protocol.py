# SPDX-License-Identifier: Apache-2.0
"""The layers below the Task service: messages, frames, server, events."""

from __future__ import annotations

import _socket
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim import messages, metrics, ttrpc
from shim.loop import Loop
from shim.protobuf import Malformed
from shim.publisher import Publisher
from shim.server import Server
from shim.ttrpc import Frame, Frames, RpcError
from tests.support.ttrpc import Client, Events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shim.protobuf import Values
    from shim.server import Call


def test_a_message_has_the_bytes_that_protobuf_gives_it() -> None:
    values = {"id": "c1", "terminal": True, "rootfs": [{"type": "bind", "options": ["ro", "rw"]}]}
    expected = (
        b"\x0a\x02c1" + b"\x20\x01" + b"\x1a\x0e" + b"\x0a\x04bind" + b"\x22\x02ro" + b"\x22\x02rw"
    )
    assert messages.CREATE.encode(values) == expected
    decoded = messages.CREATE.decode(expected)
    assert decoded["rootfs"][0]["options"] == ["ro", "rw"]
    assert (decoded["stdin"], decoded["options"]) == ("", None)


def test_negative_numbers_and_maps_survive() -> None:
    status = {"code": -1, "message": "\udcff"}
    assert messages.STATUS.decode(messages.STATUS.encode(status))["code"] == -1
    update = messages.UPDATE.encode({"annotations": {"a": "1", "b": ""}})
    assert messages.UPDATE.decode(update)["annotations"] == {"a": "1", "b": ""}


def test_unknown_fields_are_passed_over_and_wrong_kinds_refused() -> None:
    assert messages.PID.decode(b"\x08\x07\xfa\x01\x03new")["pid"] == 7
    with pytest.raises(Malformed, match="pid"):
        messages.PID.decode(b"\x0a\x01x")


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    try:
        messages.CREATE.decode(data)
    except Malformed:
        pass


def test_frames_are_cut_wherever_the_stream_is() -> None:
    data = Frame(1, ttrpc.REQUEST, 0, b"one").pack() + Frame(3, ttrpc.REQUEST, 0, b"").pack()
    frames = Frames()
    found = [frame for byte in data for frame in frames.add(bytes([byte]))]
    assert [(frame.stream, frame.payload) for frame in found] == [(1, b"one"), (3, b"")]


def test_a_payload_beyond_the_limit_is_passed_over() -> None:
    frames = Frames()
    size = ttrpc.LIMIT + 1
    (large,) = frames.add(ttrpc.HEADER.pack(size, 1, ttrpc.REQUEST, 0) + b"x" * 10)
    assert (large.size, large.payload) == (size, b"")
    assert frames.add(b"x" * (size - 10)) == []
    (small,) = frames.add(Frame(3, ttrpc.REQUEST, 0, b"y").pack())
    assert small.payload == b"y"


class Echo:
    """A server in a thread: State answers at once, Wait when Start comes."""

    def __init__(self, path: Path) -> None:
        self.waiting: list[Call] = []
        self.errors: list[Exception] = []
        self.loop = Loop(self.errors.append)
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen()
        process, empty = messages.PROCESS_ID, messages.EMPTY
        methods = {
            "State": (process, messages.STATE, lambda call: call.reply({"id": call.values["id"]})),
            "Wait": (process, messages.EXITED, self.waiting.append),
            "Start": (process, messages.PID, self._start),
            "Pause": (process, empty, lambda _: 1 / 0),
            "Shutdown": (messages.SHUTDOWN, empty, self._stop),
        }
        self.server = Server(self.loop, listener, {"containerd.task.v2.Task": methods})
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def _start(self, call: Call) -> None:
        call.reply({"pid": 1})
        for waiting in self.waiting:
            waiting.reply({"exit_status": 7})

    def _stop(self, call: Call) -> None:
        call.reply()
        self.loop.stop()


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Client]:
    server = Echo(tmp_path / "s")
    client = Client(str(tmp_path / "s"))
    yield client
    client.close()
    last = Client(str(tmp_path / "s"))
    last.call("Shutdown")
    last.close()
    server.thread.join()
    server.server.close()
    for connection in list(server.server._connections):
        connection.close()
    assert [type(error) for error in server.errors] in ([], [ZeroDivisionError])


def test_answers_come_out_of_order(echo: Client) -> None:
    waiting = echo.begin("Wait", id="c")
    assert echo.call("State", id="c")["id"] == "c"
    echo.call("Start", id="c")
    assert waiting.result()["exit_status"] == 7


def test_what_is_not_there_is_unimplemented(echo: Client) -> None:
    with pytest.raises(RpcError) as error:
        echo.call("Checkpoint", id="c")
    assert error.value.code == ttrpc.UNIMPLEMENTED
    echo.send_frame(99, "containerd.task.v4.Task", "State", b"")
    status = echo.receive(99)["status"]
    assert status["code"] == ttrpc.UNIMPLEMENTED
    echo.send_frame(98, "containerd.task.v2.Task", "State", b"")
    assert echo.receive(98)["status"]["code"] == ttrpc.INVALID_ARGUMENT
    echo.send_frame(101, "containerd.task.v2.Task", "State", b"\xff")
    assert echo.receive(101)["status"]["code"] == ttrpc.INVALID_ARGUMENT


def test_a_streaming_call_and_a_message_that_is_too_long_are_refused(echo: Client) -> None:
    request = messages.REQUEST.encode({"service": "s", "method": "m"})
    echo.socket.sendall(Frame(1, ttrpc.REQUEST, ttrpc.REMOTE_OPEN, request).pack())
    assert echo.receive(1)["status"]["code"] == ttrpc.UNIMPLEMENTED
    size = ttrpc.LIMIT + 1
    echo.socket.sendall(ttrpc.HEADER.pack(size, 3, ttrpc.REQUEST, 0) + bytes(size))
    assert echo.receive(3)["status"]["code"] == ttrpc.RESOURCE_EXHAUSTED
    echo.socket.sendall(Frame(5, 77, 0, b"of a type to come").pack())
    echo._stream = 5
    assert echo.call("State", id="c")["id"] == "c"


def test_an_error_that_nobody_expected_ends_no_other_call(echo: Client) -> None:
    pausing = echo.begin("Pause", id="c")
    assert echo.call("State", id="c")["id"] == "c"
    with pytest.raises(RpcError, match="ZeroDivisionError"):
        pausing.result()


def test_another_user_is_not_served(echo: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    other = socket.socket(socket.AF_UNIX)
    other.settimeout(20)
    other.connect(echo.socket.getpeername())
    assert other.recv(1) == b""
    other.close()


def publish(path: str, topics: list[str], seconds: float = 20) -> list[str]:
    """Publish events of these topics, one after the other; what was warned of."""
    warnings: list[str] = []
    errors: list[Exception] = []
    loop = Loop(errors.append)
    publisher = Publisher(loop, path, "tests", warnings.append)
    publisher.on_empty = loop.stop
    loop.later(seconds, loop.stop)
    for topic in topics:
        publisher.publish(topic, {"container_id": "c"})
    loop.run()
    assert errors == []
    publisher._disconnect()
    return warnings


def test_events_arrive_in_order(tmp_path: Path) -> None:
    events = Events(tmp_path / "e")
    assert publish(events.address, ["/tasks/paused", "/tasks/resumed", "/tasks/oom"]) == []
    assert events.topics("c") == ["paused", "resumed", "oom"]
    events.close()


def test_nobody_to_tell_is_no_error() -> None:
    loop = Loop(lambda error: pytest.fail(str(error)))
    publisher = Publisher(loop, "", "tests", pytest.fail)
    publisher.publish("/tasks/oom", {"container_id": "c"})
    assert publisher.is_empty


def test_an_event_is_tried_again_when_its_taker_comes_back(tmp_path: Path) -> None:
    late: list[Events] = []
    timer = threading.Timer(0.3, lambda: late.append(Events(tmp_path / "e")))
    timer.start()
    assert publish(str(tmp_path / "e"), ["/tasks/oom", "/tasks/paused"]) == []
    timer.join()
    assert late[0].topics("c") == ["oom", "paused"]
    late[0].close()


def test_an_event_that_nobody_takes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.publisher._DELAYS", (0.01,) * 5)
    (warning,) = publish(str(tmp_path / "none"), ["/tasks/oom"])
    assert "no such file" in warning.lower()


STATS: Values = {
    "cpu": {"usage_ns": 5000, "user_ns": 2000, "system_ns": 3000, "per_cpu_ns": [1, 2]},
    "memory": {"usage": 10, "limit": -1, "peak": 12, "stat": {"cache": 3, "anon": 4}},
    "pids": {"current": 1, "limit": -1},
    "io": {"bytes": [{"device": "8:0", "operation": "read", "value": 9}]},
}


def test_usage_becomes_containerds_message_of_v1() -> None:
    found = metrics.encode("hybrid", STATS)
    assert found["type_url"] == "io.containerd.cgroups.v1.Metrics"
    values = metrics.METRICS_V1.decode(found["value"])
    assert values["cpu"]["usage"] == {
        "total": 5000,
        "kernel": 3000,
        "user": 2000,
        "per_cpu": [1, 2],
    }
    assert (values["memory"]["cache"], values["memory"]["usage"]["usage"]) == (3, 10)
    assert values["blkio"]["io_service_bytes_recursive"][0]["value"] == 9


def test_usage_becomes_containerds_message_of_v2() -> None:
    found = metrics.encode("v2", STATS)
    assert found["type_url"] == "io.containerd.cgroups.v2.Metrics"
    values = metrics.METRICS_V2.decode(found["value"])
    assert values["cpu"]["usage_usec"] == 5
    assert (values["memory"]["anon"], values["memory"]["usage_limit"]) == (4, 2**64 - 1)
    assert values["io"]["usage"] == [
        {"major": 8, "minor": 0, "rbytes": 9, "wbytes": 0, "rios": 0, "wios": 0}
    ]
    numbers = {number: field.name for number, field in metrics.METRICS_V2.by_number.items()}
    assert (numbers[4], numbers[8]) == ("memory", "memory_events")
    memory = metrics.METRICS_V2.by_number[4].of
    assert memory is not None
    assert memory.by_name["usage"].number == 32


def test_the_header_is_ttrpcs() -> None:
    assert Frame(5, 1, 2, b"ab").pack() == struct.pack(">IIBB", 2, 5, 1, 2) + b"ab"
