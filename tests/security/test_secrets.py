# SPDX-License-Identifier: Apache-2.0
"""What the runtime says and keeps has no value of a variable; who else may look, or knock."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import is_orlop
from tests.support.features import NOBODY, requires
from tests.support.running import started
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.skipif(not is_orlop(), reason="for this runtime"),
]
SECRET = "hunter2-of-nobody"  # noqa: S105 - it is nobody's


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"args": ["/missing"]},
        {"cwd": "/missing/proc/1"},
        {"user": {"uid": -5, "gid": 0}},
        {"rlimits": [{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]},
        {"env": [f"TOKEN={SECRET}", 5]},
        {"env": f"TOKEN={SECRET}"},
        {"env": [f"={SECRET}"]},
        {"env": {"TOKEN": SECRET}},
    ],
    ids=lambda edit: "-".join(edit) or "sound",
)
def test_no_value_of_a_variable_is_said(
    container: Container, tmp_path: Path, edit: dict[str, object]
) -> None:
    """In messages, logs, plans, state and whatever is made on the way, --debug included."""
    container.bundle.process["env"] = ["PATH=/bin", f"TOKEN={SECRET}"]
    container.bundle.process.update(edit)
    container.bundle.write()
    log = tmp_path / "debug.json"
    words = ("--bundle", container.bundle.path, container.id)
    said = [
        container.cli("--debug", "--log", log, "--log-format", "json", "run", *words, check=False),
        container.cli("--debug", "create", *words, check=False),
        container.cli("plan", container.bundle.path, check=False),
        container.cli("plan", "--format", "json", container.bundle.path, check=False),
        container.cli("state", container.id, check=False),
        container.cli("start", container.id, check=False),
    ]
    files = [f for f in container.cli.root.rglob("*") if f.is_file()]
    texts = [text for result in said for text in (result.stdout, result.stderr)]
    texts += [f.read_text() for f in [log, *files]]
    assert "TOKEN" in "".join(texts) or edit
    assert [text for text in texts if SECRET in text] == []


def test_no_value_of_a_variable_of_exec_is_said(container: Container, tmp_path: Path) -> None:
    started(container)
    log = tmp_path / "debug.json"
    flags = ("--debug", "--log", log, "exec", "--env", f"TOKEN={SECRET}", container.id)
    for program in ("/bin/probe", "/missing"):
        result = container.cli(*flags, program, "true", check=False)
        assert SECRET not in result.stderr + result.stdout + log.read_text()


def test_an_init_has_no_environment(container: Container) -> None:
    container.bundle.process["env"] = [f"TOKEN={SECRET}"]
    container.create(env={"PATH": "/usr/bin:/bin", "OF_THE_CALLER": SECRET})
    assert Path(f"/proc/{container.pid}/environ").read_bytes() == b""


def test_what_is_kept_is_for_its_owner_alone(container: Container) -> None:
    """CVE-2021-41103, with an umask that forbids nothing; the socket is behind the directory."""
    before = os.umask(0)
    try:
        container.create()
    finally:
        os.umask(before)
    root = container.cli.root
    for directory in (root, root / container.id):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / container.id / "state.json").stat().st_mode) == 0o600


def test_nothing_listens_where_a_container_could_reach_it(container: Container) -> None:
    """CVE-2020-15257: no abstract socket, which the host's network namespace shows to all."""
    container.bundle.drop_namespace("network")
    container.create()
    links = [os.readlink(f) for f in Path(f"/proc/{container.pid}/fd").iterdir()]
    mine = {link[8:-1] for link in links if link.startswith("socket:[")}
    table = Path("/proc/net/unix").read_text().splitlines()[1:]
    names = [line.split()[7:] for line in table if line.split()[6] in mine]
    assert len(names) == 1
    assert names[0][0].endswith("/start.sock")


def test_another_user_starts_nothing(container: Container) -> None:
    """Even one who got at the socket, through a directory that somebody opened to all."""
    container.bundle.args("hostname")
    container.create()
    directory = container.cli.root / container.id
    opened = os.open(directory, os.O_PATH)
    name = f"/proc/self/fd/{opened}/start.sock"
    (directory / "start.sock").chmod(0o777)
    directory.chmod(0o755)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(limit(20))
    os.seteuid(NOBODY)
    try:
        connection.connect(name)
    finally:
        os.seteuid(0)
        os.close(opened)
        directory.chmod(0o700)
    with connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.send(b"g")
        assert connection.recv(1) == b""
    assert container.status == "created"
    container.start()
    assert container.output() == "orlop\n"


@requires("rootless")
def test_root_starts_the_container_of_a_user(orlop: Cli, rootless: Container) -> None:
    rootless.bundle.args("hostname")
    rootless.create()
    orlop.root = rootless.cli.root
    orlop("start", rootless.id)
    assert rootless.output() == "orlop\n"
