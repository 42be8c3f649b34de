# SPDX-License-Identifier: Apache-2.0
"""A shim driven directly, as containerd drives it: ours, and containerd's own with runc."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import peers
from bench.measure import Row, interleave
from shim.messages import RUNC_OPTIONS
from tests.support.ttrpc import Client, Events
from tests.support.waiting import ended, limit
from tests.support.warm import ShimPlanner

if TYPE_CHECKING:
    from bench.workplace import Workplace
    from tests.support.bundle import Bundle

_OPTIONS = "containerd.runc.v1.Options"
_BYTES = 1 << 30
LIFE = [
    Row("shim-start", "start a shim"),
    Row("shim-create", "Create and Start through it"),
    Row("shim-exec", "Exec, Start, Wait and Delete of a process"),
    Row("shim-end", "Kill, Wait, Delete, Shutdown"),
    Row("shim-pss", "a shim's memory (PSS), its container running", "MB"),
    Row("shim-private", "a shim's private memory", "MB"),
]
STDIO = [Row("stdio", "output of a container through the shim", "GB/s")]
LOG = [Row("log", "output of a container into a log file", "GB/s")]


class Shim:
    """A program that speaks the Task API, and what containerd is to it."""

    def __init__(self, place: Workplace, program: str, runtime: str, planner: str = "") -> None:
        self._place, self._program, self._runtime = place, program, runtime
        self._planner = planner
        self.directory = Path(tempfile.mkdtemp(prefix="orlop-b-"))  # short: for sockets' paths
        self._events = Events(self.directory / "events")

    def start(self, bundle: Bundle, name: str) -> Client:
        """Start a shim for a bundle; returns a connection to it. Raises RuntimeError."""
        (bundle.path / "log").touch()
        words = ["-namespace", "bench", "-address", str(self.directory / "c.sock"), "-id", name]
        started = subprocess.run(
            [self._program, *words, "-publish-binary", "/bin/true", "start"],
            cwd=bundle.path,
            env={"PATH": os.environ["PATH"], "TTRPC_ADDRESS": self._events.address,
                 "CONTAINERD_SHIM_RUNC_V2_ADDRESS": "", "MAX_SHIM_VERSION": "2",
                 "ORLOP_SHIM_PLANNER": self._planner},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if started.returncode:
            raise RuntimeError(f"{self._program}: {started.stderr}")
        return Client(started.stdout.strip())

    def create(self, client: Client, bundle: Bundle, name: str, **stdio: str) -> None:
        """Create and start."""
        options = {"root": str(self.directory / "state"), "binary_name": self._runtime}
        any_options = {"type_url": _OPTIONS, "value": RUNC_OPTIONS.encode(options)}
        client.call("Create", id=name, bundle=str(bundle.path), options=any_options, **stdio)
        client.call("Start", id=name)

    def live(self, bundle: Bundle) -> dict[str, float]:
        """A container's whole life."""
        name = f"s{self._place.number()}"
        clock = _Clock()
        client = self.start(bundle, name)
        took = {"shim-start": clock.lap()}
        self.create(client, bundle, name)
        took["shim-create"] = clock.lap()
        pid = client.call("Connect", id=name)["shim_pid"]
        took["shim-pss"], took["shim-private"] = memory(pid)
        clock.lap()
        self._exec(client, name)
        took["shim-exec"] = clock.lap()
        self.end(client, name, 9)
        took["shim-end"] = clock.lap()
        ended(pid)
        return took

    def _exec(self, client: Client, name: str) -> None:
        import json

        process = {"args": ["/bin/probe", "true"], "cwd": "/", "env": ["PATH=/bin"],
                   "user": {"uid": 0, "gid": 0}}  # fmt: skip
        spec = {"type_url": "types.containerd.io/opencontainers/runtime-spec/1/Process",
                "value": json.dumps(process).encode()}  # fmt: skip
        client.call("Exec", id=name, exec_id="e", spec=spec)
        client.call("Start", id=name, exec_id="e")
        client.call("Wait", id=name, exec_id="e")
        client.call("Delete", id=name, exec_id="e")

    def end(self, client: Client, name: str, number: int = 0) -> None:
        """See the container to its end, by a signal where `number` isn't 0, and the shim."""
        if number:
            client.call("Kill", id=name, signal=number)
        client.call("Wait", id=name)
        client.call("Delete", id=name)
        with contextlib.suppress(ConnectionError):  # containerd's closes it without an answer
            client.call("Shutdown", id=name)
        client.close()

    def write(self, bundle: Bundle) -> dict[str, float]:
        """GB/s from a container that writes to a reader that does nothing else."""
        name = f"s{self._place.number()}"
        fifo = self.directory / name
        os.mkfifo(fifo)
        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        client = self.start(bundle, name)
        clock = _Clock()
        self.create(client, bundle, name, stdout=str(fifo), stderr=str(fifo))
        clock.lap()
        got = _drain(fd)
        seconds = clock.lap() / 1000
        os.close(fd)
        fifo.unlink()
        pid = client.call("Connect", id=name)["shim_pid"]
        self.end(client, name)
        ended(pid)
        return {"stdio": got / seconds / 1e9}

    def log(self, bundle: Bundle) -> dict[str, float]:
        """GB/s from a container whose output the shim writes to a file."""
        name = f"s{self._place.number()}"
        file = self.directory / name
        file.touch()
        client = self.start(bundle, name)
        clock = _Clock()
        self.create(client, bundle, name, stdout=f"file://{file}", stderr=f"file://{file}")
        clock.lap()
        client.call("Wait", id=name)
        seconds, got = clock.lap() / 1000, file.stat().st_size
        pid = client.call("Connect", id=name)["shim_pid"]
        self.end(client, name)
        ended(pid)
        file.unlink()
        return {"log": got / seconds / 1e9}

    def close(self) -> None:
        """Remove what is here."""
        self._events.close()
        shutil.rmtree(self.directory)


