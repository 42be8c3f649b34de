# SPDX-License-Identifier: Apache-2.0
"""What changes about a container that is there, what it uses, and its log as it grows."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import failure
from tests.supervisor.conftest import Orlopd, Refused
from tests.support.features import requires
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.supervisor.conftest import Client
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

pytestmark = [pytest.mark.root, pytest.mark.slow]
MEMORY = 64 << 20


@pytest.fixture
def rootfs(bundle: Bundle) -> Path:
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, bundle.rootfs / "bin" / "busybox")
    return bundle.rootfs


def run(client: Client, rootfs: Path, script: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401
    args = ["/bin/busybox", "sh", "-c", script]
    given = {"id": "a", "rootfs": str(rootfs), "args": args, "env": {"PATH": "/bin"}, **params}
    found: dict[str, Any] = client.call("container.run", **given)
    return found


SLEEP = "busybox sleep 1000"


# -- update, stats


def test_limits_change_and_others_stay(client: Client, rootfs: Path) -> None:
    run(client, rootfs, SLEEP, limits={"memory": MEMORY, "pids": 20})
    client.call("events.subscribe", since=0)
    client.call("container.update", id="a", limits={"pids": 33})
    found = client.call("container.stats", id="a")
    assert (found["memory"]["limit"], found["pids"]["limit"]) == (MEMORY, 33)
    assert client.event("update")["data"] == {"limits": {"pids": 33}}
    with pytest.raises(Refused) as refused:
        client.call("container.update", id="a", limits={"cpuset": "900-901"})
    assert refused.value.code == failure.RUNTIME_FAILED


def test_figures_grow_and_stream(client: Client, rootfs: Path) -> None:
    run(client, rootfs, "while :; do :; done")
    number = client.call("container.stats", id="a", interval=0.1)["subscription"]
    first, second = client.note("stats", number), client.note("stats", number)
    assert first["container"] == "a"
    assert second["cpu"]["usage"] > first["cpu"]["usage"]
    assert second["time"] > first["time"]
    assert second["memory"]["usage"] >= second["memory"]["workingSet"] > 0
    assert second["pids"]["current"] == 1
    client.call("container.delete", id="a", force=True)
    while "end" not in client.note("stats", number):
        pass
    with pytest.raises(Refused) as refused:
        client.call("container.stats")
    assert refused.value.data["pointer"] == "/id"


def test_out_of_memory_is_told_before_the_exit(client: Client, rootfs: Path) -> None:
    limits = {"memory": 4 << 20, "swap": 4 << 20}
    client.call("events.subscribe", since=0)
    run(client, rootfs, "", args=["/bin/probe", "mem", "32768"], limits=limits)
    assert client.call("container.wait", id="a")["exitStatus"] == 128 + signal.SIGKILL
    assert [_take(client) for _ in range(4)] == ["create", "start", "oom", "exit"]


def test_processes_have_details(client: Client, rootfs: Path) -> None:
    script = "(echo ready; busybox sleep 1001) & wait"
    output = run(client, rootfs, script, user="7", attach=True)["subscription"]
    client.output(output, b"ready\n")
    found = {process["pid"]: process for process in client.call("container.ps", id="a")}
    first = client.call("container.state", id="a")["pid"]
    (child,) = [process for process in found.values() if process["ppid"] == first]
    assert {found[first]["user"], child["user"]} == {"7"}
    assert "busybox" in child["command"]


# -- names and labels


def test_a_container_has_another_name_after_a_restart_too(
    orlopd: Orlopd, client: Client, rootfs: Path
) -> None:
    run(client, rootfs, SLEEP, labels={"x": "1", "y": "2"})
    client.call("events.subscribe", since=0)
    client.call("container.rename", id="a", name="b")
    event = client.event("rename")
    assert (event["container"], event["data"]) == ("b", {"from": "a"})
    run(client, rootfs, SLEEP)  # the old name is free, the runtime's own is made anew
    labels = client.call("container.label", id="b", set={"z": "3"}, remove=["x"])
    assert labels == {"labels": {"y": "2", "z": "3"}}
    for name, code in (("a", failure.EXISTS), ("../c", failure.INVALID_PARAMS)):
        with pytest.raises(Refused) as refused:
            client.call("container.rename", id="b", name=name)
        assert refused.value.code == code
    client = orlopd.restart()
    assert [state["id"] for state in client.call("container.list")] == ["b", "a"]
    assert client.call("container.inspect", id="b")["labels"] == {"y": "2", "z": "3"}
    client.call("container.kill", id="b", signal="KILL")
    assert client.call("container.wait", id="b")["exitStatus"] == 137


# -- stop, and start again


def test_stop_is_patient_and_then_not(client: Client, rootfs: Path) -> None:
    script = "trap 'exit 5' TERM; echo ready; while :; do busybox sleep 0.01; done"
    number = run(client, rootfs, script, attach=True)["subscription"]
    client.output(number, b"ready")
    assert client.call("container.stop", id="a")["exitStatus"] == 5
    with pytest.raises(Refused) as refused:
        client.call("container.stop", id="a")
    assert refused.value.code == failure.WRONG_STATE
    run(client, rootfs, SLEEP, id="b")  # pid 1 of its namespace ignores what it has no handler for
    assert client.call("container.stop", id="b", grace=0.1)["exitStatus"] == 128 + signal.SIGKILL


def test_a_container_that_has_ended_begins_again(
    orlopd: Orlopd, client: Client, rootfs: Path
) -> None:
    run(client, rootfs, "echo again; exit 3")
    for _ in range(2):
        assert client.call("container.wait", id="a")["exitStatus"] == 3
        client.call("container.start", id="a")
    assert client.call("container.wait", id="a")["exitStatus"] == 3
    client = orlopd.restart()
    client.call("container.start", id="a")
    assert client.call("container.wait", id="a")["exitStatus"] == 3
    number = client.call("container.logs", id="a", follow=True)["subscription"]
    assert [entry["log"] for entry in _entries(client, number)] == ["again\n"] * 4
    client.call("events.subscribe", since=0)
    topics = [_take(client) for _ in range(9)]
    assert topics == ["create", *("start", "exit") * 4]


def _take(client: Client) -> str:
    while not client.events:
        client._take()
    topic: str = client.events.pop(0)["topic"]
    return topic


def test_a_start_again_that_fails_leaves_it_as_it_was(client: Client, rootfs: Path) -> None:
    run(client, rootfs, "exit 3")
    client.call("container.wait", id="a")
    (rootfs / "bin" / "busybox").unlink()
    with pytest.raises(Refused, match="no such file"):
        client.call("container.start", id="a")
    client.call("container.wait", id="a")
    assert client.call("container.state", id="a")["status"] == "stopped"
    client.call("container.delete", id="a")


# -- logs


def _entries(client: Client, number: int) -> list[dict[str, str]]:
    """All that a following log sends."""
    found: list[dict[str, str]] = []
    while True:
        note = client.note("log", number)
        if "end" in note:
            return found
        found += note["entries"]


def test_logs_are_chosen_by_number_time_and_stream(client: Client, rootfs: Path) -> None:
    run(client, rootfs, "echo one; echo two >&2; busybox sleep 0.1; echo three")
    client.call("container.wait", id="a")
    every = client.call("container.logs", id="a")

    def texts(**params: object) -> list[str]:
        return [entry["log"] for entry in client.call("container.logs", id="a", **params)]

    assert sorted(texts()) == ["one\n", "three\n", "two\n"]
    assert texts(tail=1) == ["three\n"]
    assert texts(tail=0) == []
    assert texts(stream="stderr") == ["two\n"]
    last = every[-1]["time"]
    assert texts(since=last[:23] + "Z") == ["three\n"]
    assert texts(since=4e9) == []
    with pytest.raises(Refused) as refused:
        texts(since="yesterday")
    assert refused.value.data["pointer"] == "/since"


def test_a_log_is_followed_to_its_end(client: Client, rootfs: Path) -> None:
    found = run(
        client, rootfs, "echo one; read x; echo two; echo -n three", stdin=True, attach=True
    )
    client.output(found["subscription"], b"one\n")
    number = client.call("container.logs", id="a", follow=True)["subscription"]
    entries = client.note("log", number)["entries"]
    while not entries:  # whoever is attached may have it before the file has
        entries = client.note("log", number)["entries"]
    assert [entry["log"] for entry in entries] == ["one\n"]
    client.write(found["subscription"], b"\n")
    assert [entry["log"] for entry in _entries(client, number)] == ["two\n", "three\n"]


@pytest.fixture
def rotating(watch: Watch, tmp_path: Path) -> Iterator[Orlopd]:
    assert not watch.found()
    settings = tmp_path / "orlopd.toml"
    settings.write_text("[output]\nmax-size = 20000\n")
    daemon = Orlopd(f"--config={settings}")
    daemon.start()
    yield daemon
    daemon.close()


def test_a_log_is_followed_over_its_rotation(rotating: Orlopd, rootfs: Path) -> None:
    client = rotating.client()
    script = "while read x; do echo $x; done"
    attached = run(client, rootfs, script, stdin=True, attach=True)["subscription"]
    number = client.call("container.logs", id="a", follow=True, tail=0)["subscription"]
    wanted: list[dict[str, str]] = []
    for count in range(20):
        text = f"{count}-{'x' * 3000}\n"
        client.write(attached, text.encode())
        while len(wanted) <= count:
            wanted += client.note("log", number)["entries"]
    assert [entry["log"].partition("-")[0] for entry in wanted] == [str(n) for n in range(20)]
    assert (rotating.root / "logs" / "1.json.1").exists()


# -- checkpoint


@requires("criu-works")
@pytest.mark.v2
def test_a_container_goes_on_from_its_images(
    client: Client, bundle: Bundle, tmp_path: Path
) -> None:
    """Where criu works: `QEMU=1 scripts/test-vm.sh -- tests/supervisor/test_changes.py`."""
    bundle.args("trap", "SIGUSR1").write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    _logged(client, "ready\n")
    images = str(tmp_path / "images")
    client.call("container.checkpoint", id="a", path=images)
    assert client.call("container.wait", id="a")["exitStatus"] == 128 + signal.SIGKILL
    client.call("container.delete", id="a")
    state = client.call("container.restore", id="a", bundle=str(bundle.path), path=images)
    assert state["status"] == "running"
    os.kill(state["pid"], signal.SIGUSR1)
    _logged(client, "SIGUSR1\n")
    assert client.call("container.wait", id="a")["exitStatus"] == 0


def _logged(client: Client, text: str) -> None:
    number = client.call("container.logs", id="a", follow=True)["subscription"]
    while all(entry["log"] != text for entry in client.note("log", number)["entries"]):
        pass
    client.call("events.unsubscribe", subscription=number)


def test_a_checkpoint_that_fails_says_why_and_the_container_goes_on(
    client: Client, rootfs: Path, tmp_path: Path
) -> None:
    run(client, rootfs, SLEEP)
    (tmp_path / "file").touch()
    with pytest.raises(Refused):
        client.call("container.checkpoint", id="a", path=str(tmp_path / "file"))
    assert client.call("container.state", id="a")["status"] == "running"
    with pytest.raises(Refused) as refused:
        client.call("container.checkpoint", id="a", path="images")
    assert refused.value.data["pointer"] == "/path"


# -- clean-ups


def test_a_clean_up_that_fails_is_done_later(
    orlopd: Orlopd, client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    """A shim is killed, and something is in the way of removing what it left: until it isn't."""
    orlopd.errors_allowed = True
    bundle = make_bundle().args("sleep")
    bundle.write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    obstacle = bundle.path / "exits"  # a directory of the shim's
    obstacle.touch()
    (shim,) = orlopd.shims()
    client.call("events.subscribe")
    os.kill(shim, signal.SIGKILL)
    ended(shim)
    orlopd.says("Not a directory")
    assert client.call("container.state", id="a")["status"] == "running"
    obstacle.unlink()
    assert client.event("exit")["data"] == {"exitStatus": 137, "reason": "the shim died"}
    client.call("container.delete", id="a")
