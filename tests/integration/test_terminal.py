# SPDX-License-Identifier: Apache-2.0
"""Terminals, and the foreground: who has the terminal, who gets the signals, what the status is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import is_orlop
from tests.support.descriptor_socket import DescriptorSocket
from tests.support.features import requires
from tests.support.running import started
from tests.support.waiting import ended, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli, Running
    from tests.support.container import Container

beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise, or races")
pytestmark = requires("root")


def read_until(fd: int, wanted: str) -> str:
    """What a terminal shows up to and with `wanted`, lines ended as text has them."""
    text = b""
    while wanted.encode() not in text.replace(b"\r\n", b"\n"):
        readable(fd, 20, f"{wanted!r} after {text!r}")
        text += os.read(fd, 65536)
    return text.decode().replace("\r\n", "\n")


def read_to_end(fd: int) -> str:
    """What a terminal shows until its last slave is closed, which a master reads as EIO."""
    text = b""
    with contextlib.suppress(OSError):
        while True:
            readable(fd, 20, f"the end of {text!r}")
            data = os.read(fd, 65536)
            if not data:
                break
            text += data
    return text.decode().replace("\r\n", "\n")


@pytest.fixture
def console(orlop: Cli) -> Iterator[DescriptorSocket]:
    made = DescriptorSocket(orlop.directory / "console.sock")
    yield made
    made.close()


class OwnTerminal:
    """A terminal of the test's, for a runtime in the foreground."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(40, 132)
        self.before = termios.tcgetattr(self.slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def run(self, container: Container, *options: str) -> Running:
        container.bundle.process["terminal"] = True
        container.bundle.write()
        command = ("run", "--bundle", str(container.bundle.path), *options, container.id)
        return container.cli.spawn(*command, stdin=self.slave, stdout=self.slave)

    def is_raw(self) -> bool:
        now = termios.tcgetattr(self.slave)
        cooked = termios.ECHO | termios.ICANON | termios.ISIG
        return not now[3] & cooked and not now[1] & termios.OPOST

    def is_restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def drop_slave(self) -> None:
        """Let the runtime be the last that has the slave."""
        os.close(self.slave)
        self.slave = -1

    def close(self) -> None:
        os.close(self.master)
        if self.slave >= 0:
            os.close(self.slave)


def guards_of(terminal: OwnTerminal) -> list[int]:
    """Processes beside the runtime and the test that have the terminal for their stdin, and lead.

    They watch over it in sessions of their own. By inode: a container's own /dev/pts/0 may have
    the name of ours.
    """
    slave = os.fstat(terminal.slave)
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stdin = os.stat(f"/proc/{name}/fd/0")
            if os.path.samestat(stdin, slave) and os.getsid(int(name)) == int(name):
                found.append(int(name))
    return found


@pytest.fixture
def terminal(orlop: Cli) -> Iterator[OwnTerminal]:
    assert orlop.directory.is_dir()
    made = OwnTerminal()
    yield made
    made.close()


# A console socket


def with_terminal(bundle: Bundle, *argv: str) -> Bundle:
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 33, "width": 111}
    return bundle.args(*argv)


def test_the_console_socket_gets_one_master_and_its_name(
    container: Container, console: DescriptorSocket
) -> None:
    with_terminal(container.bundle, "true")
    container.create("--console-socket", str(console.path))
    master = console.accept()
    assert os.isatty(master)
    assert len(console.fds) == 1
    assert console.payload == b"/dev/ptmx"


def test_the_program_has_the_terminal_for_its_own(
    container: Container, console: DescriptorSocket
) -> None:
    with_terminal(container.bundle, "tty", "--", "sleep")
    container.create("--console-socket", str(console.path))
    master = console.accept()
    container.start()
    shown = read_until(master, "ready\n").splitlines()
    assert shown[:3] == [f"{fd} /dev/pts/0 111x33" for fd in range(3)]
    assert shown[3] == "controlling yes"


def test_dev_console_is_the_terminal(container: Container, console: DescriptorSocket) -> None:
    with_terminal(container.bundle, "stat", "/dev/console", "/dev/pts/0", "--", "sleep")
    container.run_detached("--console-socket", str(console.path))
    lines = read_until(console.accept(), "ready\n").splitlines()
    kinds = [line.split()[1] for line in lines[:2]]
    numbers = [line.split()[4] for line in lines[:2]]
    assert kinds == ["char", "char"]
    assert numbers[0] == numbers[1] == "136:0"


def test_the_terminal_is_the_users(container: Container, console: DescriptorSocket) -> None:
    container.bundle.process["user"] = {"uid": 1000, "gid": 1000}
    with_terminal(container.bundle, "stat", "/dev/pts/0", "--", "access", "/dev/pts/0")
    container.run_detached("--console-socket", str(console.path))
    owner, access = read_to_end(console.accept()).splitlines()
    assert owner.split()[3].split(":")[0] == "1000"
    assert access == "/dev/pts/0 rw-"


