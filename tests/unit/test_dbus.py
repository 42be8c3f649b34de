# SPDX-License-Identifier: Apache-2.0
"""A D-Bus connection, to a peer that answers, refuses, talks nonsense, or says nothing."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.cgroups import dbus
from runtime.cgroups import dbus_wire as wire
from runtime.cgroups.systemd_manager import bus_addresses
from tests.support import dbus_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[..., str]

AUTHENTICATED = b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n"
SHORT = 0.05


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve one connection: each answer is sent when something was received; then its end.

    `hold=True` keeps the connection until the test is over.
    """
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    threads: list[threading.Thread] = []
    over = threading.Event()

    def run(answers: tuple[bytes, ...], *, hold: bool) -> None:
        peer, _ = listener.accept()
        with peer:
            for answer in answers:
                if not peer.recv(65536):
                    return
                peer.sendall(answer)
            if hold:
                over.wait()

    def start(*answers: bytes, hold: bool = False) -> str:
        threads.append(threading.Thread(target=run, args=(answers,), kwargs={"hold": hold}))
        threads[-1].start()
        return path

    yield start
    over.set()
    for thread in threads:
        thread.join()
    listener.close()


def call(connection: dbus.Connection) -> list[object]:
    return connection.call("org.x", "/x", "org.x.Y", "Get", "s", "a")


def test_call_and_signals(serve: Serve) -> None:
    # The signal comes before the reply, and both in pieces that fit no boundary.
    stream = dbus_messages.PROPERTIES_CHANGED + dbus_messages.JOB_REMOVED + dbus_messages.VERSION
    path = serve(AUTHENTICATED + stream[:100], stream[100:])
    connection = dbus.Connection(path, bus=False)
    try:
        (version,) = call(connection)
        assert version == wire.Variant("s", "252.38-1~deb12u1")
        signal = connection.wait_signal("JobRemoved", lambda body: "x.scope" in body)
        assert signal[3] == "done"
    finally:
        connection.close()


def test_an_error_is_raised(serve: Serve) -> None:
    error = bytearray(dbus_messages.UNIT_EXISTS)
    # the serial it replies to, as in the first header field
    assert error[20:24] == (4).to_bytes(4, "little")
    error[20:24] = (1).to_bytes(4, "little")
    connection = dbus.Connection(serve(AUTHENTICATED, bytes(error)), bus=False)
    try:
        with pytest.raises(dbus.CallFailed, match=r"Get: Unit .* already loaded") as caught:
            call(connection)
        assert caught.value.name == "org.freedesktop.systemd1.UnitExists"
    finally:
        connection.close()


def test_authentication_of_an_older_systemd(serve: Serve) -> None:
    ok = b"OK 0123456789abcdef0123456789abcdef\r\n"
    connection = dbus.Connection(serve(ok + ok, dbus_messages.VERSION), bus=False)
    try:
        assert call(connection)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"REJECTED EXTERNAL\r\n", "refuses this user: REJECTED EXTERNAL"),
        (b"DATA\r\nREJECTED\r\n", "refuses this user: REJECTED"),
        (b"x" * 1000, "doesn't speak D-Bus"),
        (b"", "closed the connection"),
    ],
)
def test_refusal(serve: Serve, answer: bytes, text: str) -> None:
    with pytest.raises(dbus.Unreachable, match=text):
        dbus.Connection(serve(answer), bus=False)


def test_nonsense_instead_of_a_reply(serve: Serve) -> None:
    connection = dbus.Connection(serve(AUTHENTICATED, b"HTTP/1.1 400 Bad Request\r\n"), bus=False)
    try:
        with pytest.raises(dbus.Unreachable, match="doesn't speak D-Bus"):
            call(connection)
    finally:
        connection.close()


def test_the_end_instead_of_a_reply(serve: Serve) -> None:
    connection = dbus.Connection(serve(AUTHENTICATED, b""), bus=False)
    try:
        with pytest.raises(dbus.Unreachable, match="Get: "):
            call(connection)
    finally:
        connection.close()


def test_silence_ends(serve: Serve) -> None:
    connection = dbus.Connection(serve(AUTHENTICATED, hold=True), bus=False, seconds=SHORT)
    try:
        with pytest.raises(dbus.Timeout, match="Get: no answer within"):
            call(connection)
        with pytest.raises(dbus.Timeout, match="JobRemoved: not within"):
            connection.wait_signal("JobRemoved", lambda _: True)
    finally:
        connection.close()


def test_silence_before_the_first_word(serve: Serve) -> None:
    with pytest.raises(dbus.Unreachable, match="timed out"):
        dbus.Connection(serve(hold=True), bus=False, seconds=SHORT)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(dbus.Unreachable, match="No such file or directory"):
        dbus.Connection(str(tmp_path / "none"), bus=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("unix:path=/run/user/1/bus", ["/run/user/1/bus"]),
        ("unix:path=/a,guid=00;unix:abstract=/b%20c", ["/a", "\0/b c"]),
        ("tcp:host=localhost,port=1;unix:guid=00,path=/d%2fe", ["/d/e"]),
        ("unix:tmpdir=/tmp", []),
        ("autolaunch:", []),
    ],
)
def test_bus_addresses(text: str, expected: list[str]) -> None:
    assert bus_addresses(text) == expected
