# SPDX-License-Identifier: Apache-2.0
"""Explain why a document breaks its schema.

Every violation, with its JSON pointer, what was found and what is allowed.

Only for rejected documents, since it imports jsonschema. The verdict is the compiled check's
(spec/compile_schema.py); the validator here is adjusted so that both always agree: an integer is
written without fraction and exponent, and `$` in a pattern matches at the end only (ECMA-262, JSON
Schema core 6.4).
"""

from __future__ import annotations

import re
from functools import cache

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from spec.describe import described, pointer_step
from spec.errors import Violation
from spec.jsontext import dumps
from spec.schema_files import read_all, read_schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jsonschema.protocols import Validator

_NAMES = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
}


def violations(
    document: object, schema: str = "config", file: str = "config.json"
) -> list[Violation]:
    """Return what breaks the schema, in the document's order.

    One violation per place, none if it is valid.

    document: as parsed from JSON. schema: "config", "process", "state" or "features". file: goes
    into the messages.
    """
    found: dict[tuple[str | int, ...], Violation] = {}
    for error in validator(schema).iter_errors(document):  # type: ignore[arg-type]
        pointer = "".join(f"/{pointer_step(str(step))}" for step in error.absolute_path)
        key: tuple[str | int, ...] = tuple(error.absolute_path)
        if error.validator == "required":
            key = (*key, f"required {_missing(error)}")
        if error.validator == "type" or key not in found:
            found[key] = Violation(pointer, _found(error, pointer), _allowed(error), file=file)
    return sorted(found.values(), key=lambda violation: _position(document, violation.pointer))


@cache
def validator(schema: str) -> Validator:
    """Return the jsonschema validator of one of our schemas."""
    registry: Registry[Any] = Registry().with_resources(
        (name, DRAFT202012.create_resource(_undated(content))) for name, content in read_all()
    )
    return strict(Draft202012Validator)(_undated(read_schema(schema)), registry=registry)


def _undated(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without `$schema`, at which jsonschema would turn to its own validator."""
    return {keyword: value for keyword, value in schema.items() if keyword != "$schema"}


def strict(kind: type[Validator]) -> type[Validator]:
    """Return a validator class that differs from `kind` in integers and in `$`, as said above."""
    adjusted: type[Validator] = extend(  # type: ignore[no-untyped-call]
        kind,
        validators={"pattern": _pattern},
        type_checker=kind.TYPE_CHECKER.redefine("integer", _is_integer),
    )
    return adjusted


def _is_integer(_checker: object, instance: object) -> bool:
    return isinstance(instance, int) and not isinstance(instance, bool)


def _pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    """The keyword `pattern`, with ECMA-262's `$`."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _found(error: ValidationError, pointer: str) -> str:
    """Say what is at the place of a violation."""
    if error.validator == "required":
        return f'no "{_missing(error)}"'
    return described(error.instance, pointer)


def _allowed(error: ValidationError) -> str:
    """Say what the schema allows at the place of a violation."""
    schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    if error.validator == "required":
        return "this required member"
    if error.validator == "minItems":
        return f"at least {schema['minItems']}"
    if schema["type"] == "integer" and "minimum" in schema:
        least, most = schema["minimum"], schema.get("maximum")
        return (
            f"an integer of at least {least}"
            if most is None
            else f"an integer from {least} to {most}"
        )
    if "enum" in schema:
        return "one of " + ", ".join(map(dumps, schema["enum"]))
    return (
        f"a string matching {schema['pattern']}" if "pattern" in schema else _NAMES[schema["type"]]
    )


def _missing(error: ValidationError) -> str:
    """Return the first required member that isn't there; jsonschema has it only in its message."""
    instance: dict[str, object] = error.instance  # type: ignore[assignment]
    required: Any = error.validator_value
    absent = (name for name in required if name not in instance)
    return str(next(name for name in absent if error.message.startswith(repr(name))))


def _position(document: object, pointer: str) -> list[int]:
    """Return a sort key for the document's order."""
    key = []
    for step in pointer.split("/")[1:]:
        if isinstance(document, dict):
            name = step.replace("~1", "/").replace("~0", "~")
            key.append(list(document).index(name))
            document = document[name]
        elif isinstance(document, list):
            key.append(int(step))
            document = document[int(step)]
    return key
