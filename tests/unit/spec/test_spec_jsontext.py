# SPDX-License-Identifier: Apache-2.0
"""JSON is read and written as RFC 8259 says, and errors name the place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec import jsontext
from spec.errors import InvalidSpec
from spec.jsontext import decode, dumps, loads, locate

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def fault(text: str, name: str = "") -> str:
    with pytest.raises(InvalidSpec) as caught:
        loads(text, name=name)
    assert caught.value.violations == []
    return str(caught.value)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.sampled_from([0, 1, 2]))
def test_dumps_and_loads_agree_with_json(value: object, indent: int) -> None:
    separators = (",", ":") if not indent else (",", ": ")
    text = dumps(value, indent)
    expected = json.dumps(value, indent=indent or None, separators=separators, ensure_ascii=False)
    assert text == expected
    assert loads(text) == json.loads(text) == value


def test_indented_text_has_the_layout_of_go() -> None:
    value = {"b": [1, {"c": None}], "a": {}, "d": [], "e": True}
    assert dumps(value, 2) == (
        '{\n  "b": [\n    1,\n    {\n      "c": null\n    }\n  ],\n'
        '  "a": {},\n  "d": [],\n  "e": true\n}'
    )


def test_tuples_are_arrays_and_integers_are_exact() -> None:
    assert dumps((1, 2**100)) == f"[1,{2**100}]"
    assert loads(str(2**64 + 1)) == 2**64 + 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_dumps_refuses_what_json_has_no_number_for(value: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        dumps([value])


def test_dumps_refuses_other_types() -> None:
    with pytest.raises(TypeError, match="bytes"):
        dumps({"a": b""})
    with pytest.raises(TypeError, match=r"bytes|keys"):
        dumps({b"a": ""})


@pytest.mark.parametrize("indent", [0, 1])
def test_names_become_strings(indent: int) -> None:
    value = {1: "", None: "", 1.5: "", 2**70: ""}
    assert json.loads(dumps(value, indent)) == json.loads(json.dumps(value))


def test_dumps_refuses_what_contains_itself() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested too deeply"):
        dumps(endless)


def test_duplicate_members_the_last_counts() -> None:
    assert loads('{"a": 1, "b": 2, "a": 3}') == {"a": 3, "b": 2}


def test_blanks_around_a_value_are_skipped() -> None:
    assert loads(" \t\r\n[1] \n") == [1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1 column 1: empty, expected a JSON value"),
        (" \n ", "line 2 column 2: empty, expected a JSON value"),
        ("{]", "line 1 column 2: expecting property name enclosed in double quotes"),
        ('{"a"\n 1}', "line 2 column 2: expecting ':' delimiter"),
        ("[1,\n2", "line 2 column 2: expecting ',' delimiter"),
        ("[tru]", "line 1 column 2: expecting value"),
        ("nul", "line 1 column 1: expecting value"),
        ('["a', "line 1 column 2: unterminated string"),
        ('["a\tb"]', "line 1 column 4: invalid control character"),
        ('{"a": 1}\n{}', "line 2 column 1: more text after the value"),
        ('["NaN",\n NaN]', "line 2 column 2: NaN isn't JSON"),
        ("[Infinity]", "line 1 column 2: Infinity isn't JSON"),
        ("[-Infinity]", "line 1 column 2: -Infinity isn't JSON"),
        ('["ok",\n "x\\ud800"]', "line 2 column 4: lone surrogate \\ud800 in a string"),
        ('{"\\uDC00": 1}', "line 1 column 3: lone surrogate \\udc00 in a string"),
        ("9" * 5000, "line 1 column 1: a number has too many digits"),
        ("[" * 100_000 + "]" * 100_000, "line 1 column 100000: nested too deeply"),
    ],
)
def test_broken_text_is_explained_with_its_place(text: str, why: str) -> None:
    assert fault(text) == why


def test_the_file_is_named() -> None:
    assert fault("[", "config.json") == "config.json: line 1 column 2: expecting value"


def test_surrogate_pairs_are_characters() -> None:
    assert loads('"\\ud83d\\ude00"') == "\U0001f600"


def test_lone_surrogates_survive_where_they_are_allowed() -> None:
    path = b"/srv/\xff\xe9-\xc3\xa9".decode("utf-8", "surrogateescape")
    text = dumps({path: path})
    assert text.encode("utf-8")
    assert loads(text, lone_surrogates=True) == {path: path}


def test_bytes_are_decoded() -> None:
    assert decode('"é"'.encode()) == '"é"'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xef\xbb\xbf{}", "c: line 1 column 1: begins with a byte order mark"),
        (b'{\n "\xc3\xa9\xff": 1}', "c: line 2 column 4: byte 0xff isn't UTF-8"),
        ("{}".encode("utf-16"), "c: line 1 column 1: byte 0xff isn't UTF-8"),
    ],
)
def test_bytes_that_are_no_utf8_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        decode(data, "c")
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("", (1, 1)),
        ("/a", (2, 7)),
        ("/a/0", (2, 8)),
        ("/a/1/b", (4, 2)),
        ("/a/1/absent", (2, 11)),
        ("/a/7", (2, 7)),
        ("/a/x", (2, 7)),
        ("/x~1~0", (5, 9)),
        ("/absent/deeper", (1, 1)),
    ],
)
def test_locate_finds_values(pointer: str, place: tuple[int, int]) -> None:
    text = '{\n "a": [1, {"b": 5,\n "b":\n 6}],\n "x/~": {}\n}'
    assert locate(text, pointer) == place


FALLBACK = """
import sys
sys.modules["_json"] = None
sys.path.insert(0, sys.argv[1])
from spec import jsontext
assert jsontext.make_scanner is None
assert jsontext.loads(' {"a": [1, 2.5, "\\\\u00e9"]} ') == {"a": [1, 2.5, "\\u00e9"]}
assert jsontext.dumps(["\\u00e9", '"', "\\udcff"]) == '["\\u00e9","\\\\"","\\\\udcff"]'
try:
    jsontext.loads('[NaN]')
except jsontext.InvalidSpec as error:
    assert str(error) == "line 1 column 2: NaN isn't JSON", error
else:
    raise AssertionError
"""


def test_it_works_without_the_accelerator() -> None:
    root = Path(jsontext.__file__).parents[1]
    subprocess.run([sys.executable, "-I", "-S", "-B", "-c", FALLBACK, str(root)], check=True)
