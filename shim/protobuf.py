# SPDX-License-Identifier: Apache-2.0
"""Protobuf messages by tables of their fields; a message is a dictionary by field names.

A library for it costs more memory and more time to import than all the rest of a shim. The wire
format itself is runtime.protobuf's.
"""

from __future__ import annotations

from runtime import protobuf
from runtime.protobuf import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: a message: field name -> int, bool, str, bytes, dict, or a list of them
    Values = dict[str, Any]

__all__ = [
    "BOOL",
    "BYTES",
    "INT",
    "MAP",
    "MESSAGE",
    "STRING",
    "UINT",
    "Field",
    "Malformed",
    "Table",
]

UINT, INT, BOOL, STRING, BYTES, MESSAGE, MAP = range(7)
_DEFAULTS: tuple[object, ...] = (0, 0, False, "", b"", None)
_WORD = 1 << 64
_DEPTH = 16  # of messages in messages: ours have four levels


class Field:
    """One field of a message: `many` for repeated ones, `of` the table of a message's fields.

    MAP is a map of texts by texts.
    """

    __slots__ = ("kind", "many", "name", "number", "of")

    def __init__(
        self,
        number: int,
        name: str,
        kind: int = STRING,
        *,
        of: Table | None = None,
        many: bool = False,
    ) -> None:
        self.number = number
        self.name = name
        self.kind = kind if of is None else MESSAGE
        self.of = _ENTRY if kind == MAP else of
        self.many = many

    def default(self) -> object:
        """What the field has where the bytes say nothing of it."""
        if self.kind == MAP:
            return {}
        return [] if self.many else _DEFAULTS[self.kind]


class Table:
    """A message's fields."""

    __slots__ = ("by_name", "by_number")

    def __init__(self, *fields: Field) -> None:
        self.by_number = {field.number: field for field in fields}
        self.by_name = {field.name: field for field in fields}

    def encode(self, values: Values) -> bytes:
        """The bytes of a message; what is a default is left out. KeyError: no such field."""
        pairs: list[tuple[int, int | bool | str | bytes]] = []
        for name, value in values.items():
            field = self.by_name[name]
            if field.kind == MAP:
                items = [{"key": key, "value": item} for key, item in value.items()]
            elif field.many:
                items = value
            else:
                items = [] if value == _DEFAULTS[field.kind] else [value]
            pairs += [(field.number, _encoded(field, item)) for item in items]
        return protobuf.encode(pairs)

    def decode(self, data: bytes, depth: int = 0) -> Values:
        """The message's fields, with defaults for absent ones; unknown ones are passed over.

        Raises Malformed.
        """
        if depth > _DEPTH:
            raise Malformed("messages in messages in messages")
        found = protobuf.decode(data)
        values: Values = {}
        for number, field in self.by_number.items():
            items = [_decoded(field, raw, depth) for raw in found.get(number, ())]
            if field.kind == MAP:
                values[field.name] = {item["key"]: item["value"] for item in items}
            elif field.many:
                values[field.name] = items
            else:
                values[field.name] = items[-1] if items else field.default()
        return values


def _encoded(field: Field, item: Any) -> int | bool | str | bytes:  # noqa: ANN401 - of the kind that the table says
    return item if field.of is None else field.of.encode(item)


def _decoded(field: Field, raw: int | bytes, depth: int) -> Any:  # noqa: ANN401 - of the kind that the table says
    kind = field.kind
    if isinstance(raw, int) != (kind in (UINT, INT, BOOL)):
        raise Malformed(f"field {field.name} is of another kind")
    if isinstance(raw, int):
        if kind == BOOL:
            return bool(raw)
        return raw - _WORD if kind == INT and raw >> 63 else raw
    if kind == STRING:
        return raw.decode("utf-8", "surrogateescape")
    if field.of is not None:
        return field.of.decode(raw, depth + 1)
    return raw


_ENTRY = Table(Field(1, "key"), Field(2, "value"))
