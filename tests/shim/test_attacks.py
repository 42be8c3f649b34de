# SPDX-License-Identifier: Apache-2.0
"""What has hit other shims: sockets that containers reach, output and calls without bound."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shim.ttrpc import RpcError
from tests.shim.conftest import NAMESPACE, PROGRAM
from tests.shim.test_life import run
from tests.support.cli import ENVIRONMENT
from tests.support.features import NOBODY, requires
from tests.support.footprint import anonymous, descriptors
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from tests.shim.conftest import Fifo, Shim
    from tests.support.bundle import Bundle

pytestmark = requires("root")
MEBIBYTE = 1 << 20
#: Connects, asks for what any master may ask, and prints what it got.
STRANGER = """
import socket, struct, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.settimeout(20)
try:
    client.sendall(struct.pack(">IIBB", 0, 1, 1, 0))
    print(client.recv(100))
except ConnectionError:
    print(b"")
"""


def end(shim: Shim) -> None:
    client = shim.connect()
    client.call("Kill", id=shim.id, signal=9)
    client.call("Wait", id=shim.id)
    shim.finish(client)


def test_the_socket_is_a_path_of_its_owners(shim: Shim, bundle: Bundle) -> None:
    """CVE-2020-15257: an abstract one is reached from any container with the host's network."""
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    path = Path(shim.address.removeprefix("unix://"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    links = {os.readlink(fd) for fd in Path(f"/proc/{shim.pid}/fd").iterdir()}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    abstract = [line for line in lines if len(line) > 7 and line[7].startswith("@")]
    assert not [line for line in abstract if f"socket:[{line[6]}]" in links]
    end(shim)


@requires("rootless")
def test_a_stranger_gets_no_answer(shim: Shim, bundle: Bundle) -> None:
    """Nor where the file system lets it connect: the kernel says who it is (SO_PEERCRED)."""
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    path = Path(shim.address.removeprefix("unix://"))
    for entry in (path.parent, path):
        entry.chmod(0o777)
    asked = subprocess.run(
        [sys.executable, "-IS", "-c", STRANGER, str(path)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        check=True,
        timeout=limit(30),
    )
    assert asked.stdout == b"b''\n"
    assert client.call("State", id=shim.id)["id"] == shim.id
    path.parent.chmod(0o700)
    end(shim)


def keep_apart(tmp_path: Path) -> Path:
    """A directory of the host with files that have the names of a shim's."""
    host = tmp_path / "host"
    host.mkdir()
    for name in ("init.json", "init.pid", "shim.json", "address"):
        (host / name).write_text("the host's\n")
    return host


def contents(directory: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() for entry in directory.iterdir()}


def test_a_bundle_that_its_container_writes_to_leads_nowhere(
    shim: Shim, bundle: Bundle, tmp_path: Path
) -> None:
    """On a volume, say: links in place of what the shim keeps, from before it keeps an exit."""
    host = keep_apart(tmp_path)
    before = contents(host)
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    (bundle.path / "exits").symlink_to(host)
    for name in ("init.pid", "shim.json", "address"):
        (bundle.path / name).unlink()
        for link in (name, f"{name}.new"):
            (bundle.path / link).symlink_to(host / name)
    client.call("Kill", id=shim.id, signal=9)
    assert client.call("Wait", id=shim.id)["exit_status"] == 137
    with pytest.raises(RpcError):  # the exits can't be cleared, and that is said
        client.call("Delete", id=shim.id)
    (bundle.path / "exits").unlink()
    shim.finish(client)
    assert contents(host) == before


@pytest.mark.parametrize("what", ["text", "fifo", "link"])
def test_an_address_that_the_container_wrote_removes_nothing(
    shim: Shim, bundle: Bundle, tmp_path: Path, what: str
) -> None:
    """After a killed shim: what is there may name a file of the host's, or hold a reader up."""
    host = keep_apart(tmp_path)
    before = contents(host)
    bundle.args("sleep")
    shim.create(shim.start())
    os.kill(shim.pid, 9)
    ended(shim.pid)
    address = bundle.path / "address"
    address.unlink()
    if what == "text":
        address.write_text(f"unix://{host / 'init.pid'}")
    elif what == "fifo":
        os.mkfifo(address)
    else:
        (tmp_path / "named").write_text(f"unix://{host / 'init.pid'}")
        address.symlink_to(tmp_path / "named")
    shim.run("delete")
    assert contents(host) == before
    Path(shim.address.removeprefix("unix://")).unlink()


@pytest.mark.parametrize("how", ["another's", "written by all"])
def test_a_directory_of_sockets_that_others_can_change_is_refused(
    shim: Shim, bundle: Bundle, how: str
) -> None:
    """In /tmp: who could bind the name first would be taken for the shim."""
    bundle.write()
    (bundle.path / "log").touch()
    directory = Path(shim.socket_directory)
    directory.mkdir(mode=0o700)
    if how == "another's":
        os.chown(directory, NOBODY, -1)
    else:
        directory.chmod(0o1777)
    refused = subprocess.run(
        [PROGRAM, "-namespace", NAMESPACE, "-socket-dir", directory, "-id", shim.id, "start"],
        cwd=bundle.path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(30),
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "others may write to it" in refused.stderr
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("what", ["link", "file"])
@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_stdio_that_is_no_fifo_is_refused(
    shim: Shim, bundle: Bundle, tmp_path: Path, stream: str, what: str
) -> None:
    """A link, where a container can write to the directory, leads to a file or FIFO of others."""
    bundle.args("true")
    fifo, path = shim.fifo("others"), tmp_path / "stdio"
    if what == "link":
        path.symlink_to(fifo.path)
    else:
        path.write_text("kept")
    client = shim.start()
    with pytest.raises(RpcError, match="stdio: not a fifo"):
        shim.create(client, **{stream: str(path)})
    client.call("Shutdown", id=shim.id)
    assert what == "link" or path.read_text() == "kept"


def test_a_log_that_is_a_link_is_refused(shim: Shim, bundle: Bundle, tmp_path: Path) -> None:
    bundle.args("true")
    victim, log = tmp_path / "victim", tmp_path / "log"
    log.symlink_to(victim)
    client = shim.start()
    with pytest.raises(RpcError, match="log: Too many levels of symbolic links"):
        shim.create(client, stdout=f"cri://{log}")
    client.call("Shutdown", id=shim.id)
    assert not victim.exists()


def take(fifo: Fifo, size: int) -> None:
    """Read as much."""
    while size > 0:
        size -= len(fifo.read_until(b""))
        try:
            size -= len(os.read(fifo.fd, MEBIBYTE))
        except BlockingIOError:
            continue


def test_output_is_not_kept(shim: Shim, bundle: Bundle) -> None:
    """CVE-2022-1708, CVE-2022-31030: what a program writes is passed on, read or not."""
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    out = shim.fifo("out")
    before = anonymous(shim.pid)
    run(client, shim, "flood", "/bin/probe", "cat", "/dev/zero", stdout=out.path)
    take(out, 64 * MEBIBYTE)
    for _ in range(100):  # nobody reads now, and the shim answers
        client.call("State", id=shim.id)
    assert (anonymous(shim.pid) - before) * 1024 < 4 * MEBIBYTE
    client.call("Kill", id=shim.id, exec_id="flood", signal=9)
    out.read_all()
    client.call("Wait", id=shim.id, exec_id="flood")
    client.call("Delete", id=shim.id, exec_id="flood")
    end(shim)


def test_failed_execs_with_a_terminal_leave_nothing(shim: Shim, bundle: Bundle) -> None:
    """CVE-2022-23471, CVE-2025-64329."""
    bundle.args("sleep")
    client = shim.start()
    shim.create(client)
    client.call("Start", id=shim.id)
    stdin, out = shim.fifo("in"), shim.fifo("out")
    counts = []
    for number in range(40):
        with pytest.raises(RpcError):
            run(
                client,
                shim,
                f"e{number}",
                "/none",
                terminal=True,
                stdin=stdin.path,
                stdout=out.path,
            )
        client.call("Delete", id=shim.id, exec_id=f"e{number}")
        counts.append((descriptors(shim.pid), len(os.listdir(f"/proc/{shim.pid}/task"))))
    assert {threads for _, threads in counts} == {1}
    fds = [count for count, _ in counts]
    assert max(fds[-5:]) <= max(fds[:5]) + 1  # a worker may be about to end
    end(shim)
