# SPDX-License-Identifier: Apache-2.0
"""A shim whose installation is gone, as after an upgrade that replaces files in place.

`make install` never does that, a distribution's package does. What drives it is another version:
this checkout's programs.
"""

from __future__ import annotations

import json
import marshal
import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from shim.messages import DELETED
from tests.integration.test_install import script
from tests.shim import conftest
from tests.shim.conftest import NAMESPACE
from tests.support.cli import ENVIRONMENT, Cli
from tests.support.features import requires
from tests.support.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.ttrpc import Client

pytestmark = [requires("root", "cc"), pytest.mark.slow]
PROGRAM = "containerd-shim-orlop-v1"
PAUSED = 4


def process(*, terminal: bool = False) -> dict[str, object]:
    """What Exec takes: a program that says ahoy."""
    wanted = {"args": ["/bin/probe", "args", "ahoy"], "cwd": "/", "terminal": terminal}
    return {"type_url": "process", "value": json.dumps(wanted).encode()}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one."""
    prefix = tmp_path_factory.mktemp("older") / "prefix"
    result = script("install", PREFIX=str(prefix))
    assert result.returncode == 0, result.stderr
    return (prefix / "bin" / PROGRAM).resolve().parents[1]


@pytest.fixture
def upgrade(installation: Path) -> Iterator[Callable[[], None]]:
    """Have the installation gone, until the end of the test."""
    aside = installation.with_name("aside")

    def go() -> None:
        os.rename(installation, aside)

    yield go
    shutil.rmtree(installation, ignore_errors=True)
    os.rename(aside, installation)


def executed(shim: Shim, program: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A shim as containerd starts it."""
    with monkeypatch.context() as patch:
        patch.setattr(conftest, "PROGRAM", program)
        return shim.start()


def forked(shim: Shim, program: Path, _: pytest.MonkeyPatch) -> Client:
    """A shim as orlopd starts it, from a template."""
    (shim.bundle.path / "log").touch()
    os.mkdir(shim.socket_directory)
    path = f"{shim.socket_directory}/shim"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.socket(socket.AF_UNIX) as listener:
        template = os.posix_spawn(
            program,
            [str(program), "-template", "." * 200],
            {**ENVIRONMENT, "TTRPC_ADDRESS": ""},
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
        )
        theirs.close()
        listener.bind(path)
        listener.listen()
        request = marshal.dumps((NAMESPACE, path, shim.events.address))
        socket.send_fds(ours, [request], [listener.fileno()])
        shim.address = f"unix://{path}"
        client = shim.connect()
    os.waitpid(template, 0)
    return client


@pytest.mark.parametrize("begin", [executed, forked])
def test_it_goes_on_with_the_modules_that_it_has(
    shim: Shim,
    bundle: Bundle,
    installation: Path,
    upgrade: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    begin: Callable[[Shim, Path, pytest.MonkeyPatch], Client],
) -> None:
    bundle.args("sleep").write()
    client = begin(shim, installation / "bin" / PROGRAM, monkeypatch)
    pid = shim.create(client)["pid"]
    upgrade()
    name = shim.id
    client.call("Start", id=name)
    for terminal in (False, True):
        out, spec = shim.fifo(f"out{terminal}"), process(terminal=terminal)
        client.call("Exec", id=name, exec_id="e", spec=spec, stdout=out.path, terminal=terminal)
        client.call("Start", id=name, exec_id="e")
        client.call("Wait", id=name, exec_id="e")
        client.call("Delete", id=name, exec_id="e")
        assert b"ahoy" in out.read_all()
    log = {"stdout": f"json://{tmp_path}/log"}
    client.call("Exec", id=name, exec_id="l", spec=process(), **log)
    client.call("Start", id=name, exec_id="l")
    client.call("Wait", id=name, exec_id="l")
    client.call("Delete", id=name, exec_id="l")
    client.call("Pause", id=name)
    assert client.call("State", id=name)["status"] == PAUSED
    client.call("Resume", id=name)
    resources = {"type_url": "x/LinuxResources", "value": b'{"pids": {"limit": 77}}'}
    client.call("Update", id=name, resources=resources)
    assert client.call("Stats", id=name)["stats"]["value"]
    assert [each["pid"] for each in client.call("Pids", id=name)["processes"]] == [pid]
    newer = Cli(tmp_path)
    newer.root = shim.root / NAMESPACE
    assert json.loads(newer("state", name).stdout)["pid"] == pid
    client.call("Kill", id=name, signal=9)
    assert client.call("Wait", id=name)["exit_status"] == 128 + 9
    shim.finish(client)
    assert "orlop" not in shim.log


def test_the_newer_delete_removes_what_a_killed_one_left(
    shim: Shim,
    bundle: Bundle,
    installation: Path,
    upgrade: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle.args("sleep").write()
    client = executed(shim, installation / "bin" / PROGRAM, monkeypatch)
    init = shim.create(client)["pid"]
    client.call("Start", id=shim.id)
    upgrade()
    os.kill(shim.pid, 9)
    ended(shim.pid)
    answer = DELETED.decode(shim.run("delete").stdout)
    assert (answer["pid"], answer["exit_status"]) == (init, 128 + 9)
    ended(init)
