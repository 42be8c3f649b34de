# SPDX-License-Identifier: Apache-2.0
"""Help and man pages: of every verb, from one table, readable as they are."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from orlopctl import cli as orlopctl
from orlopctl import words
from runtime import cli, manpage, options, usage
from runtime.options import Flag
from tests.support.features import requires

if TYPE_CHECKING:
    from runtime.surface import Command, Program

PROGRAMS = {program.name: program for program in (cli.program(), orlopctl.program())}
COMMANDS = [
    pytest.param(command, id=f"{command.program}-{command.verb}")
    for program in PROGRAMS.values()
    for command in program.commands
]
PAGES = {
    page: text for program in PROGRAMS.values() for page, text in manpage.pages(program).items()
}


def orlop_takes(line: list[str]) -> tuple[int, tuple[int, int | None]]:
    """How many arguments a command line of orlop has, and how many it may have."""
    _, rest = options.parse(cli.GLOBAL_FLAGS, line)
    module = cli.load_command(rest[0])
    _, arguments = options.parse((*module.FLAGS, cli.HELP), rest[1:])
    return len(arguments), module.ARGUMENTS


def orlopctl_takes(line: list[str]) -> tuple[int, tuple[int, int | None]]:
    """The same of orlopctl."""
    _, rest = options.parse(orlopctl.GLOBAL_FLAGS, line)
    verb = orlopctl.load(rest[0])
    _, arguments = words.parse(verb.flags, rest[1:], anywhere=not verb.runs_a_program)
    return len(arguments), verb.takes


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_purpose_flags_examples_and_status(command: Command) -> None:
    text = usage.of_command(command)
    for part in ("flags:", "examples:", "exit status:"):
        assert f"\n\n{part}\n" in text
    assert command.paragraphs[0] in re.sub(r"\s+", " ", text)
    assert all(f"--{flag.name}" in text for flag in command.flags)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_is_a_command_line_that_is_understood(command: Command) -> None:
    takes = {"orlop": orlop_takes, "orlopctl": orlopctl_takes}[command.program]
    for line, _ in command.examples:
        parts = [part.split() for part in re.split(r" [<>|]| 2>", line)]
        (example,) = [part for part in parts if part[:1] == [command.program]][:1]
        count, (least, most) = takes(example[1:])
        assert least <= count
        assert most is None or count <= most


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(usage.of_program(program), id=name) for name, program in PROGRAMS.items()),
        *(pytest.param(usage.of_command(c.values[0]), id=c.id) for c in COMMANDS),  # type: ignore[arg-type]
    ],
)
def test_no_line_of_help_is_wider_than_a_terminal(text: str) -> None:
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_hidden_flags_are_in_no_help() -> None:
    flags = (Flag("all", "obsolete", short="a", hidden=True), Flag("force", "now", short="f"))
    assert usage.describe(flags) == "  --force, -f               now"
    assert "--all" not in usage.of_command(cli.command("kill"))
    assert "\\-\\-all" not in PAGES["orlop-kill.1"]


def test_a_long_flag_has_a_line_of_its_own() -> None:
    flag = Flag("allow-annotation-of-all", "heed it", options.VALUE, metavar="PREFIX")
    assert usage.describe([flag]).splitlines() == [
        "  --allow-annotation-of-all PREFIX",
        f"{'':28}heed it",
    ]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_verb_has_a_page_that_the_first_one_names(program: Program) -> None:
    assert set(manpage.pages(program)) == {
        f"{program.name}.1",
        *(f"{program.name}-{command.verb}.1" for command in program.commands),
    }
    for command in program.commands:
        assert f".BR {program.name}\\-{command.verb} (1)" in PAGES[f"{program.name}.1"]


def flags_of(page: str) -> list[Flag]:
    """Those that a page is about."""
    name, _, verb = page.removesuffix(".1").partition("-")
    if not verb:
        return PROGRAMS[name].flags
    (command,) = [c for c in PROGRAMS[name].commands if c.verb == verb]
    return command.flags


@requires("groff")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_set_without_a_warning(page: str) -> None:
    text = PAGES[page]
    result = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-cbou"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    shown_text = re.sub(r"[\s\u2010]+", "", result.stdout)
    for flag in flags_of(page):
        assert re.sub(r"[\s]+", "", f"{usage.name(flag)}{flag.help}") in shown_text


@requires("groff")
@pytest.mark.parametrize("text", [".so /etc/passwd", "'br", "\\fBx", "a\\-b", "`~^'\"", "-x --y"])
def test_text_is_shown_by_roff_as_it_is(text: str) -> None:
    result = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-cbou"],
        input=f".TH X 1\n{manpage.escape(text)}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    assert text in result.stdout
