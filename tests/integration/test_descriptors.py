# SPDX-License-Identifier: Apache-2.0
"""What of the host a container's process could reach through descriptors: what it was given."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import ENVIRONMENT, is_orlop
from tests.support.features import requires
from tests.support.running import started
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.support.container import Container


pytestmark = requires("root")

beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise")


def with_fd_3(
    command: list[str], path: Path, variables: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command with `path` open as descriptor 3; `variables` in the shell's words."""
    return subprocess.run(
        ["sh", "-c", f'{variables} exec "$@" 3<"$0"', path, *command],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=limit(30),
        check=False,
    )


def spawn_with_fd_3(
    container: Container, path: Path, *options: str, listen: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the container's `run` with `path` open as descriptor 3."""
    container.bundle.write()
    arguments = ("run", "--bundle", str(container.bundle.path), *options, container.id)
    variables = "LISTEN_FDS=1 LISTEN_PID=$$" if listen else ""
    return with_fd_3(container.cli.command(*arguments), path, variables)


def run_with_fd_3(container: Container, path: Path, *options: str, listen: bool = False) -> str:
    """The program's output of such a run, which must succeed."""
    done = spawn_with_fd_3(container, path, *options, listen=listen)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def inherited(tmp_path: Path) -> Path:
    path = tmp_path / "inherited"
    path.write_text("through descriptor 3\n")
    return path


def numbers(text: str) -> list[int]:
    """The descriptors that `probe fds` printed."""
    return [int(line.partition(" ")[0]) for line in text.splitlines()]


def test_preserved_descriptors_are_the_programs(container: Container, inherited: Path) -> None:
    container.bundle.args("cat", "/proc/self/fd/3")
    answer = run_with_fd_3(container, inherited, "--preserve-fds", "1")
    assert answer == "through descriptor 3\n"


def test_other_descriptors_are_not(container: Container, inherited: Path) -> None:
    container.bundle.args("fds")
    assert numbers(run_with_fd_3(container, inherited)) == [0, 1, 2]


def test_sockets_of_the_caller_are_passed_on(container: Container, inherited: Path) -> None:
    """sd_listen_fds(3): the program is told how many, and that they are for pid 1."""
    container.bundle.args("fds", "--", "env", "LISTEN_FDS", "--", "env", "LISTEN_PID")
    *fds, count, pid = run_with_fd_3(container, inherited, listen=True).splitlines()
    assert numbers("\n".join(fds)) == [0, 1, 2, 3]
    assert (count, pid) == ("1", "1")


def test_an_exec_does_not_have_them(container: Container, inherited: Path) -> None:
    """As with runc: a socket that was opened for the container's program is its alone."""
    started(container)
    command = ("exec", container.id, "/bin/probe", "fds", "--", "env", "LISTEN_FDS")
    done = with_fd_3(container.cli.command(*command), inherited, "LISTEN_FDS=1 LISTEN_PID=$$")
    assert numbers(done.stdout) == [0, 1, 2], done.stderr
    assert done.returncode == 1  # the probe finds no such variable


def test_a_preserved_directory_is_no_working_directory(
    container: Container, tmp_path: Path
) -> None:
    """CVE-2024-21626."""
    container.bundle.process["cwd"] = "/proc/self/fd/3"
    container.bundle.args("ls", ".")
    done = spawn_with_fd_3(container, tmp_path, "--preserve-fds", "1")
    assert done.returncode == 1
    assert done.stdout == ""


def test_a_preserved_directory_is_no_working_directory_of_exec(
    container: Container, tmp_path: Path
) -> None:
    """getcwd(2) tells that it is outside."""
    started(container)
    options = ("--preserve-fds", "1", "--cwd", "/proc/self/fd/3")
    command = container.cli.command("exec", *options, container.id, "/bin/probe", "ls", ".")
    done = with_fd_3(command, tmp_path)
    assert done.returncode == 255
    assert "outside" in done.stderr


@beyond_runc
def test_a_descriptor_to_preserve_must_be_open(container: Container) -> None:
    result = container.run("--preserve-fds", "2", check=False)
    assert result.returncode == 1
    assert "unable to stat preserved-fd" in result.stderr


def test_exec_preserves_descriptors(container: Container, inherited: Path) -> None:
    started(container)
    program = ("/bin/probe", "cat", "/proc/self/fd/3")
    command = container.cli.command("exec", "--preserve-fds", "1", container.id, *program)
    assert with_fd_3(command, inherited).stdout == "through descriptor 3\n"


def test_the_program_has_its_three_streams_alone(container: Container) -> None:
    container.bundle.args("fds", "--", "sleep")
    container.run_detached()
    lines = [container.read_line() for _ in range(4)]
    assert numbers("\n".join(lines[:3])) == [0, 1, 2]
    assert lines[3] == "ready"


def test_a_program_of_exec_has_its_three_streams_alone(container: Container) -> None:
    started(container)
    assert numbers(container.exec("fds").stdout) == [0, 1, 2]


@beyond_runc
def test_a_created_container_holds_no_file_of_the_host(container: Container) -> None:
    """CVE-2016-9962: beside its streams only the socket where it waits for `start`."""
    container.create()
    directory = Path(f"/proc/{container.pid}/fd")
    links = {int(entry.name): os.readlink(entry) for entry in directory.iterdir()}
    others = [target.partition(":")[0] for fd, target in links.items() if fd > 2]
    assert others == ["socket"]


@beyond_runc
def test_a_created_container_maps_no_file_of_the_host(container: Container) -> None:
    container.create()
    maps = Path(f"/proc/{container.pid}/maps").read_text().splitlines()
    files = {line.split(None, 5)[5] for line in maps if len(line.split(None, 5)) > 5}
    assert {name for name in files if not name.startswith(("[", "/memfd:"))} == set()


def test_a_created_container_has_nothing_but_its_root(container: Container) -> None:
    container.create()
    root, cwd = (os.stat(f"/proc/{container.pid}/{link}") for link in ("root", "cwd"))
    rootfs = container.bundle.rootfs.stat()
    assert (root.st_dev, root.st_ino) == (rootfs.st_dev, rootfs.st_ino)
    assert (cwd.st_dev, cwd.st_ino) == (rootfs.st_dev, rootfs.st_ino)


@beyond_runc
def test_the_waiting_init_can_not_be_looked_into(container: Container) -> None:
    """CVE-2016-9962: as ptrace(2), /proc/1/exe is for no other process of the container."""
    container.create()
    result = container.exec("readlink", "/proc/1/exe", check=False)
    assert "Permission denied" in result.stderr


def digests() -> list[str]:
    """Of the files that a container must never be able to write (CVE-2019-5736)."""
    files = [Path(sys.executable), probe.ROOT / "native" / "orlop-init"]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


@beyond_runc
def test_the_waiting_init_is_a_sealed_copy(container: Container) -> None:
    container.create()
    executable = os.open(f"/proc/{container.pid}/exe", os.O_RDONLY)
    try:
        seals = fcntl.fcntl(executable, fcntl.F_GET_SEALS)
    finally:
        os.close(executable)
    wanted = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    assert seals & wanted == wanted


def test_the_waiting_init_can_not_be_written(container: Container) -> None:
    container.create()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - either, by the kind of copy
        os.close(os.open(f"/proc/{container.pid}/exe", os.O_WRONLY))
    assert caught.value.errno in (errno.ETXTBSY, errno.EPERM, errno.EROFS)


@beyond_runc
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_program_that_is_the_runtime_itself_does_no_harm(container: Container, verb: str) -> None:
    before = digests()
    if verb == "run":
        container.bundle.process["args"] = ["/proc/self/exe", "true"]
        result = container.run(check=False)
    else:
        started(container)
        result = container.cli("exec", container.id, "/proc/self/exe", "true", check=False)
    assert result.returncode != 0
    assert result.stdout == ""
    assert digests() == before
