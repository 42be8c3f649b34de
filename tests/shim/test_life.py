# SPDX-License-Identifier: Apache-2.0
"""A container's life through the shim: create, start, wait, kill, delete, in every order."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from shim import ttrpc
from shim.messages import DELETED, RUNC_OPTIONS
from shim.ttrpc import RpcError
from tests.shim.conftest import NAMESPACE, OPTIONS, PROGRAM
from tests.support.cli import ENVIRONMENT
from tests.support.features import requires
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.ttrpc import Client

pytestmark = requires("root")
CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4


def test_a_container_lives_and_its_events_come_in_order(shim: Shim, bundle: Bundle) -> None:
    bundle.args("exit", "3")
    client = shim.start()
    pid = shim.create(client)["pid"]
    assert client.call("State", id=shim.id)["status"] == CREATED
    waiting = client.begin("Wait", id=shim.id)
    assert client.call("Start", id=shim.id) == {"pid": pid}
    assert waiting.result()["exit_status"] == 3
    state = client.call("State", id=shim.id)
    assert (state["status"], state["exit_status"], state["pid"]) == (STOPPED, 3, pid)
    kept = json.loads((bundle.path / "exits" / "init.json").read_text())
    assert (kept["pid"], kept["exitStatus"]) == (pid, 3)
    assert client.call("Delete", id=shim.id)["exit_status"] == 3
    shim.events.wait("/tasks/delete")
    assert shim.events.topics(shim.id) == ["create", "start", "exit", "delete"]
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)
    assert not Path(shim.address.removeprefix("unix://")).exists()
    assert not (bundle.path / "exits").exists()


def test_a_start_that_comes_while_create_is_at_work_waits_for_it(
    shim: Shim, bundle: Bundle
) -> None:
    """As orlopd sends both at once; a further one is too late."""
    bundle.args("exit", "3")
    client = shim.start()
    creating = shim.begin_create(client)
    starting = [client.begin("Start", id=shim.id) for _ in range(2)]
    pid = creating.result()["pid"]
    assert starting[0].result() == {"pid": pid}
    with pytest.raises(RpcError, match="cannot start an already running container") as caught:
        starting[1].result()
    assert caught.value.code == ttrpc.FAILED_PRECONDITION
    assert client.call("Wait", id=shim.id)["exit_status"] == 3
    shim.finish(client)
    assert shim.events.topics(shim.id) == ["create", "start", "exit", "delete"]


def test_a_start_that_waits_fails_with_its_create(shim: Shim, bundle: Bundle) -> None:
    bundle.spec["root"]["path"] = "missing"
    client = shim.start()
    creating = shim.begin_create(client)
    starting = client.begin("Start", id=shim.id)
    with pytest.raises(RpcError, match="/root/path"):
        creating.result()
    with pytest.raises(RpcError, match="container not created") as caught:
        starting.result()
    assert caught.value.code == ttrpc.NOT_FOUND
    client.call("Shutdown", id=shim.id)


def test_a_start_that_waits_starts_nothing_that_was_deleted(
    shim: Shim, bundle: Bundle, tmp_path: Path
) -> None:
    gate, reached, ran = tmp_path / "gate", tmp_path / "reached", bundle.rootfs / "ran"
    os.mkfifo(gate)
    os.mkfifo(reached)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo >{reached}; read line <{gate}"]}
    bundle.spec["hooks"] = {"createRuntime": [hook]}
    bundle.args("write", "/ran", "x")
    client, other = shim.start(), shim.connect()
    creating = shim.begin_create(client)
    starting = client.begin("Start", id=shim.id)
    assert reached.read_text() == "\n"
    deleting = other.begin("Delete", id=shim.id)
    with contextlib.suppress(BrokenPipeError):
        gate.write_text("go\n")
    for pending in (creating, starting, deleting):
        with pytest.raises(RpcError):
            pending.result()
    assert not ran.exists()
    assert not (shim.root / NAMESPACE / shim.id).exists()
    client.call("Shutdown", id=shim.id)


def test_output_comes_through_fifos_and_ends(shim: Shim, bundle: Bundle) -> None:
    bundle.args("args", "hello", "--", "cat", "/none")
    client = shim.start()
    out, err = shim.fifo("out"), shim.fifo("err")
    shim.create(client, stdout=out.path, stderr=err.path)
    client.call("Start", id=shim.id)
    client.call("Wait", id=shim.id)
    shim.finish(client)
    assert b"hello" in out.read_all()
    assert b"/none" in err.read_all()


def test_input_ends_when_close_io_was_called_and_the_master_closed(
    shim: Shim, bundle: Bundle
) -> None:
    bundle.args("echo")
    client = shim.start()
    out, stdin = shim.fifo("out"), shim.fifo("in")
    shim.create(client, stdin=stdin.path, stdout=out.path)
    client.call("Start", id=shim.id)
    writer = os.open(stdin.path, os.O_WRONLY)
    stdin.close()
    os.write(writer, b"over the water\n")
    assert out.read_until(b"\n") == b"over the water\n"
    client.call("CloseIO", id=shim.id, stdin=True)
    os.close(writer)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)


def test_more_output_than_a_pipe_holds_waits_for_its_reader(shim: Shim, bundle: Bundle) -> None:
    bundle.args("cat", *["/bin/probe"] * 4)
    client = shim.start()
    out = shim.fifo("out")
    shim.create(client, stdout=out.path)
    client.call("Start", id=shim.id)
    expected = (bundle.rootfs / "bin" / "probe").read_bytes() * 4
    found = b""
    while len(found) < len(expected):
        found += out.read_until(b"")
        found += _some(out.fd)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)
    assert found == expected


def _some(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def test_a_signal_ends_the_container_with_its_number(shim: Shim, bundle: Bundle) -> None:
    bundle.args("sleep")
    client = shim.start()
    out = shim.fifo("out")
    shim.create(client, stdout=out.path)
    client.call("Start", id=shim.id)
    out.read_until(b"ready")
    with pytest.raises(RpcError) as error:
        client.call("Delete", id=shim.id)
    assert error.value.code == ttrpc.FAILED_PRECONDITION
    client.call("Kill", id=shim.id, signal=9)
    assert client.call("Wait", id=shim.id)["exit_status"] == 128 + 9
    with pytest.raises(RpcError) as error:
        client.call("Kill", id=shim.id, signal=15)
    assert error.value.code == ttrpc.NOT_FOUND
    shim.finish(client)


def test_a_container_without_a_pid_namespace_leaves_nobody(shim: Shim, bundle: Bundle) -> None:
    bundle.drop_namespace("pid")
    bundle.args("sleep")
    client = shim.start()
    out = shim.fifo("out")
    shim.create(client, stdout=out.path)
    client.call("Start", id=shim.id)
    out.read_until(b"ready")
    run(client, shim, "e1", "/bin/probe", "sleep")
    client.call("Kill", id=shim.id, signal=15)
    assert client.call("Wait", id=shim.id)["exit_status"] == 128 + 15
    assert client.call("State", id=shim.id, exec_id="e1")["status"] == STOPPED
    client.call("Delete", id=shim.id, exec_id="e1")
    shim.finish(client)
    shim.events.wait("/tasks/delete")
    exits = [event["id"] for topic, event in shim.events.seen if topic == "/tasks/exit"]
    assert exits == ["e1", shim.id]


def test_a_created_container_can_be_deleted_and_its_exit_is_told(shim: Shim) -> None:
    client = shim.start()
    shim.create(client)
    assert client.call("Delete", id=shim.id)["exit_status"] == 128 + 9
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)
    assert shim.events.topics(shim.id) == ["create", "exit", "delete"]


def test_an_init_that_died_before_start_is_reported_once(shim: Shim) -> None:
    client = shim.start()
    pid = shim.create(client)["pid"]
    os.kill(pid, 9)
    assert client.call("Wait", id=shim.id)["exit_status"] == 128 + 9
    with pytest.raises(RpcError) as error:
        client.call("Start", id=shim.id)
    assert error.value.code == ttrpc.FAILED_PRECONDITION
    shim.finish(client)
    assert shim.events.topics(shim.id) == ["create", "exit", "delete"]


def test_a_program_that_is_not_there_fails_with_the_reason(shim: Shim, bundle: Bundle) -> None:
    bundle.process["args"] = ["/none"]
    client = shim.start()
    with pytest.raises(RpcError, match=r"/none.*no such file or directory"):
        shim.create(client)
    assert shim.events.topics(shim.id) == []


def test_a_create_that_fails_leaves_nothing_and_can_be_repeated(shim: Shim, bundle: Bundle) -> None:
    client = shim.start()
    bundle.process["cwd"] = "relative"
    bundle.write()
    with pytest.raises(RpcError, match="/process/cwd"):
        shim.create(client)
    with pytest.raises(RpcError) as error:
        client.call("State", id=shim.id)
    assert error.value.code == ttrpc.NOT_FOUND
    bundle.process["cwd"] = "/"
    bundle.write()
    shim.create(client)
    with pytest.raises(RpcError) as error:
        shim.create(client)
    assert error.value.code == ttrpc.ALREADY_EXISTS
    client.call("Delete", id=shim.id)


def test_pause_stops_and_resume_goes_on(shim: Shim, bundle: Bundle) -> None:
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    client.call("Pause", id=shim.id)
    assert client.call("State", id=shim.id)["status"] == PAUSED
    client.call("Resume", id=shim.id)
    assert client.call("State", id=shim.id)["status"] == RUNNING
    client.call("Kill", id=shim.id, signal=9)
    client.call("Wait", id=shim.id)
    shim.finish(client)
    assert shim.events.topics(shim.id)[2:4] == ["paused", "resumed"]


def run(client: Client, shim: Shim, exec_id: str, *args: str, **values: object) -> int:
    """Add and start an exec process; its pid."""
    process = {
        "args": list(args),
        "cwd": "/",
        "user": {"uid": 0, "gid": 0},
        "terminal": bool(values.get("terminal")),
    }
    url = "types.containerd.io/opencontainers/runtime-spec/1/Process"
    spec = {"type_url": url, "value": json.dumps(process).encode()}
    client.call("Exec", id=shim.id, exec_id=exec_id, spec=spec, **values)
    pid: int = client.call("Start", id=shim.id, exec_id=exec_id)["pid"]
    return pid


def test_exec_processes_have_exits_of_their_own(shim: Shim, bundle: Bundle) -> None:
    bundle.args("sleep")
    client = shim.start()
    out = shim.fifo("out")
    shim.create(client)
    client.call("Start", id=shim.id)
    pid = run(client, shim, "e1", "/bin/probe", "args", "in", stdout=out.path)
    waited = client.call("Wait", id=shim.id, exec_id="e1")
    assert waited["exit_status"] == 0
    deleted = client.call("Delete", id=shim.id, exec_id="e1")
    assert (deleted["pid"], deleted["exit_status"]) == (pid, 0)
    assert b"in" in out.read_all()
    run(client, shim, "e2", "/bin/probe", "killself", "TERM")
    assert client.call("Wait", id=shim.id, exec_id="e2")["exit_status"] == 128 + 15
    with pytest.raises(RpcError) as error:
        run(client, shim, "e2", "/bin/probe", "true")
    assert error.value.code == ttrpc.ALREADY_EXISTS
    client.call("Kill", id=shim.id, signal=9)
    client.call("Wait", id=shim.id)
    shim.finish(client)
    assert shim.events.topics(shim.id) == [
        *("create", "start", "exec-added", "exec-started", "exit"),
        *("exec-added", "exec-started", "exit", "exit", "delete"),
    ]


def test_an_exec_that_fails_tells_why_and_may_be_deleted(shim: Shim, bundle: Bundle) -> None:
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    with pytest.raises(RpcError, match=r"/none.*no such file or directory"):
        run(client, shim, "e1", "/none")
    client.call("Delete", id=shim.id, exec_id="e1")
    client.call("Kill", id=shim.id, signal=9)
    client.call("Wait", id=shim.id)
    run_refused(client, shim)
    shim.finish(client)


def run_refused(client: Client, shim: Shim) -> None:
    with pytest.raises(RpcError) as error:
        run(client, shim, "late", "/bin/probe", "true")
    assert error.value.code == ttrpc.FAILED_PRECONDITION


def test_a_terminal_has_a_size_and_takes_input(shim: Shim, bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    bundle.args("echo")
    client = shim.start()
    out, stdin = shim.fifo("out"), shim.fifo("in")
    shim.create(client, terminal=True, stdin=stdin.path, stdout=out.path)
    client.call("Start", id=shim.id)
    client.call("ResizePty", id=shim.id, width=81, height=26)
    writer = os.open(stdin.path, os.O_WRONLY)
    os.write(writer, b"ahoy\n")
    assert out.read_until(b"ahoy\r\nahoy\r\n")
    pts, other = shim.fifo("pts"), shim.fifo("other")
    run(client, shim, "e1", "/bin/probe", "tty", terminal=True, stdout=pts.path, stdin=other.path)
    client.call("Wait", id=shim.id, exec_id="e1")
    client.call("Delete", id=shim.id, exec_id="e1")
    assert b"controlling yes" in pts.read_all()
    os.write(writer, b"\x04")
    os.close(writer)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)


def test_an_exec_whose_child_keeps_writing_can_be_deleted(shim: Shim, bundle: Bundle) -> None:
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, bundle.rootfs / "bin" / "busybox")
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    out = shim.fifo("out")
    run(
        client, shim, "e1", "/bin/busybox", "sh", "-c", "/bin/busybox yes & exit 6", stdout=out.path
    )
    assert client.call("Wait", id=shim.id, exec_id="e1")["exit_status"] == 6
    deleting = client.begin("Delete", id=shim.id, exec_id="e1")
    assert b"y\ny\n" in out.read_all()
    assert deleting.result()["exit_status"] == 6
    client.call("Kill", id=shim.id, signal=9)
    client.call("Wait", id=shim.id)
    shim.finish(client)


@pytest.mark.v2
def test_pids_stats_and_update(shim: Shim, bundle: Bundle) -> None:
    from shim import messages, metrics

    bundle.args("sleep")
    client = shim.start()
    pid = shim.create(client)["pid"]
    client.call("Start", id=shim.id)
    exec_pid = run(client, shim, "e1", "/bin/probe", "sleep")
    found = {p["pid"]: p["info"] for p in client.call("Pids", id=shim.id)["processes"]}
    assert set(found) == {pid, exec_pid}
    assert messages.PROCESS_DETAILS.decode(found[exec_pid]["value"]) == {"exec_id": "e1"}
    resources = json.dumps({"pids": {"limit": 77}}).encode()
    client.call(
        "Update", id=shim.id, resources={"type_url": "x/LinuxResources", "value": resources}
    )
    stats = client.call("Stats", id=shim.id)["stats"]
    table = metrics.METRICS_V2 if stats["type_url"] == metrics.V2 else metrics.METRICS_V1
    assert table.decode(stats["value"])["pids"] == {"current": 2, "limit": 77}
    client.call("Kill", id=shim.id, signal=9)
    client.call("Wait", id=shim.id)
    shim.finish(client)


@pytest.mark.v2
def test_out_of_memory_is_told_before_the_exit(shim: Shim, bundle: Bundle) -> None:
    bundle.resources["memory"] = {"limit": 4 << 20, "swap": 4 << 20}
    bundle.args("mem", "32768")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 128 + 9
    shim.finish(client)
    assert shim.events.topics(shim.id) == ["create", "start", "oom", "exit", "delete"]


def test_a_hook_that_takes_its_time_stops_nothing_else(
    shim: Shim, bundle: Bundle, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"read line <{gate}"]}
    bundle.spec["hooks"] = {"poststart": [hook]}
    bundle.args("exit", "5")
    client = shim.start()
    shim.create(client)
    starting = client.begin("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 5
    assert client.call("State", id=shim.id)["status"] == STOPPED
    gate.write_text("go\n")
    starting.result()
    shim.finish(client)


def test_two_containers_of_a_group_share_a_shim(
    make_shim: Callable[[Bundle], Shim], make_bundle: Callable[[], Bundle]
) -> None:
    shims = []
    for _ in range(2):
        bundle = make_bundle()
        bundle.spec["annotations"] = {"io.kubernetes.cri.sandbox-id": "pod"}
        shims.append(make_shim(bundle))
    first, second = shims
    one, two = first.start(), second.start()
    assert first.address == second.address
    first.create(one)
    second.create(two)
    assert first.pid == second.pid
    two.call("Delete", id=second.id)
    two.call("Shutdown", id=second.id)
    assert one.call("State", id=first.id)["status"] == CREATED
    first.finish(one)


#: Runs a launcher that stops before it listens.
_STOPPING = """
import os, signal, sys
del sys.argv[0]
def stop(frame, event, argument):
    if event == "c_call" and argument.__name__ == "listen":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGSTOP)
