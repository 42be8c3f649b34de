# SPDX-License-Identifier: Apache-2.0
"""Completion, asked of the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime import cli
from runtime.completion import bash, fish, zsh
from tests.support.cli import ENVIRONMENT, program
from tests.support.features import requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.surface import Program
    from tests.support.container import Container

ORLOP = cli.program()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory to complete in: with `bin/orlop`, a file and two directories."""
    directory = tmp_path / "home"
    for name in ("bin", "bundle one", "empty"):
        (directory / name).mkdir(parents=True)
    (directory / "file.json").touch()
    (directory / "bin" / "orlop").symlink_to(program()[0])
    return directory


def environment(home: Path) -> dict[str, str]:
    return {"PATH": f"{home}/bin:{ENVIRONMENT['PATH']}", "HOME": str(home), "LC_ALL": "C.UTF-8"}


def shell(home: Path, command: list[str]) -> list[str]:
    """Run a shell to its end; the lines that it wrote."""
    result = subprocess.run(
        command,
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
        timeout=limit(60),
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


class Bash:
    """What bash(1) offers for a line, word by word as readline would split it."""

    def __init__(self, home: Path, program: Program = ORLOP) -> None:
        self.home = home
        self.name = program.name
        (home / "completion.bash").write_text(bash.script(program))

    def __call__(self, *words: str) -> set[str]:
        line = " ".join(shlex.quote(word) for word in (self.name, *words))
        script = (
            f"source completion.bash; COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
            f'_{self.name}; printf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        command = ["bash", "--norc", "-u", "-c", script]
        return set(shell(self.home, command)) - {"", "completion.bash"}


class Fish:
    """What fish(1) offers for a line."""

    def __init__(self, home: Path, program: Program = ORLOP) -> None:
        self.home = home
        self.name = program.name
        (home / "completion.fish").write_text(fish.script(program))

    def __call__(self, *words: str) -> set[str]:
        line = shlex.quote(" ".join((self.name, *words)))
        command = ["fish", "--no-config", "-c", f"source completion.fish; complete -C {line}"]
        lines = shell(self.home, command)
        return {line.partition("\t")[0].rstrip("/") for line in lines} - {"completion.fish"}


@pytest.fixture(
    params=[
        pytest.param(Bash, marks=requires("bash"), id="bash"),
        pytest.param(Fish, marks=requires("fish"), id="fish"),
    ]
)
def complete(request: pytest.FixtureRequest, home: Path) -> Bash | Fish:
    """A shell that completes lines."""
    completer: Bash | Fish = request.param(home)
    return completer


def test_commands(complete: Bash | Fish) -> None:
    assert complete("") >= set(cli.VERBS)
    assert complete("--debug", "pa") == {"pause"}
    assert complete("--root", "empty", "res") == {
        verb for verb in cli.VERBS if verb.startswith("res")
    }


def test_flags(complete: Bash | Fish) -> None:
    assert complete("--") == {f"--{flag.name}" for flag in ORLOP.flags}
    for command in ORLOP.commands:
        assert complete(command.verb, "--") == {f"--{flag.name}" for flag in command.flags}
    assert complete("kill", "--a") == set()


def test_no_flags_behind_the_first_argument(complete: Bash | Fish) -> None:
    assert complete("exec", "c", "--e") == set()


def test_values(complete: Bash | Fish) -> None:
    assert complete("--log-format", "") == {"text", "json"}
    assert complete("list", "--format", "j") == {"json"}
    assert complete("list", "-f", "") == {"table", "json"}
    assert complete("create", "--pid-file", "fi") == {"file.json"}
    directories = complete("create", "--bundle", "")
    assert {"bin", "empty"} <= directories
    assert "file.json" not in directories
    assert complete("create", "--pid-file", "x", "--no-pivot", "--no-new") == {"--no-new-keyring"}


def test_signals(complete: Bash | Fish) -> None:
    assert complete("kill", "c", "HU") == {"HUP"}


def test_a_new_containers_id_is_not_offered(complete: Bash | Fish) -> None:
    assert complete("create", "") == set()


@requires("root")
def test_containers_of_the_lines_root(complete: Bash | Fish, container: Container) -> None:
    container.create()
    for verb in ("state", "kill", "exec", "delete"):
        assert complete("--root", str(container.cli.root), verb, "") == {container.id}
        assert complete("--root", str(container.cli.root), verb, "nothing-like-it") == set()
    assert complete("--root", str(container.cli.root), "state", container.id, "") == set()


@requires("bash")
def test_bash_has_a_value_behind_an_equals_sign_as_a_word_of_its_own(home: Path) -> None:
    complete = Bash(home)
    assert complete("list", "--format", "=", "j") == {"json"}
    assert complete("list", "--format", "=") == {"table", "json"}
    assert complete("--log-format", "=", "json", "pau") == {"pause"}


@requires("zsh")
@requires("root")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("orlop featu", "orlop features "),
        ("orlop --log-format js", "orlop --log-format json "),
        ("orlop --log-format=js", "orlop --log-format=json "),
        ("orlop list --qui", "orlop list --quiet "),
        ("orlop list --format ta", "orlop list --format table "),
        ("orlop create --bundle emp", "orlop create --bundle empty/"),
        ("orlop create --pid-file fi", "orlop create --pid-file file.json "),
        ("orlop kill c HU", "orlop kill c HUP "),
        ("orlop --root ROOT state ", "orlop --root ROOT state ID "),
        ("orlop --root=ROOT exec --tty ", "orlop --root=ROOT exec --tty ID "),
    ],
)
def test_zsh(home: Path, container: Container, typed: str, completed: str) -> None:
    container.create()
    (home / "_orlop").write_text(zsh.script(ORLOP))
    root = str(container.cli.root)
    typed, completed = (
        text.replace("ROOT", root).replace("ID", container.id) for text in (typed, completed)
    )
    assert zsh_line(home, typed) == completed


def zsh_line(home: Path, typed: str) -> str:
    """The line editor's line after a tabulator behind `typed`.

    zsh completes in its line editor only; the editor runs on a terminal, and a key that we bind
    writes the line to a file.
    """
    (home / ".zshrc").write_text(
        "fpath=($HOME $fpath); autoload -U compinit; compinit -u -D; setopt no_beep\n"
        "written() { print -rn -- $BUFFER >$HOME/line; exit }; zle -N written\n"
        "bindkey '^X' written; PS1=ready; unsetopt prompt_cr prompt_sp\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home)
        env = {**environment(home), "ZDOTDIR": str(home), "TERM": "dumb"}
        os.execvpe("zsh", ["zsh", "-d", "-i"], env)  # noqa: S606 - no shell around a shell
    try:
        read_until(terminal, b"ready")
        os.write(terminal, typed.encode() + b"\t\x18")
        read_until(terminal, b"")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    return (home / "line").read_text()


def read_until(terminal: int, mark: bytes) -> None:
    """Read the terminal until it has shown `mark`; b"": until its end."""
    seen = b""
    while not mark or mark not in seen:
        ready, _, _ = select.select([terminal], [], [], limit(30))
        assert ready, seen
        try:
            data = os.read(terminal, 4096)
        except OSError:  # EIO: the last descriptor of its other side is closed
            data = b""
        seen += data
        if not data:
            assert not mark, seen
            return