def test_what_is_typed_is_the_programs(container: Container, console: DescriptorSocket) -> None:
    with_terminal(container.bundle, "echo")
    container.run_detached("--console-socket", str(console.path))
    master = console.accept()
    os.write(master, b"typed\n\x04")
    assert read_to_end(master) == "typed\ntyped\n"


def test_a_terminal_of_a_user_namespace_works(
    container: Container, console: DescriptorSocket
) -> None:
    bundle = with_terminal(container.bundle, "tty", "--", "sleep")
    mapping = {"containerID": 0, "hostID": 0, "size": 1000}
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=[mapping], gidMappings=[mapping])
    container.run_detached("--console-socket", str(console.path))
    assert "controlling yes\n" in read_until(console.accept(), "ready\n")


@pytest.mark.parametrize("verb", [("create",), ("run", "--detach")])
def test_a_terminal_needs_a_console_socket(container: Container, verb: tuple[str, ...]) -> None:
    with_terminal(container.bundle, "true").write()
    bundle = container.bundle.path
    result = container.cli(*verb, "--bundle", bundle, container.id, check=False)
    assert result.returncode == 1
    assert "console" in result.stderr


def test_a_console_socket_needs_a_terminal(container: Container, console: DescriptorSocket) -> None:
    result = container.create("--console-socket", str(console.path), check=False)
    assert result.returncode == 1


# exec


@beyond_runc
def test_exec_with_a_terminal_in_the_foreground(
    container: Container, terminal: OwnTerminal
) -> None:
    started(container)
    command = ("exec", "-t", container.id, "/bin/probe", "tty", "--", "exit", "9")
    running = container.cli.spawn(*command, stdin=terminal.slave, stdout=terminal.slave)
    shown = read_until(terminal.master, "controlling").splitlines()
    assert shown[:3] == [f"{fd} /dev/pts/0 132x40" for fd in range(3)]
    assert running.result().returncode == 9
    assert terminal.is_restored()


@beyond_runc
def test_exec_without_t_has_none(container: Container, terminal: OwnTerminal) -> None:
    started(container)
    command = ("exec", container.id, "/bin/probe", "fds")
    running = container.cli.spawn(*command, stdin=terminal.slave)
    assert running.result().returncode == 0
    assert "/dev/pts" in running.stdout.read_text().splitlines()[0]


def test_a_detached_exec_hands_its_terminal_to_the_socket(
    container: Container, console: DescriptorSocket
) -> None:
    started(container)
    options = ("-t", "-d", "--console-socket", console.path)
    container.cli("exec", *options, container.id, "/bin/probe", "tty")
    shown = read_to_end(console.accept())
    assert "0 /dev/pts/0 " in shown
    assert "controlling yes" in shown


# In the foreground, with a terminal of our own


@beyond_runc
def test_the_callers_terminal_is_raw_and_then_as_it_was(
    container: Container, terminal: OwnTerminal
) -> None:
    container.bundle.args("sleep")
    running = terminal.run(container)
    read_until(terminal.master, "ready\n")
    assert terminal.is_raw()
    container.kill("TERM")
    assert running.result().returncode == 128 + signal.SIGTERM
    assert terminal.is_restored()


@beyond_runc
@pytest.mark.parametrize("how", ["TERM", "HUP", "KILL"])
def test_the_terminal_is_as_it_was_whatever_ends_the_runtime(
    container: Container, terminal: OwnTerminal, how: str
) -> None:
    """A container's init that handles no signal gets none of them; the runtime is then killed."""
    container.bundle.args("sleep")
    running = terminal.run(container)
    read_until(terminal.master, "ready\n")
    running.process.send_signal(getattr(signal, f"SIG{how}"))
    if how == "HUP":  # not the program's end: its init ignores it
        container.kill("KILL")
    running.result()
    for guard in guards_of(terminal):
        ended(guard)
    assert terminal.is_restored()


@beyond_runc
def test_whoever_changed_the_terminal_since_is_in_charge(
    container: Container, terminal: OwnTerminal
) -> None:
    container.bundle.args("sleep")
    running = terminal.run(container)
    read_until(terminal.master, "ready\n")
    (guard,) = guards_of(terminal)
    changed = termios.tcgetattr(terminal.slave)
    changed[3] |= termios.ECHO
    termios.tcsetattr(terminal.slave, termios.TCSANOW, changed)
    running.process.kill()
    running.result()
    ended(guard)
    assert termios.tcgetattr(terminal.slave) == changed


def test_a_failing_start_restores_the_terminal(container: Container, terminal: OwnTerminal) -> None:
    container.bundle.process["args"] = ["/not/there"]
    assert terminal.run(container).result().returncode == 1
    assert terminal.is_restored()


@beyond_runc
def test_the_size_is_the_callers(container: Container, terminal: OwnTerminal) -> None:
    container.bundle.args("tty")
    running = terminal.run(container)
    assert read_until(terminal.master, "controlling").startswith("0 /dev/pts/0 132x40\n")
    assert running.result().returncode == 0


