# SPDX-License-Identifier: Apache-2.0
"""The protobuf wire format by tables (protobuf.dev, "Encoding"): messages are dictionaries.

A library for it costs more memory and more time to import than all the rest of a shim.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: a message: field name -> int, bool, str, bytes, float, dict, or a list of them
    Values = dict[str, Any]

UINT, INT, BOOL, STRING, BYTES, MESSAGE, DOUBLE, MAP = range(8)
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_DEFAULTS: dict[int, object] = {
    UINT: 0,
    INT: 0,
    BOOL: False,
    STRING: "",
    BYTES: b"",
    MESSAGE: None,
    DOUBLE: 0.0,
}
_WORD = 1 << 64
_VARINT_BITS = 63  # of the last group of seven that a 64-bit number can have
_DEPTH = 16  # of messages in messages: ours have four levels


class Malformed(ValueError):
    """Bytes that are no message of this kind."""


class Field:
    """One field of a message: `many` for repeated ones, `of` the table of a message's fields."""

    __slots__ = ("kind", "many", "name", "number", "of")

    def __init__(
        self, number: int, name: str, kind: int = STRING, *, of: Table | None = None, many: int = 0
    ) -> None:
        self.number = number
        self.name = name
        self.kind = MESSAGE if of is not None else kind
        self.of = of
        self.many = bool(many)

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
        parts: list[bytes] = []
        for name, value in values.items():
            field = self.by_name[name]
            if field.kind == MAP:
                for key, item in value.items():
                    entry = _ENTRY.encode({"key": key, "value": item})
                    parts.append(_lengthy(field.number, entry))
            elif field.many:
                parts += [_encoded(field, item) for item in value]
            elif value is not None and (value or field.kind == MESSAGE):
                parts.append(_encoded(field, value))
        return b"".join(parts)

    def decode(self, data: bytes, depth: int = 0) -> Values:
        """The message's fields, with defaults for absent ones; unknown ones are passed over.

        Raises Malformed.
        """
        if depth > _DEPTH:
            raise Malformed("messages in messages in messages")
        values: Values = {field.name: field.default() for field in self.by_number.values()}
        at = 0
        while at < len(data):
            key, at = varint(data, at)
            raw, at = _raw(data, at, key & 7)
            field = self.by_number.get(key >> 3)
            if field is None:
                continue
            value = _decoded(field, key & 7, raw, depth)
            if field.kind == MAP:
                values[field.name][value["key"]] = value["value"]
            elif not field.many:
                values[field.name] = value
            elif isinstance(value, list):
                values[field.name] += value
            else:
                values[field.name].append(value)
        return values


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at this place, and the place behind it. Raises Malformed."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value % _WORD, at
        shift += 7
        if shift > _VARINT_BITS:
            raise Malformed("a number of more than 64 bits")
    raise Malformed("cut off within a number")


def _number(value: int) -> bytes:
    value %= _WORD  # negative numbers are two's complement in ten bytes
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _lengthy(number: int, data: bytes) -> bytes:
    return _number(number << 3 | _LENGTH) + _number(len(data)) + data


def _encoded(field: Field, value: Any) -> bytes:  # noqa: ANN401 - of the kind that the table says
    kind = field.kind
    if kind in (UINT, INT, BOOL):
        return _number(field.number << 3) + _number(int(value))
    if kind == DOUBLE:
        return _number(field.number << 3 | _FIXED64) + struct.pack("<d", value)
    if kind == STRING:
        return _lengthy(field.number, value.encode("utf-8", "surrogateescape"))
    if kind == BYTES:
        return _lengthy(field.number, value)
    assert field.of is not None  # noqa: S101 - for the type checker: a message has a table
    return _lengthy(field.number, field.of.encode(value))


def _raw(data: bytes, at: int, wire: int) -> tuple[int | bytes, int]:
    """One field's content as it is on the wire, and the place behind it."""
    if wire == _VARINT:
        return varint(data, at)
    if wire == _LENGTH:
        size, at = varint(data, at)
    elif wire in (_FIXED64, _FIXED32):
        size = 8 if wire == _FIXED64 else 4
    else:
        raise Malformed(f"wire type {wire}")
    if size > len(data) - at:
        raise Malformed("cut off within a field")
    return data[at : at + size], at + size


def _decoded(field: Field, wire: int, raw: int | bytes, depth: int) -> Any:  # noqa: ANN401 - as above
    kind = field.kind
    if isinstance(raw, int):
        if kind not in (UINT, INT, BOOL):
            raise Malformed(f"a number in {field.name}")
        return _signed(kind, raw)
    if kind == DOUBLE and wire == _FIXED64:
        return struct.unpack("<d", raw)[0]
    if wire != _LENGTH:
        raise Malformed(f"wire type {wire} in {field.name}")
    if kind == STRING:
        return raw.decode("utf-8", "surrogateescape")
    if kind == BYTES:
        return raw
    if kind == MAP:
        return _ENTRY.decode(raw, depth + 1)
    if kind == MESSAGE and field.of is not None:
        return field.of.decode(raw, depth + 1)
    if field.many and kind in (UINT, INT, BOOL):
        return _packed(kind, raw)
    raise Malformed(f"bytes in {field.name}")


def _packed(kind: int, raw: bytes) -> list[int | bool]:
    found: list[int | bool] = []
    at = 0
    while at < len(raw):
        value, at = varint(raw, at)
        found.append(_signed(kind, value))
    return found


def _signed(kind: int, value: int) -> int | bool:
    if kind == BOOL:
        return bool(value)
    return value - _WORD if kind == INT and value >> 63 else value


_ENTRY = Table(Field(1, "key"), Field(2, "value"))
