# SPDX-License-Identifier: Apache-2.0
"""SIGKILL before every single thing that a verb does: what is left has a name, and can be removed.

Killing between two calls that change nothing is killing after the change before them: so the calls
that have an effect outside the process are all the points there are.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import waiting
from tests.support.cli import ENVIRONMENT, is_orlop
from tests.support.features import requires
from tests.support.killer import KILLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli import Cli
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.skipif(not is_orlop(), reason="looks into this runtime's calls"),
]

LAUNCHER = Path(sys.executable).with_name("orlop-cold")
#: Fewer would mean that the calls are not seen any more.
LEAST = {"create": 30, "start": 5, "exec": 10, "delete": 10}


def is_killed(orlop: Cli, point: int, *argv: str) -> bool:
    """Run `orlop argv...`, killed before effect `point`; False: it has fewer, and ended well."""
    out = orlop.directory / "killed.out"
    with out.open("wb") as file:  # a pipe's end would come only with the container's
        status = subprocess.run(
            [*KILLED, str(point), "any", "", str(LAUNCHER), "--root", str(orlop.root), *argv],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
            timeout=waiting.limit(30),
        ).returncode
    assert status in (0, -signal.SIGKILL), out.read_text()
    return status != 0


def points(orlop: Cli, *argv: str) -> Iterator[int]:
    """Run `orlop argv...` killed at one effect after the other, until it comes to its end."""
    for point in itertools.count(1):
        if not is_killed(orlop, point, *argv):
            assert point > LEAST[argv[0]]
            return
        yield point


def named(container: Container) -> str:
    """The status that `state` and `list` agree on; "" where there is no such container."""
    result = container.cli("state", container.id, check=False)
    root = container.cli.root
    text = container.cli("list", "--format", "json").stdout if root.exists() else "null"
    listed = {each["id"]: each["status"] for each in json.loads(text) or []}
    if result.returncode:
        assert result.stderr.endswith("container does not exist\n")
        assert listed == {}
        return ""
    status = str(json.loads(result.stdout)["status"])
    assert listed == {container.id: status}
    return status


def removed(container: Container, watch: Watch, point: int) -> None:
    """`delete --force` leaves nothing, and a second one is content."""
    container.delete("--force")
    assert watch.settled() == [], f"killed before effect {point}"


@pytest.mark.slow
def test_create(container: Container, watch: Watch) -> None:
    container.bundle.args("sleep").write()
    create = ("create", "--bundle", str(container.bundle.path), container.id)
    for point in points(container.cli, *create):
        assert named(container) in ("", "stopped", "created"), f"killed before effect {point}"
        removed(container, watch, point)


def has_run(container: Container) -> bool:
    """Wait for the program's word on the fifo of its root file system. Raises TimeoutError."""
    reader = os.open(container.bundle.rootfs / "said", os.O_RDONLY | os.O_NONBLOCK)
    try:
        waiting.readable(reader, 20, "the program's word")
        return os.read(reader, 16) == b"it runs"
    finally:
        os.close(reader)


@pytest.mark.slow
def test_start(container: Container, watch: Watch) -> None:
    """A program either waits for another start, or runs: none is lost between the two."""
    os.mkfifo(container.bundle.rootfs / "said")
    container.bundle.args("write", "/said", "it runs", "--", "sleep").write()
    create = ("create", "--bundle", str(container.bundle.path), container.id)
    container.cli(*create)
    for point in points(container.cli, "start", container.id):
        status = named(container)
        assert status in ("created", "running"), f"killed before effect {point}"
        if status == "created":  # as if nothing had happened, or as if all had
            again = container.start(check=False)
            assert again.stderr in ("", "orlop: cannot start an already running container\n")
        assert has_run(container), f"killed before effect {point}"
        assert named(container) == "running"
        removed(container, watch, point)
        container.cli(*create)


@pytest.mark.slow
def test_exec(container: Container, watch: Watch) -> None:
    container.bundle.args("sleep").write()
    container.cli("run", "--detach", "--bundle", container.bundle.path, container.id)
    command = ("exec", container.id, "/bin/probe", "true")
    point = 0
    for point in points(container.cli, *command):
        assert named(container) == "running", f"killed before effect {point}"
    assert container.exec("true").returncode == 0
    removed(container, watch, point)


@pytest.mark.slow
def test_delete(container: Container, watch: Watch) -> None:
    container.bundle.args("sleep").write()
    create = ("create", "--bundle", str(container.bundle.path), container.id)
    container.cli(*create)
    for point in points(container.cli, "delete", "--force", container.id):
        assert named(container) in ("", "stopped", "created"), f"killed before effect {point}"
        removed(container, watch, point)
        container.cli(*create)


@pytest.mark.slow
def test_run(container: Container, watch: Watch) -> None:
    """In the foreground: create, start, wait and delete in one."""
    container.bundle.args("true").write()
    command = ("run", "--bundle", str(container.bundle.path), container.id)
    for point in itertools.count(1, 3):  # its parts are tested above; this is how they meet
        if not is_killed(container.cli, point, *command):
            break
        named(container)
        removed(container, watch, point)
