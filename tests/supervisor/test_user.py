# SPDX-License-Identifier: Apache-2.0
"""Without systemd, from a terminal, as a user without rights: in the user's runtime directory."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.command import PROGRAM as ORLOPCTL
from tests.integration.conftest import rootless
from tests.supervisor.conftest import PROGRAM, Client
from tests.support.cli import ENVIRONMENT
from tests.support.features import NOBODY, requires
from tests.support.waiting import limit, readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.container import Container

__all__ = ["rootless"]

pytestmark = [requires("root", "rootless"), pytest.mark.root, pytest.mark.slow]


class Terminal:
    """A user's orlopd on a terminal."""

    def __init__(self, runtime_directory: Path) -> None:
        self.fd, inner = pty.openpty()
        environment = {**ENVIRONMENT, "XDG_RUNTIME_DIR": str(runtime_directory), "HOME": "/"}
        self._user: Any = {"env": environment, "user": NOBODY, "group": NOBODY, "extra_groups": []}
        self.process = subprocess.Popen(
            [PROGRAM], stdin=inner, stdout=inner, stderr=inner, **self._user
        )
        os.close(inner)

    def line(self) -> str:
        """The next line that is shown."""
        data = b""
        while not data.endswith(b"\n"):
            readable(self.fd, 60, "orlopd to say something")
            data += os.read(self.fd, 1)
        return data.decode()

    def orlopctl(self, *words: str | Path) -> str:
        """What a command line of the same user prints; its orlopd is found without --root."""
        done = subprocess.run(
            [ORLOPCTL, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=limit(60),
            **self._user,
        )
        return str(done.stdout)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(limit(30))
        os.close(self.fd)


@pytest.fixture
def terminal(rootless: Container) -> Iterator[Terminal]:
    found = Terminal(rootless.bundle.path.parent)
    yield found
    found.close()


def test_a_user_has_an_orlopd_of_his_own(terminal: Terminal, rootless: Container) -> None:
    root = rootless.bundle.path.parent / "orlopd"
    said = terminal.line()
    assert " info orlopd serves " in said  # text, for it is a terminal
    assert f"root={root}" in said
    assert (root.stat().st_uid, root.stat().st_mode & 0o777) == (NOBODY, 0o700)
    client = Client(root / "orlopd.sock")
    rootless.bundle.args("id").write()
    os.chown(rootless.bundle.path / "config.json", NOBODY, NOBODY)
    client.call("container.run", id="a", bundle=str(rootless.bundle.path))
    assert client.call("container.wait", id="a")["exitStatus"] == 0
    logs = client.call("container.logs", id="a")
    assert "uid 0\n" in "".join(entry["log"] for entry in logs)
    client.call("container.delete", id="a")
    client.close()
    terminal.process.send_signal(signal.SIGINT)  # ^C
    assert terminal.process.wait(limit(30)) == 0
    assert not (root / "orlopd.sock").exists()


def test_a_user_has_the_whole_life_of_a_container(terminal: Terminal, rootless: Container) -> None:
    terminal.line()
    rootfs = rootless.bundle.rootfs
    orlopctl = terminal.orlopctl
    assert orlopctl("run", "-d", "--name", "a", rootfs, "/bin/probe", "id", "--", "sleep") == ""
    assert orlopctl("ps", "-q") == "a\n"
    assert "hostname\n" in orlopctl("exec", "-e", "A=hostname", "a", "/bin/probe", "env")
    assert orlopctl("exec", "-u", "0", "a", "/bin/probe", "cwd") == "/\n"
    assert orlopctl("logs", "-n", "1000", "a").startswith("uid 0\n")
    pid = json.loads(orlopctl("inspect", "a"))["pid"]
    assert os.stat(f"/proc/{pid}").st_uid == NOBODY
    orlopctl("kill", "a")
    assert orlopctl("wait", "a") == "137\n"
    orlopctl("start", "a")
    orlopctl("rm", "-f", "a")
    assert orlopctl("ps", "-aq") == ""
    assert orlopctl("run", "--rm", rootfs, "/bin/probe", "hostname").startswith("c")
    assert [*(rootless.bundle.path.parent / "orlopd" / "bundles").iterdir()] == []
