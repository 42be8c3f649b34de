# SPDX-License-Identifier: Apache-2.0
"""A shim that nobody asks for anything gives memory back, and goes on as before."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.features import requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = requires("root")
_LEAST = 300 << 10  # bytes; half of it on an idle machine


def private(pid: int) -> int:
    """Bytes of a process's own."""
    words = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
    return sum(int(words[words.index(f"Private_{kind}:") + 1]) << 10 for kind in ("Clean", "Dirty"))


def give_back(pid: int, before: int) -> None:
    """Wait until it has. It is looked at: nothing tells of another process's memory."""
    deadline = time.monotonic() + limit(20)
    while private(pid) > before - _LEAST:
        assert time.monotonic() < deadline, f"{before} bytes, then {private(pid)}"
        time.sleep(0.05)


def test_an_idle_shim_gives_memory_back_and_goes_on(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    bundle.args("sleep").write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    (shim,) = orlopd.shims()
    give_back(shim, private(shim))
    for number in range(3):
        made = client.call("container.exec", id="a", args=["/bin/probe", "args", f"line {number}"])
        assert client.call("container.wait", id="a", exec=made["exec"])["exitStatus"] == 0
        give_back(shim, private(shim))
    client.call("container.pause", id="a")
    client.call("container.resume", id="a")
    client.call("container.kill", id="a", signal="KILL")
    assert client.call("container.wait", id="a")["exitStatus"] == 137
    client.call("container.delete", id="a")


def test_output_goes_on_while_memory_is_given_back(
    orlopd: Orlopd, client: Client, bundle: Bundle
) -> None:
    """Its thread is asleep, or at work: not a line is lost, and none comes twice."""
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, bundle.rootfs / "bin" / "busybox")
    script = "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); /bin/busybox usleep 10000; done"
    bundle.process["args"] = ["/bin/busybox", "sh", "-c", script]
    bundle.write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    (shim,) = orlopd.shims()
    give_back(shim, private(shim))
    assert client.call("container.state", id="a")["status"] == "running"
    assert client.call("container.wait", id="a")["exitStatus"] == 0
    entries = client.call("container.logs", id="a")
    assert [entry["log"] for entry in entries] == [f"{number}\n" for number in range(300)]
    client.call("container.delete", id="a")
