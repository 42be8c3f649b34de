# SPDX-License-Identifier: Apache-2.0
"""The init's pid, used again by a stranger after the init has ended: no verb touches the stranger.

A process is known by its pid, its start time and the boot; clone3(2) makes one with a chosen pid.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
from typing import TYPE_CHECKING

import prctl
import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.container import Container

pytestmark = requires("root")

CLONE3 = 435


class Arguments(ctypes.Structure):
    """struct clone_args (clone3(2))."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size"),
            *("tls", "set_tid", "set_tid_size", "cgroup"),
        )
    )


def fork_as(pid: int) -> int:
    """Fork, with this pid. Raises OSError: EEXIST where it is somebody's."""
    wanted = ctypes.c_int(pid)
    arguments = Arguments(
        exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1
    )
    call = ctypes.CDLL(None, use_errno=True).syscall
    made = call(CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if made < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    return int(made)


def stranger_with(pid: int) -> int:
    """A process that has this pid, and waits; its pid. Skips where the number is lost."""
    reader, writer = os.pipe()
    try:
        made = fork_as(pid)
    except OSError as error:
        os.close(reader)
        os.close(writer)
        if error.errno != errno.EEXIST:
            raise
        pytest.skip(f"another process of this machine's took pid {pid} first")
    if made == 0:
        os.close(writer)
        os.read(reader, 1)  # until the test ends
        os._exit(0)
    os.close(reader)
    STRANGERS[made] = writer
    return made


#: pid -> the pipe whose end ends it
STRANGERS: dict[int, int] = {}


@pytest.fixture
def stranger(container: Container) -> Iterator[Callable[[], int]]:
    """Let the container's init end, and a stranger have its pid."""

    def make() -> int:
        container.bundle.args("sleep").write()
        prctl.set_child_subreaper(1)  # the init is ours to reap: its pid is free only then
        try:
            container.cli("create", "--bundle", container.bundle.path, container.id)
        finally:
            prctl.set_child_subreaper(0)
        pid = container.pid
        container.kill("KILL")
        os.waitpid(pid, 0)
        return stranger_with(pid)

    yield make
    for pid, writer in STRANGERS.items():
        os.close(writer)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    STRANGERS.clear()


def is_alive(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG) == (0, 0)


def test_the_container_is_stopped(container: Container, stranger: Callable[[], int]) -> None:
    stranger()
    assert container.state()["pid"] == 0
    assert container.status == "stopped"


@pytest.mark.parametrize("verb", ["kill", "kill --all", "exec", "pause", "start"])
def test_the_stranger_is_not_meant(
    container: Container, stranger: Callable[[], int], verb: str
) -> None:
    pid = stranger()
    more = {"kill": ["KILL"], "kill --all": ["KILL"], "exec": ["/bin/probe", "ns"]}.get(verb, [])
    result = container.cli(*verb.split(), container.id, *more, check=False)
    assert (result.returncode == 0) == (verb == "kill --all")
    assert is_alive(pid)


@pytest.mark.parametrize("option", [[], ["--force"]], ids=["plain", "force"])
def test_delete_spares_it(
    container: Container, stranger: Callable[[], int], option: list[str]
) -> None:
    pid = stranger()
    container.delete(*option)
    assert is_alive(pid)
