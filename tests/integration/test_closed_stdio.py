# SPDX-License-Identifier: Apache-2.0
"""A caller that closed 0, 1 or 2: no file of the host's takes their place in a container."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import ENVIRONMENT
from tests.support.features import requires
from tests.support.running import started
from tests.support.waiting import limit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.container import Container

pytestmark = requires("root")

CLOSED = pytest.mark.parametrize("closed", ["0", "1", "2", "01", "02", "12", "012"])


def run_with_closed(container: Container, closed: str, *argv: str | Path) -> int:
    """Run the runtime without some of its standard descriptors; its exit status."""
    redirections = " ".join(f"{fd}>&-" for fd in closed)
    script = f'exec "$@" {redirections}'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *container.cli.command(*argv)],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=limit(30),
    )
    return done.returncode


def stdio_of(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{name}") for name in sorted(os.listdir(f"/proc/{pid}/fd"))]


@CLOSED
def test_a_container_has_the_null_device_instead(container: Container, closed: str) -> None:
    container.bundle.args("sleep").write()
    command = ("run", "--detach", "--bundle", container.bundle.path, container.id)
    assert run_with_closed(container, closed, *command) == 0
    assert stdio_of(container.pid) == ["/dev/null"] * 3


@CLOSED
def test_so_has_an_exec(container: Container, tmp_path: Path, closed: str) -> None:
    started(container)
    file = tmp_path / "pid"
    command = ("exec", "--detach", "--pid-file", file, container.id, "/bin/probe", "sleep")
    assert run_with_closed(container, closed, *command) == 0
    assert stdio_of(int(file.read_text())) == ["/dev/null"] * 3


@CLOSED
def test_reports_and_errors_are_written_nowhere(container: Container, closed: str) -> None:
    started(container)
    for verb in ("state", "kill", "list"):
        argv = [] if verb == "list" else [container.id]
        argv += ["0"] if verb == "kill" else []
        assert run_with_closed(container, closed, verb, *argv) == 0
    assert run_with_closed(container, closed, "state", "nobody") == 1
