# SPDX-License-Identifier: Apache-2.0
"""Flags, in the forms in which users and engines write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import options
from runtime.errors import UsageError
from runtime.options import Flag, Options, parse

FLAGS = (
    Flag("debug", "say more"),
    Flag("log", "where to", options.VALUE, short="l", metavar="FILE"),
    Flag("env", "add", options.LIST, short="e"),
    Flag("preserve-fds", "how many", options.COUNT),
    Flag("tty", "a terminal", short="t"),
    Flag("no-subreaper", "ignored", hidden=True),
)


def parsed(*words: str) -> tuple[Options, list[str]]:
    return parse(FLAGS, words)


@pytest.mark.parametrize(
    "words",
    [
        ["--log=/x"],
        ["--log", "/x"],
        ["-log", "/x"],
        ["-log=/x"],
        ["-l", "/x"],
        ["-l=/x"],
        ["--l", "/x"],
        ["--log=/y", "--log=/x"],
    ],
    ids=" ".join,
)
def test_a_value(words: list[str]) -> None:
    given_, rest = parsed(*words, "id")
    assert (given_.text("log"), rest) == ("/x", ["id"])


@pytest.mark.parametrize("word", ["--debug", "-debug", "--debug=true", "-debug=1", "--debug=T"])
def test_a_switch(word: str) -> None:
    given_, rest = parsed(word, "true")
    assert given_.flag("debug")
    assert rest == ["true"]


@pytest.mark.parametrize("word", ["--debug=false", "--debug=0", "-debug=F"])
def test_a_switch_that_is_off(word: str) -> None:
    assert not parsed("--debug", word)[0].flag("debug")


def test_a_restores_flag_with_a_single_dash_as_containerd_writes_it() -> None:
    assert parsed("-no-subreaper", "id")[0].flag("no-subreaper")


def test_a_list_keeps_its_order() -> None:
    given_, _ = parsed("-e", "A=b", "--env=C=d=e", "-e=", "--env", "--debug")
    assert given_.texts("env") == ["A=b", "C=d=e", "", "--debug"]


def test_a_value_may_look_like_a_flag() -> None:
    given_, rest = parsed("--log", "--debug", "id")
    assert (given_.text("log"), given_.flag("debug"), rest) == ("--debug", False, ["id"])


def test_an_empty_value_is_a_value() -> None:
    given_, _ = parsed("--log=")
    assert given_.given("log")
    assert given_.text("log", "default") == ""


def test_a_number() -> None:
    assert parsed("--preserve-fds=0007")[0].number("preserve-fds") == 7


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "0x1", "1 ", "x", "\u0661", "9" * 5000])
def test_a_number_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="--preserve-fds"):
        parsed(f"--preserve-fds={value}")


def test_what_was_not_given_is_empty() -> None:
    given_, rest = parsed()
    assert rest == []
    assert not given_.flag("debug")
    assert not given_.given("log")
    assert (given_.text("log"), given_.text("log", "d")) == ("", "d")
    assert (given_.texts("env"), given_.number("preserve-fds")) == ([], 0)


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        (["id", "--debug"], ["id", "--debug"]),
        (["-t", "id", "ls", "-t", "--", "-l"], ["id", "ls", "-t", "--", "-l"]),
        (["--", "--debug"], ["--debug"]),
        (["-", "--debug"], ["-", "--debug"]),
        (["", "--debug"], ["", "--debug"]),
        (["--debug", "--", "--", "x"], ["--", "x"]),
    ],
    ids=str,
)
def test_flags_end_at_the_first_word_that_is_none(words: list[str], rest: list[str]) -> None:
    given_, found = parsed(*words)
    assert found == rest
    assert not (given_.flag("debug") and words[0] != "--debug")


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        (["id", "--debug"], ["id"]),
        (["--debug", "id", "-l", "/x"], ["id"]),
        (["id", "-9", "--debug"], ["id", "-9"]),
        (["id", "--debug", "--", "--log"], ["id", "--log"]),
        (["--debug", "--", "id", "--log"], ["id", "--log"]),
    ],
    ids=str,
)
def test_flags_may_stand_anywhere_else(words: list[str], rest: list[str]) -> None:
    given_, found = parse(FLAGS, words, anywhere=True)
    assert found == rest
    assert given_.flag("debug")
    assert given_.text("log") == ("/x" if "/x" in words else "")


def test_an_unknown_flag_before_all_words_is_refused_there_too() -> None:
    with pytest.raises(UsageError, match="flag provided but not defined: -9"):
        parse(FLAGS, ["-9", "id"], anywhere=True)


@pytest.mark.parametrize("words", [["--log"], ["-l"], ["--debug", "-e"], ["--preserve-fds"]])
def test_a_missing_value_is_said_in_the_words_that_podman_looks_for(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^flag needs an argument: -"):
        parsed(*words)


@pytest.mark.parametrize("word", ["--nope", "-x", "--nope=1", "---nope", "--=x", "-5", "--Debug"])
def test_an_unknown_flag_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(word)
    name = word.partition("=")[0]
    assert str(caught.value) == f"flag provided but not defined: {name}"


@pytest.mark.parametrize("value", ["maybe", "", "yes", "2"])
def test_a_switch_with_another_value_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="true or false"):
        parsed(f"--debug={value}")


@given(st.lists(st.text()))
def test_what_stands_behind_the_first_word_is_never_touched(words: list[str]) -> None:
    assert parsed("--debug", "id", *words)[1] == ["id", *words]


@given(st.lists(st.one_of(st.text(), st.sampled_from(["--log", "-e", "--debug=", "--", "-l=x"]))))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        _, rest = parsed(*words)
    except UsageError:
        return
    assert rest == words[len(words) - len(rest) :]


def test_a_value_that_is_no_choice_is_refused() -> None:
    flag = Flag("format", "how", options.VALUE, choices=("table", "text", "json"))
    assert parse([flag], ["--format=json"])[0].text("format") == "json"
    assert not parse([flag], ["--format=json", "--format="])[0].given("format")
    with pytest.raises(UsageError, match=r"of --format: table, text or json$"):
        parse([flag], ["--format=xml"])
