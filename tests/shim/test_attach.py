# SPDX-License-Identifier: Apache-2.0
"""Attaching to processes by descriptors, while they live and before they start."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from shim import ttrpc
from shim.messages import ATTACHED
from shim.ttrpc import RpcError
from tests.support.features import requires
from tests.support.footprint import descriptors, workers_ended
from tests.support.waiting import readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.ttrpc import Client

pytestmark = requires("root")


PROCESS = json.dumps({"args": ["/bin/probe", "args", "first", "--", "cat", "/none"], "cwd": "/",
                      "user": {"uid": 0, "gid": 0}}).encode()  # fmt: skip


class Pipes:
    """Pipes whose other ends are given away."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def make(self) -> tuple[int, int]:
        """A pipe: where to read, where to write."""
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def close(self, *fds: int) -> None:
        """Close some ends, or all that are left."""
        for fd in fds or tuple(self._open):
            os.close(fd)
            self._open.remove(fd)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


def read_line(fd: int) -> bytes:
    """What comes up to the end of a line, or of everything."""
    found = b""
    while not found.endswith(b"\n"):
        readable(fd, 20, "output")
        data = os.read(fd, 65536)
        if not data:
            break
        found += data
    return found


def held(client: Client, shim: Shim) -> int:
    """How many descriptors the shim has, once the worker of its Create has gone."""
    workers_ended(shim.pid)
    client.call("State", id=shim.id)
    return descriptors(shim.pid)


def start(shim: Shim, bundle: Bundle, **values: object) -> Client:
    """A container that echoes its input, which is whoever attaches."""
    bundle.args("echo")
    client = shim.start()
    shim.create(client, stdin=ATTACHED, **values)
    client.call("Start", id=shim.id)
    return client


def attach(client: Client, shim: Shim, pipes: Pipes, *, ends: bool = False) -> tuple[int, int]:
    """Where to write the input, where to read the output."""
    (stdin, writer), (reader, stdout) = pipes.make(), pipes.make()
    client.call("Attach", [stdin, stdout], id=shim.id, stdin=True, stdout=True, ends_input=ends)
    pipes.close(stdin, stdout)
    return writer, reader


def test_one_attaches_and_goes_and_the_next_goes_on(
    shim: Shim, bundle: Bundle, pipes: Pipes
) -> None:
    client = start(shim, bundle, stdout=ATTACHED)
    writer, reader = attach(client, shim, pipes)
    os.write(writer, b"one\n")
    assert read_line(reader) == b"one\n"
    with pytest.raises(RpcError, match="somebody else") as error:
        attach(client, shim, pipes)
    assert error.value.code == ttrpc.FAILED_PRECONDITION
    before = held(client, shim)
    pipes.close(writer, reader)
    writer, reader = attach(client, shim, pipes, ends=True)
    os.write(writer, b"two\n")
    assert read_line(reader) == b"two\n"
    assert held(client, shim) == before  # at the latest with the output that nobody took
    pipes.close(writer)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    assert os.read(reader, 1) == b""
    shim.finish(client)


def test_an_exec_process_has_readers_before_it_starts(
    shim: Shim, bundle: Bundle, pipes: Pipes
) -> None:
    client = start(shim, bundle)
    spec = {"type_url": "process", "value": PROCESS}
    client.call("Exec", id=shim.id, exec_id="e", spec=spec, stdout=ATTACHED, stderr=ATTACHED)
    (out, stdout), (err, stderr) = pipes.make(), pipes.make()
    named = {"stdout": True, "stderr": True}
    client.call("Attach", [stdout, stderr], id=shim.id, exec_id="e", **named)
    pipes.close(stdout, stderr)
    client.call("Start", id=shim.id, exec_id="e")
    assert read_line(out).startswith(b"args\n")
    assert b"/none" in read_line(err)
    client.call("Wait", id=shim.id, exec_id="e")
    client.call("Delete", id=shim.id, exec_id="e")
    with pytest.raises(RpcError) as error:
        client.call("Attach", [out], id=shim.id, exec_id="e", stdout=True)
    assert error.value.code == ttrpc.NOT_FOUND
    shim.end(client)


def test_the_log_and_all_who_attach_get_everything(
    shim: Shim, bundle: Bundle, pipes: Pipes, tmp_path: Path
) -> None:
    client = start(shim, bundle, stdout=f"file://{tmp_path}/log")
    writer, one = attach(client, shim, pipes)
    two, stdout = pipes.make()
    client.call("Attach", [stdout], id=shim.id, stdout=True)
    pipes.close(stdout)
    text = os.urandom(1 << 19).hex().encode() + b"\n"  # more than all pipes hold
    with os.fdopen(os.dup(writer), "wb", buffering=0) as file:
        reader = threading.Thread(target=lambda: received.append(read_line(one)))
        received: list[bytes] = []
        feeder = threading.Thread(target=file.writelines, args=[[text]])
        reader.start()
        feeder.start()
        assert read_line(two) == text
        reader.join()
        feeder.join()
    assert received == [text]
    pipes.close(one)  # one who has gone holds up nobody
    os.write(writer, b"more\n")
    assert read_line(two) == b"more\n"
    client.call("CloseIO", id=shim.id, stdin=True)
    pipes.close(writer)
    client.call("Wait", id=shim.id)
    shim.finish(client)
    assert (tmp_path / "log").read_bytes() == text + b"more\n"


def test_a_terminal_is_read_and_written(shim: Shim, bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    client = start(shim, bundle, terminal=True, stdout=ATTACHED)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fds = [theirs.fileno(), theirs.fileno()]
        client.call("Attach", fds, id=shim.id, stdin=True, stdout=True)
        theirs.close()
        ours.sendall(b"ahoy\n")
        assert b"ahoy" in read_line(ours.fileno())
        shim.end(client)


def test_descriptors_that_are_no_streams_are_refused(
    shim: Shim, bundle: Bundle, pipes: Pipes, tmp_path: Path
) -> None:
    client = start(shim, bundle, stdout=ATTACHED)
    reader, writer = pipes.make()
    before = held(client, shim)
    directory = os.open(tmp_path, os.O_RDONLY)
    path = os.open(bundle.path / "config.json", os.O_PATH)
    try:
        for fds, named in (
            ([directory], {"stdin": True}),
            ([path], {"stdin": True}),
            ([reader], {"stdout": True}),
            ([writer], {"stdin": True}),
            ([reader, reader], {"stdin": True}),
            ([], {"stdout": True}),
        ):
            with pytest.raises(RpcError) as error:
                client.call("Attach", fds, id=shim.id, **named)
            assert error.value.code == ttrpc.INVALID_ARGUMENT
    finally:
        os.close(directory)
        os.close(path)
    client.call("State", [reader, reader, writer], id=shim.id)  # nobody asked for them
    assert held(client, shim) == before
    shim.end(client)
