# SPDX-License-Identifier: Apache-2.0
"""Errors say where and what in one line, and survive the way between processes."""

from __future__ import annotations

import pickle

import pytest

from spec.describe import described, pointer_step, shown
from spec.errors import InvalidSpec, OrlopError, Violation


def test_an_error_with_and_without_pointer() -> None:
    assert str(OrlopError("no such device")) == "no such device"
    error = OrlopError("no such device", pointer="/linux/devices/0", hint="load its module")
    assert str(error) == "/linux/devices/0: no such device"
    assert (error.message, error.hint) == ("no such device", "load its module")


def test_an_error_is_one_line_that_can_be_written() -> None:
    path = b"/srv/\xff".decode("utf-8", "surrogateescape")
    error = OrlopError(f"{path}\n\x1b[31m: no such file", pointer="/linux/sysctl/a\nb")
    assert str(error) == "/linux/sysctl/a\\nb: /srv/\\udcff\\n\\x1b[31m: no such file"
    assert str(OrlopError("/srv/für-…")) == "/srv/für-…"


def test_violations_are_joined_on_one_line() -> None:
    violations = [
        Violation("/a", "5 (number)", "a string", line=41),
        Violation("", "null", "an object"),
    ]
    error = InvalidSpec(violations=violations)
    assert isinstance(error, ValueError)
    assert str(error) == (
        "/a: found 5 (number), expected a string (config.json line 41); "
        "config.json: found null, expected an object"
    )
    assert error.violations == violations


def test_a_message_of_its_own_wins() -> None:
    assert str(InvalidSpec("line 1 column 1: why")) == "line 1 column 1: why"


@pytest.mark.parametrize(
    "error",
    [
        OrlopError("why", pointer="/a", hint="do"),
        InvalidSpec(violations=[Violation("/a", "1", "2", line=3, file="p.json")]),
    ],
)
def test_errors_can_be_pickled(error: OrlopError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert (copy.pointer, copy.hint) == (error.pointer, error.hint)
    assert copy.args == error.args


@pytest.mark.parametrize(
    ("value", "pointer", "text"),
    [
        (None, "/a", "null"),
        (True, "/a", "true (boolean)"),
        (1.5, "/a", "1.5 (number)"),
        ("a\nb", "/a", '"a\\nb" (string)'),
        ([], "/a", "an empty array"),
        ([1, 2], "/a", "an array of 2"),
        ({"a": 1}, "/a", "an object"),
        ("hunter2", "/process/env/0", "a string"),
        ("hunter2", "/process/env", "a string"),
        (5, "/hooks/prestart/0/env/1", "a number"),
        (True, "/env/0", "a boolean"),
        ("x", "/environment", '"x" (string)'),
    ],
)
def test_values_are_described(value: object, pointer: str, text: str) -> None:
    assert described(value, pointer) == text


def test_long_values_are_cut() -> None:
    assert shown("x" * 100) == '"' + "x" * 58 + "…"


def test_steps_of_pointers_are_escaped() -> None:
    assert pointer_step("a/b~c") == "a~1b~0c"
