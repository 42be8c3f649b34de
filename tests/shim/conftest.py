# SPDX-License-Identifier: Apache-2.0
"""A real shim, started as containerd starts one, driven over ttrpc as containerd drives it."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import bundle, cgroup, make_bundle, watch
from tests.support.cli import ENVIRONMENT
from tests.support.ttrpc import Client, Events
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shim.protobuf import Values
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch
    from tests.support.ttrpc import Pending

__all__ = ["bundle", "cgroup", "make_bundle", "watch"]

PROGRAM = Path(sys.executable).with_name("containerd-shim-orlop-v1")
NAMESPACE = "tests"
OPTIONS = "containerd.runc.v1.Options"


class Fifo:
    """A FIFO as a master holds it: its reading end, open before the shim is told of it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read_until(self, text: bytes) -> bytes:
        """What came up to this text."""
        found = b""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while text not in found:
            assert poll.poll(limit(20) * 1000), found
            data = os.read(self.fd, 65536)
            assert data, found
            found += data
        return found

    def read_all(self) -> bytes:
        """What comes up to the end: the shim has closed it."""
        found = b""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while True:
            assert poll.poll(limit(20) * 1000), found
            data = os.read(self.fd, 65536)
            if not data:
                return found
            found += data

    def close(self) -> None:
        """Go away."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Shim:
    """One shim: its process, a connection to it, what it tells of."""

    def __init__(self, directory: Path, bundle: Bundle, container_id: str) -> None:
        self.directory, self.bundle, self.id = directory, bundle, container_id
        # pytest's directories are too deep for a socket (unix(7): 108 bytes)
        self.sockets = Path(tempfile.mkdtemp(prefix="orlop-"))
        self.events = Events(self.sockets / "events")
        self.root = directory / "state"
        self._clients: list[Client] = []
        self._fifos: list[Fifo] = []
        self.pid = 0

    @property
    def socket_directory(self) -> str:
        """Where shims of this test listen: a group's must find each other."""
        return f"/tmp/orlop-s-{self.directory.name[-24:]}-{os.getpid()}"

    def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the program in the bundle, as containerd does."""
        self.bundle.write()
        (self.bundle.path / "log").touch()
        base = ["-namespace", NAMESPACE, "-address", str(self.directory / "containerd.sock")]
        result = subprocess.run(
            [PROGRAM, *base, "-socket-dir", self.socket_directory, "-id", self.id, *words],
            cwd=self.bundle.path,
            env={**ENVIRONMENT, "TTRPC_ADDRESS": self.events.address},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=limit(30),
        )
        assert result.returncode == 0, result.stderr
        return result

    def start(self) -> Client:
        """Start it, and connect."""
        started = self.run("start")
        assert started.stderr == b""
        self.address = started.stdout.decode()
        return self.connect()

    def connect(self) -> Client:
        """A further connection."""
        client = Client(self.address)
        self._clients.append(client)
        return client

    @property
    def options(self) -> Values:
        """Create's, for the tests' state root."""
        from shim.messages import RUNC_OPTIONS

        return {"type_url": OPTIONS, "value": RUNC_OPTIONS.encode({"root": str(self.root)})}

    def create(self, client: Client, **values: object) -> Values:
        """Create the container in the tests' state root."""
        answer = self.begin_create(client, **values).result()
        self.pid = client.call("Connect", id=self.id)["shim_pid"]
        return answer

    def begin_create(self, client: Client, **values: object) -> Pending:
        """The same, without waiting for the answer."""
        values.setdefault("options", self.options)
        return client.begin("Create", id=self.id, bundle=str(self.bundle.path), **values)

    def fifo(self, name: str) -> Fifo:
        """A new FIFO for stdio."""
        fifo = Fifo(self.directory / f"{self.id}.{name}")
        self._fifos.append(fifo)
        return fifo

    @property
    def log(self) -> str:
        """What it wrote for containerd's log."""
        return (self.bundle.path / "log").read_text()

    def end(self, client: Client) -> None:
        """Kill the container, and finish."""
        client.call("Kill", id=self.id, signal=9)
        client.call("Wait", id=self.id)
        self.finish(client)

    def finish(self, client: Client) -> None:
        """Delete the container, which has ended, and have the shim go away."""
        client.call("Delete", id=self.id)
        client.call("Shutdown", id=self.id)
        ended(self.pid)

    def close(self) -> None:
        """Remove what is left, as containerd does after a shim."""
        if hasattr(self, "address") and Path(self.address.removeprefix("unix://")).exists():
            self._end()
        for client in self._clients:
            client.close()
        for fifo in self._fifos:
            fifo.close()
        self.events.close()
        self.run("delete")
        shutil.rmtree(self.sockets)

    def _end(self) -> None:
        try:
            client = self.connect()
            pid = self.pid
            if not pid:
                client.call("Shutdown", id=self.id)
                return
        except OSError:
            return
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            return
        ended(pid)


@pytest.fixture
def make_shim(tmp_path: Path, watch: Watch) -> Iterator[Callable[[Bundle], Shim]]:
    """Make a shim for a bundle; after the test nothing of it may be left."""
    made: list[Shim] = []
    assert not watch.found()

    def make(bundle: Bundle) -> Shim:
        made.append(Shim(tmp_path, bundle, f"c{len(made) + 1}"))
        return made[-1]

    yield make
    for shim in made:
        log = shim.log
        shim.close()
        assert "Traceback" not in log, log
    for made_one in made[:1]:
        os.rmdir(made_one.socket_directory)  # as the next one: empty, or this fails
    root = tmp_path / "state" / NAMESPACE
    assert not root.exists()


@pytest.fixture
def shim(make_shim: Callable[[Bundle], Shim], bundle: Bundle) -> Shim:
    """A shim for `bundle`, not started yet."""
    return make_shim(bundle)
