# SPDX-License-Identifier: Apache-2.0
"""NOTIFY_SOCKET: a service manager learns that the container's program is ready (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import ENVIRONMENT, is_orlop
from tests.support.features import requires
from tests.support.running import started
from tests.support.waiting import readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = requires("root")


class Manager:
    """A service manager: `env` is what its services start with."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0"))
        self.env = {**ENVIRONMENT, "NOTIFY_SOCKET": address}

    def hear(self) -> str:
        """The next datagram; a barrier is let go, by closing its descriptor."""
        readable(self.socket.fileno(), 20, "a notification")
        data, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
        for fd in fds:
            os.close(fd)
        return data.decode()

    def has_heard_all(self) -> bool:
        """Whether nothing more was said."""
        self.socket.setblocking(False)  # noqa: FBT003 - its only argument
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, orlop: Cli, tmp_path: Path) -> Iterator[Manager]:
    assert orlop.directory == tmp_path  # made first: the watch looks at descriptors
    address = tmp_path / "manager.sock" if request.param == "path" else f"@orlop-{os.getpid()}"
    made = Manager(str(address))
    yield made
    made.socket.close()


READY = ("notify", "STATUS=on its way", "STATUS=soon\nREADY=1", "--", "sleep")


def test_start_passes_on_that_it_is_ready_and_then_returns(
    container: Container, manager: Manager
) -> None:
    container.bundle.args(*READY)
    container.create(env=manager.env)
    running = container.cli.spawn("start", container.id, env=manager.env)
    assert manager.hear() == "READY=1\n"
    assert manager.hear() == f"MAINPID={container.pid}\n"
    assert running.process.poll() is None  # until the manager has let go of the barrier
    assert manager.hear() == "BARRIER=1"
    assert running.result().returncode == 0
    assert manager.has_heard_all()
    assert container.status == "running"


def test_a_detached_run_does_so_too(container: Container, manager: Manager) -> None:
    container.bundle.args(*READY).write()
    command = ("run", "--detach", "--bundle", container.bundle.path, container.id)
    running = container.cli.spawn(*command, env=manager.env)
    said = [manager.hear() for _ in range(3)]
    assert running.result().returncode == 0
    assert said == ["READY=1\n", f"MAINPID={container.pid}\n", "BARRIER=1"]


@pytest.mark.skipif(not is_orlop(), reason="runc forwards no signal before READY=1")
def test_in_the_foreground_the_runtime_is_the_main_process(
    container: Container, manager: Manager
) -> None:
    container.bundle.args(*READY).write()
    command = ("run", "--bundle", container.bundle.path, container.id)
    running = container.cli.spawn(*command, env=manager.env)
    assert manager.hear() == "READY=1\n"
    assert manager.hear() == f"MAINPID={running.process.pid}\n"
    running.process.terminate()
    assert running.result().returncode == 128 + 15


@pytest.mark.skipif(not is_orlop(), reason="runc waits for ever")
def test_a_program_that_ends_without_a_word_keeps_nobody_waiting(
    container: Container, manager: Manager
) -> None:
    container.bundle.args("true")
    assert container.run(env=manager.env).returncode == 0
    container.create(env=manager.env)
    container.start(env=manager.env)
    assert manager.has_heard_all()


def test_a_container_without_it_starts_as_ever(container: Container, manager: Manager) -> None:
    """Podman's start may have it in its environment, when create had not."""
    if is_orlop():
        container.bundle.args("env", "NOTIFY_SOCKET")
        container.create()
        container.start(env=manager.env)
        assert "NOTIFY_SOCKET" not in container.output()
    assert manager.has_heard_all()


def test_its_place_is_read_only(container: Container, manager: Manager) -> None:
    container.bundle.args("env", "NOTIFY_SOCKET", "--", "mounts")
    path, *mounts = container.run(env=manager.env).stdout.splitlines()
    assert path == "/run/notify/notify.sock"
    mount = probe.mounts("\n".join(mounts))["/run/notify"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(mount.options)


def test_an_exec_has_nothing_of_it(container: Container, manager: Manager) -> None:
    started(container)
    result = container.cli(
        *("exec", container.id, "/bin/probe", "env", "NOTIFY_SOCKET"),
        env=manager.env,
        check=False,
    )
    assert manager.env["NOTIFY_SOCKET"] not in result.stdout
    assert manager.has_heard_all()
