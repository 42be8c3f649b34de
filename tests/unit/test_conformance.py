# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md: a row for every property that the schemas have, and tests that exist."""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "conformance.md"
SCHEMAS = ROOT / "spec" / "schemas"
VERDICTS = {"yes", "refused", "ignored"}
#: Members of config.json that are another platform's: one row for each.
PLATFORMS = ("freebsd", "solaris", "vm", "windows", "zos")


class Row:
    """One line of the table."""

    def __init__(self, line: str) -> None:
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        assert len(cells) == 6, line
        self.property = cells[0].strip("`")
        self.verdicts = cells[1:4]
        self.tests = [] if cells[4] == "none" else [t.strip("`") for t in cells[4].split("<br>")]
        self.remark = cells[5]


def rows() -> list[Row]:
    return [Row(line) for line in TABLE.read_text().splitlines() if line.startswith("| `/")]


@functools.cache
def schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return document


def properties(name: str, node: dict[str, Any], at: str) -> list[str]:
    """Pointers of all properties below a node of a schema file, in its order."""
    if reference := node.get("$ref"):
        file, _, path = reference.partition("#")
        target = schema(file or name)
        for step in path.strip("/").split("/") if path else ():
            target = target[step]
        return properties(file or name, target, at)
    found = []
    for key, member in node.get("properties", {}).items():
        here = f"{at}/{key}"
        if at == "" and key in PLATFORMS:
            found.append(f"{here}/…")
            continue
        found += [here, *properties(name, member, here)]
    for key, step in (("items", "*"), ("additionalProperties", "NAME")):
        if isinstance(node.get(key), dict):
            found += properties(name, node[key], f"{at}/{step}")
    return found


def defined(file: str) -> set[str]:
    """Tests of a file below tests/, as pytest names them: `test_x`, `TestY::test_z`."""
    path = ROOT / "tests" / file
    if not path.is_file():
        return set()
    found = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def test_every_property_of_the_schemas_has_one_row() -> None:
    listed = [row.property for row in rows()]
    expected = properties("config.json", schema("config.json"), "")
    assert [p for p in expected if p not in listed] == []
    assert [p for p in listed if p not in expected] == []
    assert sorted(listed) == sorted(set(listed))
    assert len(listed) > 200  # the walk found the schemas, and the rows were read


def test_every_verdict_is_one_of_the_four() -> None:
    assert {verdict for row in rows() for verdict in row.verdicts} <= VERDICTS


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.property)
def test_the_tests_that_a_row_names_exist(row: Row) -> None:
    for test in row.tests:
        file, _, name = test.partition("::")
        assert re.fullmatch(r"test_\w+|Test\w+::test_\w+", name), test
        assert name in defined(file), test
    if "yes" in row.verdicts:
        assert row.tests, "what is claimed is tested"
    else:
        assert row.remark, "what is not there is explained"
