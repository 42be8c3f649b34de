# SPDX-License-Identifier: Apache-2.0
"""The verdicts of compiled checks, of jsonschema on our schemas and on the standard's agree."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spec
from spec import explain
from spec.compile_schema import SchemaError, compile_schema, main
from spec.schema_files import DOCUMENTS
from spec.template import default_spec
from tests.unit.spec import standard
from tests.unit.spec.documents import VALUES, around, schemas

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def compiled(name: str) -> Callable[[object], bool]:
    module: dict[str, Any] = {}
    exec(compile_schema(name), module)  # noqa: S102 (the compiler's output is what is tested)
    valid: Callable[[object], bool] = module["valid"]
    return valid


@cache
def standard_valid(name: str) -> Callable[[object], bool]:
    return standard.validator(name).is_valid  # type: ignore[return-value]


def one_schema(**schema: object) -> str:
    return compile_schema("x", {"x.json": schema})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_modules_are_up_to_date(name: str) -> None:
    path = Path(spec.__path__[0]) / f"_{name}_check.py"
    assert path.read_text("utf-8") == compile_schema(name), "run python -m spec.compile_schema"


def test_main_writes_every_module_and_nothing_else(tmp_path: Path) -> None:
    main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "_config_check.py",
        "_features_check.py",
        "_process_check.py",
        "_state_check.py",
    ]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_modules_import_nothing(name: str) -> None:
    assert "import" not in compile_schema(name).replace("spec.compile_schema", "")


@standard.needed
@pytest.mark.parametrize("kind", standard.KINDS)
def test_good_samples_of_the_standard_are_valid(kind: str) -> None:
    paths = standard.samples(kind, "good")
    assert paths
    for path in paths:
        document = json.loads(path.read_text("utf-8"))
        assert compiled(kind)(document), path
        assert not explain.violations(document, kind), path


@standard.needed
@pytest.mark.parametrize("kind", standard.KINDS)
def test_bad_samples_of_the_standard_are_not_valid(kind: str) -> None:
    paths = [p for p in standard.samples(kind, "bad") if p.name != "invalid-json.json"]
    for path in paths:
        document = json.loads(path.read_text("utf-8"))
        assert not compiled(kind)(document), path
        assert explain.violations(document, kind), path


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_each_value_at_each_place_is_judged_the_same(kind: str) -> None:
    ours = explain.validator(kind)
    count = 0
    for pointer, put, fitting in around(schemas()[f"{kind}.json"], f"{kind}.json"):
        assert compiled(kind)(put(fitting)), pointer
        for value in (*VALUES, fitting):
            document = put(value)
            assert compiled(kind)(document) == ours.is_valid(document), (pointer, value)
            count += 1
    assert count > len(VALUES) * 5


@standard.needed
@pytest.mark.parametrize("kind", standard.KINDS)
def test_the_standard_judges_each_value_the_same(kind: str) -> None:
    theirs = standard_valid(kind)
    for pointer, put, _ in around(schemas()[f"{kind}.json"], f"{kind}.json"):
        for value in VALUES:
            document = put(value)
            assert compiled(kind)(document) == theirs(document), (pointer, value)


def rich_config() -> dict[str, Any]:
    """A valid configuration with most of what the schema knows."""
    document: dict[str, Any] = {"ociVersion": "1.3.0"}
    for pointer, put, fitting in around(schemas()["config.json"], "config.json"):
        if pointer and not isinstance(fitting, dict | list):
            merge(document, put(fitting))
    return document


def merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        elif isinstance(value, list) and isinstance(into.get(name), list) and value:
            if isinstance(value[0], dict) and into[name]:
                merge(into[name][0], value[0])
        else:
            into[name] = copy.deepcopy(value)


@cache
def bases() -> list[str]:
    """Valid configurations to change, as JSON."""
    found = [json.dumps(rich_config()), json.dumps(default_spec())]
    found += [path.read_text("utf-8") for path in standard.samples("config", "good")]
    return found


def all_paths(value: object) -> list[list[str | int]]:
    paths: list[list[str | int]] = [[]]
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for step, part in items:
        paths += [[step, *rest] for rest in all_paths(part)]
    return paths


@st.composite
def changed_configs(draw: st.DrawFn) -> Any:  # noqa: ANN401 (any JSON value)
    """A valid configuration after up to three changes: values replaced, removed or copied."""
    document = json.loads(draw(st.sampled_from(bases())))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(all_paths(document)))
        if not path:
            continue
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        change = draw(st.sampled_from(("replace", "remove", "copy")))
        if change == "remove":
            del parent[path[-1]]
        elif change == "replace":
            parent[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        else:
            other = draw(st.sampled_from(all_paths(document)[1:] or [path]))
            value = document
            for step in other:
                value = value[step]
            parent[path[-1]] = copy.deepcopy(value)
    return document


def test_the_rich_configuration_is_valid_and_rich() -> None:
    document = rich_config()
    assert compiled("config")(document)
    assert len(all_paths(document)) > 250


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(changed_configs())
def test_changed_configurations_are_judged_the_same(document: object) -> None:
    verdict = compiled("config")(document)
    assert verdict == explain.validator("config").is_valid(document)  # type: ignore[arg-type]
    assert verdict == (not explain.violations(document))
    if (standard.FOLDER / "config-schema.json").is_file():
        assert verdict == standard_valid("config")(document)


@pytest.mark.parametrize("propagation", ["rprivate", "rshared", "rslave", "runbindable"])
def test_recursive_propagation_is_accepted_beyond_the_standard(propagation: str) -> None:
    document = {"ociVersion": "1.3.0", "linux": {"rootfsPropagation": propagation}}
    assert compiled("config")(document)


def test_an_unknown_keyword_is_an_error_of_the_build() -> None:
    with pytest.raises(SchemaError, match=r"unknown keywords.*maxLength"):
        one_schema(type="string", maxLength=5)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number"},
        {"properties": {}},
        {"type": ["string", "null"]},
        {"type": "array"},
        {"type": "string", "enum": ["a", 1]},
        {"type": "string", "pattern": "abc"},
        {"type": "string", "pattern": "^a|b$"},
        {"type": "string", "pattern": "^a+b+$"},
        {"type": "string", "pattern": "^abc$"},
        {"type": "string", "pattern": "^[a-z$"},
        {"type": "string", "pattern": "^[\\d]+$"},
        {"type": "object", "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {}},
        {"$ref": "nowhere.json"},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "#/$defs/a", "type": "string", "$defs": {"a": {"type": "string"}}},
        {"type": "array", "items": {"$ref": "x.json"}},
    ],
)
def test_what_the_compiler_does_not_know_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(SchemaError):
        one_schema(**schema)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^RLIMIT_[A-Z]+$", ["RLIMIT_A", "RLIMIT_CPU"], ["RLIMIT_", "RLIMIT_CPU\n", "rlimit_A"]),
        ("^[0-9, -]*$", ["", "0-3, 7"], ["a", "0\n"]),
        ("^[1-9][0-9]*[KMG]B$", ["2MB", "1024KB"], ["MB", "02MB", "2MBB", "2mB", "B", ""]),
        ("^MB:[^\\n]*$", ["MB:", "MB:0=1;2"], ["MB", "MB:a\nb", "MB:\n", "L3:0"]),
        ("^a*bc$", ["bc", "aabc"], ["abcd", "abb", "c"]),
        ("^[^ab]+c$", ["xc", "ccc"], ["c", "ac", "xbc"]),
    ],
)
def test_patterns(pattern: str, good: list[str], bad: list[str]) -> None:
    module: dict[str, Any] = {}
    exec(one_schema(type="string", pattern=pattern), module)  # noqa: S102
    assert [text for text in good if not module["valid"](text)] == []
    assert [text for text in bad if module["valid"](text)] == []
