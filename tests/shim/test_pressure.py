# SPDX-License-Identifier: Apache-2.0
"""A shim with no descriptors, processes, memory or space left: said, and nothing is lost."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shim.loop import Loop
from shim.server import Server
from shim.ttrpc import RpcError
from tests.security.conftest import attacker
from tests.support.features import requires
from tests.support.pressure import descriptors, fill, limited, no_processes, read_only
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.security.attacker import Attacker
    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch
    from tests.support.ttrpc import Client

__all__ = ["attacker"]

pytestmark = [requires("root"), pytest.mark.slow, pytest.mark.v2]
_ROOM = 40  # descriptors with which everything can be done


def execute(client: Client, shim: Shim, exec_id: str) -> int:
    """Run `true` in the container, and forget it; its status. Raises RpcError."""
    process = b'{"args": ["/bin/probe", "true"], "cwd": "/"}'
    client.call("Exec", id=shim.id, exec_id=exec_id, spec={"type_url": "", "value": process})
    try:
        client.call("Start", id=shim.id, exec_id=exec_id)
        status: int = client.call("Wait", id=shim.id, exec_id=exec_id)["exit_status"]
    finally:
        client.call("Delete", id=shim.id, exec_id=exec_id)
    return status


def settle(client: Client, shim: Shim, init: int = 0) -> None:
    """Wait until the shim has no child but the init, and has seen that."""
    for child in Path(f"/proc/{shim.pid}/task/{shim.pid}/children").read_text().split():
        if int(child) != init:
            ended(int(child))
    for _ in range(2):  # the first answer may be of that round of its loop that sees the end
        client.call("Connect", id=shim.id)


def running(shim: Shim) -> Client:
    """The connection to a shim whose container sleeps."""
    shim.bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    return client


def test_too_few_descriptors_for_a_create_are_said_and_it_is_undone(
    shim: Shim, bundle: Bundle, watch: Watch
) -> None:
    bundle.args("exit", "3")
    client = shim.start()
    shim.pid = pid = client.call("Connect", id=shim.id)["shim_pid"]
    before = descriptors(pid)
    refused = 0
    for more in range(1, _ROOM):
        with limited(pid, resource.RLIMIT_NOFILE, before[-1] + more):
            try:
                shim.create(client)
                break
            except RpcError as error:
                said = error.message
        assert "Too many open files" in said, more
        refused += 1
        settle(client, shim)
        assert descriptors(pid) == before, more
        left = {line.partition(" ")[0] for line in watch.found()}
        assert not {"mount", "cgroup"} & left, more
        assert list(shim.root.glob("*/*")) == [], more
    assert refused
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 3
    shim.finish(client)


def test_too_few_descriptors_for_an_exec_are_said_and_it_can_be_repeated(shim: Shim) -> None:
    client = running(shim)
    init = client.call("State", id=shim.id)["pid"]
    settle(client, shim, init)  # of a Create for which no worker of the pool was free in time
    before = descriptors(shim.pid)
    ends: list[int] = []
    for more in range(1, _ROOM):
        with limited(shim.pid, resource.RLIMIT_NOFILE, before[-1] + more):
            said = "Too many open files"
            try:
                ends.append(execute(client, shim, f"e{more}"))
            except RpcError as error:
                said = error.message
        assert "Too many open files" in said, more
        settle(client, shim, init)
        assert descriptors(shim.pid) == before, more
    assert set(ends) == {0}
    assert len(ends) < _ROOM - 1
    shim.end(client)


def test_an_exit_is_told_although_no_descriptor_is_left(shim: Shim, bundle: Bundle) -> None:
    """Without a pid namespace a worker has to end what else runs in the container."""
    bundle.drop_namespace("pid")
    client = running(shim)
    pid = client.call("State", id=shim.id)["pid"]
    waiting = client.begin("Wait", id=shim.id)
    with limited(shim.pid, resource.RLIMIT_NOFILE, descriptors(shim.pid)[-1] + 1):
        os.kill(pid, signal.SIGKILL)
        assert waiting.result()["exit_status"] == 128 + signal.SIGKILL
        with pytest.raises(RpcError, match="Too many open files"):
            client.call("Delete", id=shim.id)
    shim.finish(client)


def test_too_few_processes_are_said(shim: Shim, cgroup: str) -> None:
    """All that needs a worker is refused; an exit is told, and Delete works once there is room."""
    client = running(shim)
    waiting = client.begin("Wait", id=shim.id)
    with no_processes(shim.pid, cgroup):
        for method in ("Pause", "Delete"):
            if method == "Delete":
                client.call("Kill", id=shim.id, signal=9)
                assert waiting.result()["exit_status"] == 128 + signal.SIGKILL
            with pytest.raises(RpcError, match="fork: Resource temporarily unavailable"):
                client.call(method, id=shim.id)
    shim.finish(client)
    assert shim.events.topics(shim.id) == ["create", "start", "exit", "delete"]


def test_too_few_processes_for_a_create_are_said(shim: Shim, bundle: Bundle, cgroup: str) -> None:
    bundle.args("exit", "3")
    client = shim.start()
    shim.pid = client.call("Connect", id=shim.id)["shim_pid"]
    refused = pytest.raises(RpcError, match="fork: Resource temporarily unavailable")
    with no_processes(shim.pid, cgroup), refused:
        shim.create(client)
    shim.create(client)
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 3
    shim.finish(client)


def test_too_little_memory_is_said(shim: Shim) -> None:
    """An address space that can't grow: a worker fails, or has room enough."""
    client = running(shim)
    with open(f"/proc/{shim.pid}/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    said = []
    for number in range(0, 24, 3):
        with limited(shim.pid, resource.RLIMIT_AS, size + (number << 18)):
            try:
                execute(client, shim, f"e{number}")
            except RpcError as error:
                said.append(error.message)
    assert all("memory" in text.lower() for text in said), said
    assert said
    assert execute(client, shim, "last") == 0
    shim.end(client)


def test_a_bundle_that_can_not_be_written(shim: Shim, bundle: Bundle) -> None:
    """An exit that can't be kept is told all the same; what is to be removed can be so later."""
    client = shim.start()
    shim.pid = client.call("Connect", id=shim.id)["shim_pid"]
    with read_only(bundle.path), pytest.raises(RpcError, match="Read-only file system"):
        shim.create(client)
    bundle.args("sleep").write()
    shim.create(client)
    client.call("Start", id=shim.id)
    waiting = client.begin("Wait", id=shim.id)
    with read_only(bundle.path):
        client.call("Kill", id=shim.id, signal=9)
        assert waiting.result()["exit_status"] == 128 + signal.SIGKILL
        with pytest.raises(RpcError, match="Read-only file system"):
            client.call("Delete", id=shim.id)
    shim.finish(client)


def test_a_state_directory_without_space(shim: Shim, bundle: Bundle) -> None:
    bundle.args("exit", "3")
    client = shim.start()
    shim.pid = client.call("Connect", id=shim.id)["shim_pid"]
    shim.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", shim.root], check=True)
    try:
        filler = fill(shim.root)
        with pytest.raises(RpcError, match="No space left on device"):
            shim.create(client)
        filler.unlink()
        shim.create(client)
        client.call("Start", id=shim.id)
        assert client.call("Wait", id=shim.id)["exit_status"] == 3
        shim.finish(client)
    finally:
        subprocess.run(["umount", "--lazy", shim.root], check=True)


def test_signals_interrupt_nothing(shim: Shim, attacker: Callable[..., Attacker]) -> None:
    client = running(shim)
    sender = attacker("send", shim.pid)
    for number in range(5):
        assert execute(client, shim, f"e{number}") == 0
    client.call("Pause", id=shim.id)
    client.call("Resume", id=shim.id)
    waiting = client.begin("Wait", id=shim.id)
    client.call("Kill", id=shim.id, signal=9)
    assert waiting.result()["exit_status"] == 128 + signal.SIGKILL
    assert client.call("Delete", id=shim.id)["exit_status"] == 128 + signal.SIGKILL
    assert sender.stop()["sent"] > 100
    client.call("Shutdown", id=shim.id)
    ended(shim.pid)


def test_who_can_not_be_accepted_waits_in_peace(tmp_path: Path) -> None:
    """A listener that epoll tells of again and again would take a whole processor."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    failures: list[Exception] = []
    loop = Loop(failures.append)
    server = Server(loop, listener, {})
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
        ready = select.poll()
        ready.register(loop._epoll.fileno(), select.POLLIN)
        assert ready.poll(0)  # somebody is there
        with limited(os.getpid(), resource.RLIMIT_NOFILE, descriptors(os.getpid())[-1]):
            server._accept(0)
            assert not ready.poll(0)
        assert server._connections == set()
        loop._epoll.poll(loop._patience())
        loop._run_timers()  # it looks again
        assert ready.poll(0)
        server._accept(0)
        assert server.has_clients
        for each in list(server._connections):
            each.close()
    server.close()
    loop._epoll.close()
    assert failures == []
