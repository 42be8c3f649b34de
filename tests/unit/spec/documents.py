# SPDX-License-Identifier: Apache-2.0
"""Documents made from our schemas: the smallest valid one around any place of a schema."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

from spec.schema_files import read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MATCHING = {
    "^RLIMIT_[A-Z]+$": "RLIMIT_CPU",
    "^[0-9, -]*$": "0-3",
    "^[1-9][0-9]*[KMG]B$": "64KB",
    "^MB:[^\\n]*$": "MB:0=20",
    "^CAP_[A-Z_]+$": "CAP_KILL",
}

VALUES: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    1.0,
    2**8,
    2**16,
    2**32,
    2**63,
    2**64,
    -(2**63) - 1,
    "",
    "x",
    "c\n",
    "RLIMIT_CPU\n",
    "RLIMIT_cpu",
    "64KB\n",
    "064KB",
    "MB:\n",
    "CAP_",
    [],
    [None],
    ["x"],
    {},
    {"x": "y"},
    {"x": 5},
)
"""Values of every type, and near the edges of the ranges and patterns."""


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """All schema files by `$id`."""
    return dict(read_all())


def resolve(schema: dict[str, Any], file: str) -> tuple[dict[str, Any], str]:
    """Follow `$ref` to its end."""
    while "$ref" in schema:
        target, _, pointer = schema["$ref"].partition("#")
        file = target or file
        schema = schemas()[file]
        for step in pointer.split("/")[1:]:
            schema = schema[step]
    return schema, file


def smallest(schema: dict[str, Any], file: str) -> Any:  # noqa: ANN401 (any JSON value)
    """The smallest valid value of a schema."""
    schema, file = resolve(schema, file)
    kind = schema["type"]
    if kind == "object":
        members = schema.get("properties", {})
        return {name: smallest(members[name], file) for name in schema.get("required", ())}
    if kind == "array":
        return [smallest(schema["items"], file)] * schema.get("minItems", 0)
    if kind == "string":
        pattern = schema.get("pattern")
        return schema.get("enum", [_MATCHING[pattern] if pattern else "x"])[0]
    return False if kind == "boolean" else max(0, schema.get("minimum", 0))


def around(schema: dict[str, Any], file: str) -> Iterator[tuple[str, Callable[[object], Any], Any]]:
    """Yield every place of a schema: its pointer, a function that puts a value there, a value.

    The function returns the smallest document that is valid but for what it puts there; with the
    value given here it is valid.
    """
    schema, file = resolve(schema, file)
    yield "", lambda value: value, smallest(schema, file)
    children = dict(schema.get("properties", {}))
    if isinstance(schema.get("additionalProperties"), dict):
        children["name"] = schema["additionalProperties"]
    for name, child in children.items():
        base = smallest(schema, file)
        for pointer, put, fitting in around(child, file):
            yield f"/{name}{pointer}", _member(base, name, put), fitting
    if "items" in schema:
        for pointer, put, fitting in around(schema["items"], file):
            yield f"/0{pointer}", _item(put), fitting


def _member(
    base: dict[str, Any], name: str, put: Callable[[object], Any]
) -> Callable[[object], dict[str, Any]]:
    return lambda value: copy.deepcopy(base) | {name: put(value)}


def _item(put: Callable[[object], Any]) -> Callable[[object], list[Any]]:
    return lambda value: [put(value)]
