# SPDX-License-Identifier: Apache-2.0
"""Help and man pages: of every verb, from one table, readable as they are."""

from __future__ import annotations

import re
import subprocess

import pytest

from runtime import cli, manpage, manual, options, usage
from runtime.options import Flag
from runtime.surface import shown
from tests.support.features import requires

EVERY = {verb: cli.command(verb) for verb in cli.VERBS}
PAGES = manpage.pages(cli.program())


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_has_purpose_flags_examples_and_status(verb: str) -> None:
    text = usage.of_command(EVERY[verb])
    for part in ("flags:", "examples:", "exit status:"):
        assert f"\n\n{part}\n" in text
    assert EVERY[verb].paragraphs[0] in re.sub(r"\s+", " ", text)
    assert all(f"--{flag.name}" in text for flag in EVERY[verb].flags)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_an_example_is_a_command_line_that_is_understood(verb: str) -> None:
    for line, _ in manual.EXAMPLES[verb]:
        words = re.split(r" [<>|]| 2>", line)[0].split()
        assert words[0] == "orlop"
        _, rest = options.parse(cli.GLOBAL_FLAGS, words[1:])
        module = cli.load_command(rest[0])
        _, arguments = options.parse((*module.FLAGS, cli.HELP), rest[1:])
        least, most = module.ARGUMENTS
        assert least <= len(arguments)
        assert most is None or len(arguments) <= most


@pytest.mark.parametrize("verb", ["", *cli.VERBS])
def test_no_line_of_help_is_wider_than_a_terminal(verb: str) -> None:
    text = usage.of_command(EVERY[verb]) if verb else usage.of_program(cli.program())
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_hidden_flags_are_in_no_help() -> None:
    flags = (Flag("all", "obsolete", short="a", hidden=True), Flag("force", "now", short="f"))
    assert usage.describe(flags) == "  --force, -f               now"
    assert "--all" not in usage.of_command(EVERY["kill"])
    assert "\\-\\-all" not in PAGES["orlop-kill.1"]


def test_a_long_flag_has_a_line_of_its_own() -> None:
    flag = Flag("allow-annotation-of-all", "heed it", options.VALUE, metavar="PREFIX")
    assert usage.describe([flag]).splitlines() == [
        "  --allow-annotation-of-all PREFIX",
        f"{'':28}heed it",
    ]


def test_every_verb_has_a_page_that_the_first_one_names() -> None:
    assert set(PAGES) == {"orlop.1", *(f"orlop-{verb}.1" for verb in cli.VERBS)}
    for verb in cli.VERBS:
        assert f".BR orlop\\-{verb} (1)" in PAGES["orlop.1"]


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
    flags = shown(cli.GLOBAL_FLAGS) if page == "orlop.1" else EVERY[page[6:-2]].flags
    for flag in flags:
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
