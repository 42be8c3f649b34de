# SPDX-License-Identifier: Apache-2.0
"""Workers that shims borrow: the same work as a fork's, and a fork where there is none."""

from __future__ import annotations

import itertools
import json
import marshal
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from shim.messages import DELETED
from shim.ttrpc import RpcError
from tests.shim.conftest import NAMESPACE, PROGRAM
from tests.shim.test_killed import SLEEP, ExecLife, Life
from tests.support.cli import ENVIRONMENT
from tests.support.features import requires
from tests.support.killer import KILLED
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.protobuf import Values
    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch
    from tests.support.ttrpc import Client

pytestmark = requires("root")
EXEC = {"type_url": "process", "value": SLEEP}


def children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it has ended


def words(pid: int) -> list[str]:
    try:
        return [word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if word]
    except (FileNotFoundError, ProcessLookupError):
        return []  # as above


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


class Template:
    """A template of shims, in a `with` statement."""

    def __init__(self, *launcher: str, **env: str) -> None:
        self._words = [*(launcher or (str(PROGRAM),)), "-template", "." * 200]
        self._env = {**ENVIRONMENT, "TTRPC_ADDRESS": "", **env}

    def __enter__(self) -> Self:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
            self.pid = os.posix_spawn(self._words[0], self._words, self._env, file_actions=actions)
        return self

    def __exit__(self, *exception: object) -> None:
        others = [*self.workers(), *self.pools()]
        self._channel.close()
        os.waitpid(self.pid, 0)
        for pid in others:
            ended(pid)

    def fork(self, shim: Shim) -> Client:
        """A shim; a connection to it."""
        (shim.bundle.path / "log").touch()
        os.makedirs(shim.socket_directory, exist_ok=True)
        path = f"{shim.socket_directory}/shim"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            request = marshal.dumps((NAMESPACE, path, shim.events.address))
            socket.send_fds(self._channel, [request], [listener.fileno()])
        shim.address = f"unix://{path}"
        return shim.connect()

    def pools(self) -> list[int]:
        return [pid for pid in children(self.pid) if "workers" in words(pid)]

    def workers(self) -> list[int]:
        return [pid for pool in self.pools() for pid in children(pool)]


@pytest.fixture
def template(watch: Watch) -> Iterator[Template]:  # noqa: ARG001 - it looks when all is over
    with Template() as made:
        yield made


def seen(shim: Shim, template: Template, *, is_lent: bool) -> Values:
    """What a container and its hook see of who made them."""
    file = shim.directory / f"seen-{shim.id}"
    script = (
        f"(env | sort; pwd; umask; cat /proc/self/cgroup /proc/self/limits) >{file}; cat >>{file}"
    )
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    shim.bundle.spec["hooks"] = {"createRuntime": [hook]}
    shim.bundle.args("sleep").write()
    client = template.fork(shim)
    init = shim.create(client)["pid"]
    # What a fork has started is its child until it has gone.
    assert not is_lent or parent(init) == shim.pid
    client.call("Start", id=shim.id)
    client.call("Exec", id=shim.id, exec_id="x", spec=EXEC)
    process = client.call("Start", id=shim.id, exec_id="x")["pid"]
    found: Values = {"hook": file.read_text().replace(str(init), "PID").replace(shim.id, "ID")}
    for name, pid in (("init", init), ("exec", process)):
        assert not is_lent or parent(pid) == shim.pid
        proc = Path(f"/proc/{pid}")
        found[name] = [
            (proc / "cgroup").read_text().replace(shim.id, "ID"),
            (proc / "limits").read_text(),
            (proc / "oom_score_adj").read_text(),
            [os.readlink(proc / "fd" / number) for number in "012"],
        ]
    client.call("Kill", id=shim.id, exec_id="x", signal=9)
    assert client.call("Wait", id=shim.id, exec_id="x")["exit_status"] == 137
    shim.end(client)
    return found


def test_a_container_is_the_same_by_a_worker_that_was_lent(shim: Shim, template: Template) -> None:
    lent = seen(shim, template, is_lent=True)
    assert "HOME" not in lent["hook"]
    for pool in template.pools():
        os.kill(pool, signal.SIGKILL)
        ended(pool)
    assert seen(shim, template, is_lent=False) == lent


def test_workers_do_one_work_after_another(shim: Shim, bundle: Bundle, template: Template) -> None:
    """And have nothing of it afterwards: each compares itself with what it was."""
    bundle.args("sleep").write()
    client = template.fork(shim)
    shim.create(client)
    client.call("Start", id=shim.id)
    workers: set[int] = set()
    for number in range(40):
        name = str(number)
        client.call("Exec", id=shim.id, exec_id=name, spec=EXEC)
        pid = client.call("Start", id=shim.id, exec_id=name)["pid"]
        assert parent(pid) == shim.pid
        client.call("Kill", id=shim.id, exec_id=name, signal=9)
        assert client.call("Wait", id=shim.id, exec_id=name)["exit_status"] == 137
        client.call("Delete", id=shim.id, exec_id=name)
        workers |= set(template.workers())
    assert len(workers) <= 10  # some are made when all are at work: not one for each
    shim.end(client)


