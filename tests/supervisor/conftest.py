# SPDX-License-Identifier: Apache-2.0
"""A real orlopd, driven over its socket by hand: no library of ours between."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from native import syscalls
from tests.integration.conftest import (
    bundle,
    cgroup,
    container,
    make_bundle,
    make_container,
    orlop,
    watch,
)
from tests.support.cli import ENVIRONMENT
from tests.support.waiting import ended, limit, readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.leaks import Watch

__all__ = ["bundle", "cgroup", "container", "make_bundle", "make_container", "orlop", "watch"]

PROGRAM = Path(sys.executable).with_name("orlopd")


class Refused(Exception):
    """An error of JSON-RPC."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code, self.data = error["code"], error.get("data", {})


class Client:
    """A connection: lines out, lines in."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(limit(30))
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rwb")
        self.events: list[dict[str, Any]] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []  # notifications but events
        self._answers: dict[int, dict[str, Any]] = {}
        self._id = 0

    def send(self, message: object, fds: Sequence[int] = ()) -> None:
        """Send a JSON text, or bytes as they are; with descriptors perhaps."""
        text = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        if fds:
            assert socket.send_fds(self.socket, [text], fds) == len(text)
            return
        self.file.write(text)
        self.file.flush()

    def receive(self) -> Any:  # noqa: ANN401 - any JSON
        """The next line; None at the end."""
        line = self.file.readline()
        return json.loads(line) if line else None

    def begin(self, method: str, fds: Sequence[int] = (), /, **params: object) -> int:
        """Send a request; its id."""
        self._id += 1
        self.send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}, fds)
        return self._id

    def finish(self, number: int) -> Any:  # noqa: ANN401
        """The result of a request; raises Refused. Events that come meanwhile are kept."""
        while number not in self._answers:
            self._take()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def call(self, method: str, fds: Sequence[int] = (), /, **params: object) -> Any:  # noqa: ANN401
        """Call a method; raises Refused."""
        return self.finish(self.begin(method, fds, **params))

    def note(self, method: str, subscription: int) -> dict[str, Any]:
        """The next notification of a subscription."""
        while True:
            for place, (found, params) in enumerate(self.notes):
                if (found, params["subscription"]) == (method, subscription):
                    return self.notes.pop(place)[1]
            self._take()

    def output(self, subscription: int, text: bytes = b"") -> tuple[bytes, bytes, int | None]:
        """What comes on stdout and stderr up to this text, or to the end; the exit status."""
        found = {"stdout": b"", "stderr": b""}
        while not text or text not in found["stdout"] + found["stderr"]:
            note = self.note("output", subscription)
            if "end" in note:
                return found["stdout"], found["stderr"], note["exitStatus"]
            found[note["stream"]] += base64.b64decode(note["data"])
        return found["stdout"], found["stderr"], None

    def write(self, subscription: int, data: bytes) -> None:
        """Write to a process's stdin."""
        text = base64.b64encode(data).decode()
        self.call("stream.write", subscription=subscription, data=text)

    def event(self, topic: str) -> dict[str, Any]:
        """The next event of this topic; those before are dropped."""
        while True:
            while not self.events:
                self._take()
            event = self.events.pop(0)
            if event.get("topic") == topic:
                return event

    def _take(self) -> None:
        message = self.receive()
        if message is None:
            raise ConnectionResetError("orlopd closed the connection")
        if "id" in message:
            self._answers[message["id"]] = message
        else:
            method, params = message["method"], message["params"]
            if method == "event":
                self.events.append(params)
            else:
                self.notes.append((method, params))

    def close(self) -> None:
        """Go away."""
        with contextlib.suppress(ConnectionError):  # what it never took
            self.file.close()
        self.socket.close()


class Orlopd:
    """The daemon, its directory and its clients."""

    def __init__(self, *flags: str) -> None:
        self.program = [str(PROGRAM)]
        self.flags = flags
        self.errors_allowed = False
        self.last_errors = ""
        # pytest's directories are too deep for a socket (unix(7): 108 bytes)
        self.root = Path(tempfile.mkdtemp(prefix="orlopd-"))
        self.socket = self.root / "orlopd.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []
        self._descendants: list[int] = []
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # as systemd is
        self._manager.bind(str(self.root / "notify"))

    def start(self) -> None:
        """Start it, and wait until it serves."""
        assert self.is_served()

    def is_served(self) -> bool:
        """Start it, and wait until it serves, or has ended."""
        self._spawn()
        with contextlib.closing(select.epoll()) as both:
            pidfd = os.pidfd_open(self.pid)
            both.register(pidfd, select.EPOLLIN)
            both.register(self._manager, select.EPOLLIN)
            found = both.poll(limit(60))
            os.close(pidfd)
        assert found, "waited for orlopd to be ready"
        if all(fd == pidfd for fd, _ in found):
            return False
        assert self._manager.recv(100) == b"READY=1"
        return True

    def _spawn(self) -> None:
        environment = {**ENVIRONMENT, "NOTIFY_SOCKET": str(self.root / "notify")}
        with (self.root / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                [*self.program, "--root", str(self.root), "--log-level=warning", *self.flags],
                env=environment,
                stderr=errors,
            )

    def client(self) -> Client:
        """A new connection."""
        client = Client(self.socket)
        self._clients.append(client)
        return client

    @property
    def pid(self) -> int:
        """The daemon's."""
        assert self.process is not None
        return self.process.pid

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        assert self.process is not None
        self._descendants += descendants(self.pid)
        self.process.send_signal(number)
        status = self.process.wait(limit(30))
        self.process = None
        return status

    def restart(self) -> Client:
        """Kill it, start another; a connection to that."""
        self.end(signal.SIGKILL)
        self.start()
        return self.client()

    def shims(self) -> list[int]:
        """The pids of its shims: each leads a session, the workers that it forks don't."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                is_leader = os.getsid(int(entry.name)) == int(entry.name)
            except (OSError, ValueError):
                continue
            if is_leader and os.fsencode(self.root / "s") in map(os.path.dirname, words):
                found.append(int(entry.name))
        return found

    def shims_end(self) -> None:
        """Wait until no shim is left; one that has closed its socket may be on its way out."""
        for pid in self.shims():
            ended(pid)

    def says(self, text: str) -> None:
        """Wait until it has written this to stderr."""
        watch = syscalls.inotify(str(self.root / "stderr"))
        try:
            while text not in self.errors:
                readable(watch, 30, f"orlopd to say {text!r}")
                os.read(watch, 4096)
        finally:
            os.close(watch)

    @property
    def errors(self) -> str:
        """What it wrote to stderr."""
        return (self.root / "stderr").read_text()

    def close(self) -> None:
        """Remove all containers, and end it."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        client = self.client()
        for state in client.call("container.list"):
            client.call("container.delete", id=state["id"], force=True)
        for each in self._clients:
            each.close()
        assert self.end() == 0
        assert self._manager.recv(100) == b"STOPPING=1"
        self._manager.close()
        self.shims_end()
        for pid in self._descendants:  # what helped to start shims has nothing more to do
            ended(pid)
        self.last_errors = self.errors
        shutil.rmtree(self.root)
        assert self.errors_allowed or self.last_errors == ""


def descendants(pid: int) -> Iterator[int]:
    """The children of a process, and theirs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


@pytest.fixture
def orlopd(watch: Watch) -> Iterator[Orlopd]:
    assert not watch.found()
    daemon = Orlopd()
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def client(orlopd: Orlopd) -> Client:
    return orlopd.client()
