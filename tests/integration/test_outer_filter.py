# SPDX-License-Identifier: Apache-2.0
"""What docs/requirements.md says of kernels, and filters around us, that lack a system call."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import without
from tests.support.cli import ENVIRONMENT
from tests.support.features import requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.support.container import Container

pytestmark = [
    pytest.mark.root,
    requires("root"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64"),
]


def run_without(container: Container, *hidden: str) -> subprocess.CompletedProcess[str]:
    """Run the container under a filter that hides these calls ("NAME=ERRNO")."""
    container.bundle.write()
    command = container.cli.command("run", "--bundle", container.bundle.path, container.id)
    return subprocess.run(
        [sys.executable, str(Path(without.__file__)), *hidden, "--", *command],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit(30),
        check=False,
    )


def test_clone_serves_where_clone3_is_hidden(container: Container) -> None:
    container.bundle.args("pid")
    done = run_without(container, "clone3=ENOSYS")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "pid 1"


def test_a_read_only_mount_serves_where_memfds_are_hidden(container: Container) -> None:
    container.bundle.args("exit", "7")
    done = run_without(container, "memfd_create=ENOSYS")
    assert (done.returncode, done.stderr) == (7, "")


def test_no_keyring_is_no_failure(container: Container) -> None:
    container.bundle.args("exit", "7")
    done = run_without(container, "keyctl=ENOSYS")
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.parametrize(
    "name", ["openat2", "open_tree", "move_mount", "fsopen", "mount_setattr", "close_range"]
)
def test_what_cannot_be_done_without_is_named(container: Container, name: str) -> None:
    container.bundle.args("exit", "7")
    done = run_without(container, f"{name}=ENOSYS")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr
    assert "Function not implemented" in done.stderr


def test_a_refused_execveat_is_hinted_at(container: Container) -> None:
    container.bundle.args("exit", "7")
    done = run_without(container, "execveat=EACCES")
    assert done.returncode == 1
    assert "execveat: Permission denied" in done.stderr
    assert "vm.memfd_noexec" in done.stderr
