# SPDX-License-Identifier: Apache-2.0
"""orlopctl run, exec and attach with pipes and terminals: input, sizes, keys, signals, statuses."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_terminal import OwnTerminal, guards_of, read_until
from tests.support.cli import ENVIRONMENT
from tests.support.waiting import ended, limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import orlop
    from tests.client.command import Orlopctl
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]
PROBE = "/bin/probe"


@pytest.fixture
def terminal() -> Iterator[OwnTerminal]:
    made = OwnTerminal()
    yield made
    made.close()


@pytest.fixture
def running(client: orlop.Client, bundle: Bundle) -> orlop.Client:
    """The container `a` sleeps."""
    bundle.args("sleep").write()
    client.run("a", bundle=str(bundle.path))
    return client


class At:
    """A command line at a terminal."""

    def __init__(self, terminal: OwnTerminal, orlopctl: Orlopctl, *words: str) -> None:
        self.terminal = terminal
        self.process = subprocess.Popen(
            orlopctl.command(*words),
            env=ENVIRONMENT,
            stdin=terminal.slave,
            stdout=terminal.slave,
            stderr=subprocess.PIPE,
        )

    def type(self, keys: bytes) -> None:
        os.write(self.terminal.master, keys)

    def until(self, text: str) -> str:
        return read_until(self.terminal.master, text)

    def end(self) -> int:
        """Wait for its end, and that nobody else has the terminal then."""
        status = self.process.wait(limit(30))
        for guard in guards_of(self.terminal):
            ended(guard)
        assert self.process.stderr is not None
        assert self.process.stderr.read() == b""
        self.process.stderr.close()
        return status


def test_the_foreground_is_the_program(orlopctl: Orlopctl, bundle: Bundle) -> None:
    bundle.args("echo", "--", "exit", "7").write()
    result = orlopctl("run", "--rm", "-i", "--name", "a", "-b", bundle.path, stdin="hello\n" * 9999)
    assert (result.returncode, result.stdout, result.stderr) == (7, "hello\n" * 9999, "")
    assert orlopctl.does("ps", "-aq") == ""


def test_exec_has_the_programs_status_and_streams(
    orlopctl: Orlopctl, running: orlop.Client
) -> None:
    result = orlopctl("exec", "a", PROBE, "nothing")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "probe: nothing: no such fact, or an argument is missing\n"
    assert orlopctl("exec", "a", "/no/such/program").returncode == 125
    assert "A=b" in orlopctl.does("exec", "-eA=b", "-w/bin", "a", PROBE, "env")
    exec_id = orlopctl.does("exec", "-d", "a", PROBE, "sleep").strip()
    running.kill("a", "KILL", exec=exec_id)
    assert running.wait("a", exec=exec_id)["exitStatus"] == 137


def test_a_signal_goes_to_the_program(orlopctl: Orlopctl, running: orlop.Client) -> None:
    with subprocess.Popen(
        orlopctl.command("exec", "a", PROBE, "trap", "SIGHUP", "SIGTERM", "--", "exit", "9"),
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"SIGTERM\n"
        assert process.wait(limit(30)) == 9
    assert running.state("a")["status"] == "running"


def test_a_terminal_in_raw_mode_with_our_size(
    terminal: OwnTerminal, orlopctl: Orlopctl, running: orlop.Client
) -> None:
    words = [PROBE, "tty", "--", "echo", "--", "trap", "SIGWINCH", "--", "tty"]
    at = At(terminal, orlopctl, "exec", "-it", "a", *words)
    assert "132x40" in at.until("controlling yes\n")
    assert terminal.is_raw()
    at.type(b"x\r")
    at.until("x\nx\n")  # what the container's terminal echoes, then what the program writes
    at.type(b"\x04")
    at.until("ready\n")
    terminal.resize(20, 50)
    at.process.send_signal(signal.SIGWINCH)
    assert "50x20" in at.until("controlling yes\n")
    assert at.end() == 0
    assert terminal.is_restored()
    assert running.state("a")["status"] == "running"


def test_keys_let_go_of_it_and_attach_joins_it_again(
    terminal: OwnTerminal, orlopctl: Orlopctl, client: orlop.Client, bundle: Bundle
) -> None:
    bundle.process["terminal"] = True
    bundle.args("tty", "--", "echo", "--", "exit", "4").write()
    at = At(terminal, orlopctl, "run", "-it", "--name", "a", "-b", str(bundle.path))
    at.until("controlling yes\n")
    at.type(b"one\x10x\r")  # the first of the keys alone is nothing special
    at.until("one^Px\n")
    at.type(b"\x10\x11")
    assert at.end() == 0
    assert terminal.is_restored()
    assert client.state("a")["status"] == "running"
    at = At(terminal, orlopctl, "attach", "--logs", "--detach-keys", "ctrl-a,d", "a")
    at.until("x\n")  # from now on it is in raw mode: what is typed before is the shell's
    at.type(b"two\r")
    at.until("two\ntwo\n")  # none of it is left to be taken for what `attach` shows
    at.type(b"\x01d")
    assert at.end() == 0
    at = At(terminal, orlopctl, "attach", "--logs", "a")
    at.until("two\n")
    at.type(b"three\r\x04")
    at.until("three\n")
    assert at.end() == 4
    assert terminal.is_restored()


def test_a_killed_orlopctl_leaves_the_terminal_as_it_was(
    terminal: OwnTerminal, orlopctl: Orlopctl, running: orlop.Client
) -> None:
    at = At(terminal, orlopctl, "exec", "-it", "a", PROBE, "tty", "--", "sleep")
    at.until("controlling yes\n")
    assert terminal.is_raw()
    guards = guards_of(terminal)
    assert guards
    at.process.kill()
    assert at.process.wait(limit(30)) == -signal.SIGKILL
    for guard in guards:
        ended(guard)
    assert terminal.is_restored()
    assert at.process.stderr is not None
    at.process.stderr.close()
    for exec_id in running.inspect("a")["execs"]:
        running.kill("a", "KILL", exec=exec_id)