with open(sys.argv[0]) as file:
    text = file.read()
sys.setprofile(stop)
exec(compile(text, sys.argv[0], "exec"))
"""


def test_two_starts_of_a_group_at_once_make_one_shim(
    make_shim: Callable[[Bundle], Shim], make_bundle: Callable[[], Bundle]
) -> None:
    """A socket that doesn't listen yet isn't taken for that of a killed shim."""
    shims = []
    for _ in range(2):
        bundle = make_bundle()
        bundle.spec["annotations"] = {"io.kubernetes.cri.sandbox-id": "pod"}
        bundle.write()
        shims.append(make_shim(bundle))
    stopping = [sys.executable, "-IS", "-c", _STOPPING, f"{PROGRAM}-cold"]
    started: list[subprocess.Popen[bytes]] = []
    for shim, launcher in zip(shims, (stopping, [str(PROGRAM)]), strict=True):
        (shim.bundle.path / "log").touch()
        words = ["-namespace", NAMESPACE, "-socket-dir", shim.socket_directory, "-id", shim.id]
        started.append(
            subprocess.Popen(
                [*launcher, *words, "start"],
                cwd=shim.bundle.path,
                env={**ENVIRONMENT, "TTRPC_ADDRESS": shim.events.address},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        )
        if len(started) == 1:
            assert os.WIFSTOPPED(os.waitpid(started[0].pid, os.WUNTRACED)[1])
    with pytest.raises(subprocess.TimeoutExpired):
        started[1].wait(1)
    os.kill(started[0].pid, signal.SIGCONT)
    for shim, process in zip(shims, started, strict=True):
        shim.address = process.communicate()[0].decode()
    assert shims[0].address == shims[1].address
    client = shims[1].connect()
    pid = client.call("Connect", id="nobody")["shim_pid"]
    client.call("Shutdown", id="nobody")
    ended(pid)


def test_a_master_that_went_away_finds_the_exit(shim: Shim, bundle: Bundle) -> None:
    bundle.args("sleep")
    client = shim.start()
    out = shim.fifo("out")
    pid = shim.create(client, stdout=out.path)["pid"]
    client.call("Start", id=shim.id)
    out.read_until(b"ready")
    client.close()
    os.kill(pid, 15)
    ended(pid)
    client = shim.connect()
    assert client.call("Wait", id=shim.id)["exit_status"] == 128 + 15
    shim.finish(client)


def test_a_killed_shim_leaves_a_container_that_delete_removes(shim: Shim, bundle: Bundle) -> None:
    bundle.args("sleep")
    client = shim.start()
    pid = shim.create(client)["pid"]
    client.call("Start", id=shim.id)
    os.kill(shim.pid, 9)
    ended(shim.pid)
    assert Path(f"/proc/{pid}").exists()
    deleted = shim.run("delete")
    assert DELETED.decode(deleted.stdout)["exit_status"] == 128 + 9
    ended(pid)
    assert not Path(shim.address.removeprefix("unix://")).exists()


def test_a_shim_killed_within_create_leaves_what_delete_removes(
    shim: Shim, bundle: Bundle, tmp_path: Path
) -> None:
    gate, reached = tmp_path / "gate", tmp_path / "reached"
    os.mkfifo(gate)
    os.mkfifo(reached)
    script = f"echo >{reached}; read line <{gate}"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    bundle.spec["hooks"] = {"createRuntime": [hook]}
    client = shim.start()
    options = {"type_url": OPTIONS, "value": RUNC_OPTIONS.encode({"root": str(shim.root)})}
    client.begin("Create", id=shim.id, bundle=str(bundle.path), options=options)
    assert reached.read_text() == "\n"
    both = processes(PROGRAM.name, shim.socket_directory)  # it, and its worker
    (pid,) = (pid for pid in both if parent(pid) not in both)
    os.kill(pid, 9)
    ended(pid)
    shim.run("delete")
    gate_fd = os.open(gate, os.O_RDWR)
    os.write(gate_fd, b"go\n")
    os.close(gate_fd)
    shim.run("delete")


def test_rootfs_mounts_come_and_go(shim: Shim, bundle: Bundle, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    bundle.rootfs.rename(lower)
    bundle.rootfs.mkdir()
    bundle.args("stat", "/bin/probe")
    client = shim.start()
    (lower / "data").mkdir()
    options = ["ro", "nosuid", "noatime"]
    mounts = [
        {"type": "bind", "source": str(lower), "options": ["rbind", "rw"]},
        {"type": "bind", "source": str(lower), "target": "/data", "options": options},
        {
            "type": "tmpfs",
            "source": "none",
            "target": "/data/tmp",
            "options": ["noexec", "size=4k"],
        },
    ]
    shim.create(client, rootfs=mounts)
    found = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    seen = {line[4]: line[5] for line in found if line[4].startswith(str(bundle.rootfs))}
    assert seen == {
        str(bundle.rootfs): seen[str(bundle.rootfs)],
        f"{bundle.rootfs}/data": "ro,nosuid,noatime",
        f"{bundle.rootfs}/data/tmp": "rw,noexec,relatime",
    }
    assert seen[str(bundle.rootfs)].startswith("rw")
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)
    assert list(bundle.rootfs.iterdir()) == []


def test_delete_can_be_called_again_after_a_failed_unmount(
    shim: Shim, bundle: Bundle, tmp_path: Path
) -> None:
    """More mounts than it takes away at once; that they are busy is no reason to fail."""
    lower = tmp_path / "lower"
    bundle.rootfs.rename(lower)
    bundle.rootfs.mkdir()
    bundle.args("true")
    client = shim.start()
    shim.create(client, rootfs=[{"type": "bind", "source": str(lower), "options": ["rbind"]}])
    client.call("Start", id=shim.id)
    client.call("Wait", id=shim.id)
    for _ in range(66):
        syscalls.mount("none", str(bundle.rootfs), "tmpfs", 0, "")
    busy = os.open(bundle.rootfs, os.O_PATH)
    with pytest.raises(RpcError) as error:
        client.call("Delete", id=shim.id)
    assert "more than 64 mounts on one another" in error.value.message
    assert client.call("State", id=shim.id)["status"] == STOPPED
    shim.finish(client)
    os.close(busy)
    assert list(bundle.rootfs.iterdir()) == []
    shim.events.wait("/tasks/delete")
    assert shim.events.topics(shim.id).count("exit") == 1


@pytest.mark.parametrize("layout", ["file", "cri", "json"])
def test_logs_are_written_to_files(shim: Shim, bundle: Bundle, tmp_path: Path, layout: str) -> None:
    bundle.args("args", "one", "two")
    client = shim.start()
    path = tmp_path / "logs" / "0.log"
    shim.create(client, stdout=f"{layout}://{path}", stderr=f"{layout}://{path}")
    client.call("Start", id=shim.id)
    client.call("Wait", id=shim.id)
    shim.finish(client)
    text = path.read_text()
    if layout == "file":
        assert text.endswith("one\ntwo\n")
    elif layout == "cri":
        assert [line.split(" ", 3)[1:] for line in text.splitlines()][-2:] == [
            ["stdout", "F", "one"],
            ["stdout", "F", "two"],
        ]
    else:
        entries = [json.loads(line) for line in text.splitlines()]
        assert [entry["log"] for entry in entries][-2:] == ["one\n", "two\n"]
        assert {entry["stream"] for entry in entries} == {"stdout"}


def test_a_logger_gets_the_output(shim: Shim, bundle: Bundle, tmp_path: Path) -> None:
    program, log = tmp_path / "logger", tmp_path / "log"
    program.write_text(
        f"#!/bin/sh\nexec 5>&-\n"
        f"{{ echo $CONTAINER_ID $CONTAINER_NAMESPACE $*; cat <&3; }} >{log}.new\n"
        f"mv {log}.new {log}\n"
    )
    program.chmod(0o755)
    bundle.args("args", "ahoy")
    client = shim.start()
    uri = f"binary://{program}?key=a%20word"
    shim.create(client, stdout=uri, stderr=uri)
    client.call("Start", id=shim.id)
    client.call("Wait", id=shim.id)
    client.call("Delete", id=shim.id)
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)
    for pid in processes(str(program)):
        ended(pid)
    first, *rest = log.read_text().splitlines()
    assert first == f"{shim.id} tests key a word"
    assert rest[-1] == "ahoy"


def processes(*words: str) -> list[int]:
    """The processes whose command line has all of these."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_text()
        except OSError:
            continue
        if all(word in command for word in words):
            found.append(int(entry.parent.name))
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
