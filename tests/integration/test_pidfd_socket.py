# SPDX-License-Identifier: Apache-2.0
"""--pidfd-socket: the caller gets a pidfd of the process, which is nobody else's for good."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies
from tests.support.cli import is_orlop
from tests.support.descriptor_socket import DescriptorSocket
from tests.support.features import requires
from tests.support.running import started
from tests.support.waiting import ended, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.skipif(not is_orlop(), reason="runc 1.1 has no --pidfd-socket"),
]


@pytest.fixture
def receiver(orlop: Cli) -> Iterator[DescriptorSocket]:
    made = DescriptorSocket(orlop.directory / "pidfd.sock")
    yield made
    made.close()


def pid_of(pidfd: int) -> int:
    """The pid, as proc_pid_fdinfo(5) has it."""
    text = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    return int(text.partition("Pid:")[2].split()[0])


def test_create_sends_the_inits(container: Container, receiver: DescriptorSocket) -> None:
    container.bundle.args("sleep")
    container.create("--pidfd-socket", str(receiver.path))
    pidfd = receiver.accept()
    assert receiver.payload == b"standard"
    assert len(receiver.fds) == 1
    assert pid_of(pidfd) == container.pid
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    readable(pidfd, 20, "the init's end")
    assert container.status == "stopped"


def test_run_in_the_foreground_sends_it_before_the_end(
    container: Container, receiver: DescriptorSocket
) -> None:
    container.bundle.args("sleep").write()
    command = ("run", "--bundle", container.bundle.path, f"--pidfd-socket={receiver.path}")
    reader, writer = os.pipe()
    running = container.cli.spawn(*command, container.id, stdout=writer)
    os.close(writer)
    pidfd = receiver.accept()
    assert receiver.payload == b"standard"
    readable(reader, 20, "the program to run")
    os.close(reader)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert running.result().returncode == 128 + signal.SIGKILL


def test_exec_sends_the_processes(container: Container, receiver: DescriptorSocket) -> None:
    started(container)
    options = ("--detach", "--pidfd-socket", receiver.path)
    container.cli("exec", *options, container.id, "/bin/probe", "sleep")
    pidfd = receiver.accept()
    assert receiver.payload == b"setns"
    assert pid_of(pidfd) != container.pid
    assert pid_of(pidfd) in hierarchies.processes(container.bundle.cgroup)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    readable(pidfd, 20, "the process's end")
    assert container.status == "running"


def test_nobody_who_listens_is_an_error(container: Container) -> None:
    result = container.create("--pidfd-socket", str(container.cli.directory / "x"), check=False)
    assert result.returncode == 1
    assert "pidfd socket" in result.stderr
    assert not container.cli.root.exists() or not list(container.cli.root.iterdir())


def test_an_exec_whose_pid_file_can_not_be_written_is_ended(container: Container) -> None:
    """Whoever asked would not know of it."""
    started(container)
    before = hierarchies.processes(container.bundle.cgroup)
    options = ("--detach", "--pid-file", "/nowhere/pid")
    command = ("exec", *options, container.id, "/bin/probe", "sleep")
    result = container.cli(*command, check=False)
    assert result.returncode == 255
    assert "/nowhere/pid" in result.stderr
    for pid in set(hierarchies.processes(container.bundle.cgroup)) - set(before):
        ended(pid)
    assert hierarchies.processes(container.bundle.cgroup) == before