@pytest.mark.parametrize("lack", ["killed", "busy"])
def test_without_a_worker_a_fork_does_it(
    shim: Shim, bundle: Bundle, template: Template, lack: str
) -> None:
    bundle.args("exit", "3").write()
    client = template.fork(shim)
    client.call("Connect", id="nobody")  # it is there, and so is its pool
    (pool,) = template.pools()
    number = signal.SIGKILL if lack == "killed" else signal.SIGSTOP
    stopped = [pool, *children(pool)]
    for pid in stopped:
        os.kill(pid, number)
    if lack == "killed":
        ended(pool)
    shim.create(client)
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 3
    shim.finish(client)
    if lack == "busy":
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def in_a_hook(shim: Shim) -> Path:
    """Have Create wait in a hook, which writes its pid to a FIFO."""
    fifo = shim.directory / "in-hook"
    os.mkfifo(fifo)
    script = f"echo $$ >{fifo}; exec sleep 60"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    shim.bundle.spec["hooks"] = {"createRuntime": [hook]}
    shim.bundle.args("sleep").write()
    return fifo


def creator(shim: Shim) -> int:
    """Who makes the container now."""
    (found,) = (shim.root / NAMESPACE).iterdir()
    pid: int = json.loads((found / "state.json").read_text())["creator"]["pid"]
    return pid


def test_a_shim_answers_while_a_hook_of_its_container_runs(shim: Shim, template: Template) -> None:
    """And a worker that is killed then is an error; what there is of it all can be deleted."""
    fifo = in_a_hook(shim)
    client = template.fork(shim)
    pending = client.begin("Create", id=shim.id, bundle=str(shim.bundle.path), options=shim.options)
    hook = int(fifo.read_text())
    shim.pid = client.call("Connect", id=shim.id)["shim_pid"]
    assert parent(hook) == shim.pid
    worker = creator(shim)
    assert worker in template.workers()
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(RpcError, match="the worker was killed"):
        pending.result()
    os.kill(hook, signal.SIGKILL)
    assert DELETED.decode(shim.run("delete").stdout)["exit_status"] == 137
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)


def test_a_worker_ends_with_the_shim_that_it_works_for(shim: Shim, template: Template) -> None:
    fifo = in_a_hook(shim)
    client = template.fork(shim)
    client.begin("Create", id=shim.id, bundle=str(shim.bundle.path), options=shim.options)
    hook = int(fifo.read_text())
    worker = creator(shim)
    os.kill(client.call("Connect", id=shim.id)["shim_pid"], signal.SIGKILL)
    ended(worker)
    Path(f"{shim.socket_directory}/shim").unlink()
    os.kill(hook, signal.SIGKILL)
    assert DELETED.decode(shim.run("delete").stdout)["exit_status"] == 137


def test_a_hook_that_can_not_be_executed_is_told_as_ever(shim: Shim, template: Template) -> None:
    shim.bundle.spec["hooks"] = {"createRuntime": [{"path": "/no/such/hook"}]}
    shim.bundle.args("sleep").write()
    client = template.fork(shim)
    with pytest.raises(RpcError, match=r"/hooks/createRuntime/0.*[Nn]o such file"):
        shim.create(client)
    client.call("Shutdown", id=shim.id)


def test_what_is_too_long_for_a_message_is_a_forks(
    shim: Shim, bundle: Bundle, template: Template
) -> None:
    bundle.args("sleep").write()
    client = template.fork(shim)
    shim.create(client)
    client.call("Start", id=shim.id)
    process = {"args": ["/bin/probe", "env"], "cwd": "/", "env": ["A=" + "x" * 100_000]}
    output = shim.directory / "output"
    spec = {"type_url": "process", "value": json.dumps(process).encode()}
    client.call("Exec", id=shim.id, exec_id="x", spec=spec, stdout=f"file://{output}")
    client.call("Start", id=shim.id, exec_id="x")
    assert client.call("Wait", id=shim.id, exec_id="x")["exit_status"] == 0
    client.call("Delete", id=shim.id, exec_id="x")
    shim.end(client)
    assert "A=" + "x" * 100_000 in output.read_text()


LIVES = {
    "_create": (Life, 30), "_delete": (Life, 20), "_exec": (ExecLife, 10), "hand_over": (Life, 30),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("since", LIVES)
def test_nothing_is_left_of_a_work_that_was_killed(
    shim: Shim, bundle: Bundle, watch: Watch, tmp_path: Path, since: str
) -> None:
    """SIGKILL before each effect: of the worker's, and of the shim's beside it."""
    live, least = LIVES[since]
    bundle.args(*(["exit", "3"] if live is Life else ["sleep"])).write()
    marker = tmp_path / "marker"
    for point in itertools.count(1):
        marker.unlink(missing_ok=True)
        words = [*KILLED, str(point), "any", str(marker), f"{PROGRAM}-cold"]
        with Template(*words, KILLED_FROM=since) as template:
            template.fork(shim).close()
            live(shim, shim.address.removeprefix("unix://"))
            status = DELETED.decode(shim.run("delete").stdout)["exit_status"]
            assert status in (3, 137), f"killed before effect {point}"
        left = [line for line in watch.settled() if not line.startswith("descriptor")]
        assert left == [], f"killed before effect {point}"
        Path(f"{shim.socket_directory}/shim").unlink(missing_ok=True)
        if not marker.exists():
            break
    assert point > least