class _Clock:
    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Milliseconds since the last lap."""
        before, self._last = self._last, time.perf_counter()
        return (self._last - before) * 1000


def _drain(fd: int) -> int:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    got = 0
    while got < _BYTES:
        if not poll.poll(limit(30) * 1000):
            raise RuntimeError(f"no more output after {got} bytes")
        got += len(os.read(fd, 1 << 20))
    return got


def memory(pid: int) -> tuple[float, float]:
    """A process's proportional and private memory, in MB (proc_pid_smaps_rollup(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {
        name: int(value.split()[0]) / 1024 for name, _, value in (x.partition(":") for x in lines)
    }
    return values["Pss"], values["Private_Clean"] + values["Private_Dirty"]


def contenders(place: Workplace, planner: str) -> dict[str, Shim]:
    """The shims that are there. planner: the socket of ours."""
    ours = (place, str(peers.SHIM), str(peers.ORLOP))
    found = {"orlop shim": Shim(*ours), "orlop shim warm": Shim(*ours, planner)}
    theirs, runc = peers.find("containerd-shim-runc-v2"), peers.find("runc")
    if theirs and runc:
        found["containerd shim, runc"] = Shim(place, theirs, runc)
    else:
        place.skip(["containerd shim, runc"], "not installed")
    return found


def measure(place: Workplace) -> None:
    """A life through each shim, and its output."""
    planner = ShimPlanner()
    shims = contenders(place, str(planner.socket))
    try:
        bundle = place.bundle("shim", "sleep")
        lives = {name: partial(shim.live, bundle) for name, shim in shims.items()}
        interleave(place.results, LIFE, lives, place.rounds)
        output = place.bundle("output", "true")
        output.process["args"] = [
            "/bin/busybox",
            "dd",
            "if=/dev/zero",
            "bs=64k",
            f"count={_BYTES >> 16}",
        ]
        shutil.copy(peers.find("busybox") or "busybox", output.rootfs / "bin" / "busybox")
        output.write()
        writes = {name: partial(shim.write, output) for name, shim in shims.items()}
        interleave(place.results, STDIO, writes, max(3, place.rounds // 10))
        logs = {name: partial(shim.log, output) for name, shim in shims.items()}
        interleave(place.results, LOG, logs, max(3, place.rounds // 10))
    finally:
        for shim in shims.values():
            shim.close()
        planner.stop()
