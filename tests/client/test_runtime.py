# SPDX-License-Identifier: Apache-2.0
"""The runtime in process, without a daemon, as root and as somebody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from tests.integration.conftest import rootless
from tests.support.features import requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.container import Container

__all__ = ["rootless"]
ROOT = Path(__file__).resolve().parents[2]
#: What a user's own program does; run as somebody without any right.
ROOTLESS = """
import sys
sys.path.insert(0, sys.argv[1])
import orlop
runtime = orlop.Runtime(sys.argv[2])
status = runtime.run("c", sys.argv[3])
assert not runtime.list()
sys.exit(status)
"""

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def runtime(tmp_path: Path) -> orlop.Runtime:
    return orlop.Runtime(str(tmp_path / "state"))


def test_a_containers_life(runtime: orlop.Runtime, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    pid = runtime.create("a", str(bundle.path))
    assert (runtime.state("a")["status"], runtime.state("a")["pid"]) == ("created", pid)
    runtime.start("a")
    assert [state["id"] for state in runtime.list()] == ["a"]
    assert runtime.ps("a") == [pid]
    runtime.pause("a")
    assert runtime.state("a")["status"] == "paused"
    runtime.resume("a")
    runtime.update("a", {"pids": {"limit": 100}})
    data = runtime.stats("a")["data"]
    assert isinstance(data, dict)
    assert data["pids"] == {"current": 1, "limit": 100}
    with pytest.raises(orlop.WrongStatus):
        runtime.delete("a")
    runtime.kill("a", signal.SIGKILL)
    assert runtime.wait(pid) == 137
    runtime.delete("a")
    assert runtime.list() == []
    with pytest.raises(orlop.NotFound):
        runtime.state("a")


def test_run_returns_the_status_and_leaves_nothing(
    runtime: orlop.Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.args("args", "hello").write()
    with (tmp_path / "out").open("wb") as out:
        assert runtime.run("a", str(bundle.path), stdin=0, stdout=out) == 0
    assert "hello" in (tmp_path / "out").read_text()
    assert runtime.list() == []
    bundle.args("exit", "7").write()
    assert runtime.run("a", str(bundle.path)) == 7


def test_a_further_process(runtime: orlop.Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.args("sleep").write()
    runtime.create("a", str(bundle.path))
    runtime.start("a")
    with (tmp_path / "out").open("wb") as out:
        pid = runtime.exec("a", ["/bin/probe", "env"], env={"A": "b"}, stdout=out)
    assert runtime.wait(pid) == 0
    assert "A=b" in (tmp_path / "out").read_text()
    runtime.delete("a", force=True)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # no child is left, dead or alive


def test_usage_comes_until_the_end(runtime: orlop.Runtime, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    runtime.create("a", str(bundle.path))
    runtime.start("a")
    events = runtime.events("a", interval=0.05)
    assert next(events)["type"] == "stats"
    runtime.kill("a", "KILL")
    assert all(event["type"] == "stats" for event in events)
    runtime.delete("a", force=True)


def test_failures_name_their_place(runtime: orlop.Runtime, bundle: Bundle) -> None:
    bundle.spec["mounts"].append(
        {"destination": "/x", "source": "/nowhere", "type": "bind", "options": ["bind"]}
    )
    bundle.write()
    with pytest.raises(orlop.PlanFailed) as failed:
        runtime.run("a", str(bundle.path))
    assert failed.value.pointer.startswith(f"/mounts/{len(bundle.spec['mounts']) - 1}")
    assert failed.value.errno > 0
    assert runtime.list() == []


@requires("rootless")
def test_an_unprivileged_users(rootless: Container) -> None:
    rootless.bundle.args("id", "--", "exit", "7").write()
    result = subprocess.run(
        [sys.executable, "-c", ROOTLESS, ROOT, rootless.cli.root, rootless.bundle.path],
        user=rootless.cli.user,
        group=rootless.cli.user,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(60),
    )
    assert result.stderr == ""
    assert (result.returncode, "uid=0" in result.stdout.replace(" ", "=")) == (7, True)
