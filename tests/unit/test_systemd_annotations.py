# SPDX-License-Identifier: Apache-2.0
"""org.systemd.property.NAME: GVariant's text form, and only where the caller allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from runtime import cgroups, prepare
from runtime.cgroups import systemd_annotations
from runtime.cgroups.dbus_wire import Variant
from runtime.cgroups.systemd_annotations import PREFIX, parse
from runtime.features import features
from spec.errors import OrlopError

if TYPE_CHECKING:
    from runtime.host import Facts
    from spec.types import Spec


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("true", "b", True),
        ("5", "i", 5),
        ("-5", "i", -5),
        ("0x10", "i", 16),
        ("010", "i", 8),
        ("uint64 123456789", "t", 123456789),
        ("byte 255", "y", 255),
        ("@t 5", "t", 5),
        ("1.5", "d", 1.5),
        ("double 3", "d", 3.0),
        ("1e3", "d", 1000.0),
        ("'inactive-or-failed'", "s", "inactive-or-failed"),
        ('"a\\"b\\n\\u00e9"', "s", 'a"b\né'),
        ("''", "s", ""),
        ("['a', 'b']", "as", ["a", "b"]),
        ("@as []", "as", []),
        ("[uint32 1]", "au", [1]),
        ("@au [1, 2]", "au", [1, 2]),
        ("('a', uint64 1)", "(st)", ("a", 1)),
        ("[('/dev/null', 'r')]", "a(ss)", [("/dev/null", "r")]),
        ("@a(ss) [('/dev/null', 'r'),]", "a(ss)", [("/dev/null", "r")]),
        ("objectpath '/a'", "o", "/a"),
        ("  [ 1 , 2 ]  ", "ai", [1, 2]),
    ],
)
def test_values(text: str, signature: str, value: object) -> None:
    assert parse(text) == Variant(signature, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "'a",
        "'a\\",
        "[1",
        "[]",
        "[1, 'a']",
        "(1",
        "()",
        "1 2",
        "uint64 'a'",
        "boolean 1",
        "@zz 1",
        "@as 5",
        "@(ss) ('a',)",
        "{'a': 1}",
        "<1>",
        "[" * 100,
        "@ 1",
    ],
)
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)
    with pytest.raises(OrlopError) as caught:
        systemd_annotations.properties({f"{PREFIX}Name": text})
    assert caught.value.pointer == "/annotations/org.systemd.property.Name"


@pytest.mark.parametrize("text", ["byte 256", "uint32 -1", "4294967296", "signature 'zz'"])
def test_what_its_type_does_not_hold(text: str) -> None:
    with pytest.raises(OrlopError):
        systemd_annotations.properties({f"{PREFIX}Name": text})


def test_seconds_are_microseconds_to_systemd() -> None:
    found = systemd_annotations.properties(
        {f"{PREFIX}TimeoutStopSec": "2.5", f"{PREFIX}CPUQuotaPeriodUSec": "uint64 7", "other": "x"}
    )
    assert found == {
        "TimeoutStopUSec": Variant("t", 2_500_000),
        "CPUQuotaPeriodUSec": Variant("t", 7),
    }
    with pytest.raises(OrlopError, match="not a number of seconds"):
        systemd_annotations.properties({f"{PREFIX}TimeoutStopSec": "'2'"})


@pytest.mark.parametrize("name", ["", "ab", "a.b", "a b", "Náme", "A1b"])
def test_names_that_no_property_has(name: str) -> None:
    with pytest.raises(OrlopError, match="can't be the name of a property"):
        systemd_annotations.properties({f"{PREFIX}{name}": "1"})


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ([], set()),
        (["org.criu."], set()),
        (["org.systemd.property."], {f"{PREFIX}Aaa", f"{PREFIX}Abb"}),
        (["org.systemd.property.Aa"], {f"{PREFIX}Aaa"}),
    ],
)
def test_nothing_counts_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch, allowed: list[str], expected: set[str]
) -> None:
    seen = {}
    monkeypatch.setattr(cgroups, "resolve", lambda *_, **given: seen.update(given))

    class Machine:
        privileged = True
        cgroup = None

    spec = {"annotations": {f"{PREFIX}Aaa": "1", f"{PREFIX}Abb": "1", "harmless": "1"}}
    prepare.resolve_cgroup(
        cast("Spec", spec), "box", cast("Facts", Machine()), systemd=True, allowed=allowed
    )
    assert set(seen["annotations"]) == expected


def test_features_tell_that_they_are_unsafe() -> None:
    assert PREFIX in cast("list[str]", features()["potentiallyUnsafeConfigAnnotations"])