@beyond_runc
def test_a_new_size_reaches_the_program(container: Container, terminal: OwnTerminal) -> None:
    container.bundle.args("trap", "WINCH", "--", "tty")
    running = terminal.run(container)
    read_until(terminal.master, "ready\n")
    terminal.resize(50, 77)
    running.process.send_signal(signal.SIGWINCH)
    shown = read_until(terminal.master, "controlling")
    assert "SIGWINCH\n0 /dev/pts/0 77x50\n" in shown
    assert running.result().returncode == 0


def test_typing_reaches_the_program(container: Container, terminal: OwnTerminal) -> None:
    container.bundle.args("cwd", "--", "echo")
    running = terminal.run(container)
    read_until(terminal.master, "/\n")  # it runs, so that the caller's terminal is raw
    os.write(terminal.master, b"typed\n\x04")
    read_until(terminal.master, "typed\ntyped\n")
    assert running.result().returncode == 0


def test_an_interrupt_that_is_typed_goes_to_the_program(
    container: Container, terminal: OwnTerminal
) -> None:
    container.bundle.args("trap", "INT")
    running = terminal.run(container)
    read_until(terminal.master, "ready\n")
    os.write(terminal.master, b"\x03")
    read_until(terminal.master, "SIGINT\n")
    assert running.result().returncode == 0


def test_all_output_arrives_before_the_end(container: Container, terminal: OwnTerminal) -> None:
    lines = [f"line {n}" for n in range(20000)]
    (container.bundle.rootfs / "work" / "long").write_text("\n".join([*lines, ""]))
    container.bundle.args("cat", "/work/long")
    running = terminal.run(container)
    terminal.drop_slave()
    assert read_to_end(terminal.master).splitlines() == lines
    assert running.result().returncode == 0


# In the foreground, without a terminal


class Pipe:
    """Where a program in the foreground writes."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def close(self) -> None:
        for fd in (self.reader, self.writer):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def pipe(orlop: Cli) -> Iterator[Pipe]:
    assert orlop.directory.is_dir()
    made = Pipe()
    yield made
    made.close()


def run_in_foreground(container: Container, pipe: Pipe, *argv: str) -> Running:
    """Run the program up to its "ready"."""
    container.bundle.args(*argv).write()
    command = ("run", "--bundle", container.bundle.path, container.id)
    running = container.cli.spawn(*command, stdout=pipe.writer)
    assert read_until(pipe.reader, "ready\n") == "ready\n"
    return running


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "CONT"])
def test_signals_are_forwarded(container: Container, pipe: Pipe, name: str) -> None:
    running = run_in_foreground(container, pipe, "trap", name)
    running.process.send_signal(getattr(signal, f"SIG{name}"))
    read_until(pipe.reader, f"SIG{name}\n")
    assert running.result().returncode == 0


@beyond_runc
def test_sigwinch_is_an_ordinary_signal_without_a_terminal(
    container: Container, pipe: Pipe
) -> None:
    running = run_in_foreground(container, pipe, "trap", "WINCH")
    running.process.send_signal(signal.SIGWINCH)
    read_until(pipe.reader, "SIGWINCH\n")
    assert running.result().returncode == 0


def test_signals_are_forwarded_to_an_exec(container: Container, pipe: Pipe) -> None:
    started(container)
    command = ("exec", container.id, "/bin/probe", "trap", "USR1")
    running = container.cli.spawn(*command, stdout=pipe.writer)
    read_until(pipe.reader, "ready\n")
    running.process.send_signal(signal.SIGUSR1)
    read_until(pipe.reader, "SIGUSR1\n")
    assert running.result().returncode == 0


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_status_is_the_programs(container: Container, status: int) -> None:
    container.bundle.args("exit", str(status))
    assert container.run(check=False).returncode == status


def test_a_killed_program_gives_128_and_the_signal(container: Container, pipe: Pipe) -> None:
    running = run_in_foreground(container, pipe, "sleep")
    container.kill("KILL")
    assert running.result().returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize("name", ["TERM", "SEGV", "KILL"])
def test_an_exec_that_a_signal_ends_gives_128_and_the_signal(
    container: Container, name: str
) -> None:
    started(container)
    number = getattr(signal, f"SIG{name}")
    assert container.exec("killself", name, check=False).returncode == 128 + number


def test_a_container_in_the_foreground_is_gone_afterwards(container: Container) -> None:
    container.run()
    result = container.cli("state", container.id, check=False)
    assert result.returncode == 1
    assert "does not exist" in result.stderr


def test_input_reaches_the_program(container: Container) -> None:
    container.bundle.args("echo")
    assert container.run(input="piped\n").stdout == "piped\n"


def test_detached_returns_while_the_program_runs(container: Container) -> None:
    container.bundle.args("trap", "USR1")
    assert container.run_detached().returncode == 0
    assert container.read_line() == "ready"
    assert container.status == "running"
    container.kill("USR1")
    container.wait()
    assert container.output() == "SIGUSR1\n"
    assert container.status == "stopped"
