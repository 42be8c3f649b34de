# SPDX-License-Identifier: Apache-2.0
"""The wire format of protocol buffers (protobuf.dev, "Encoding"), as small protocols need it.

Fields by number, without schemas: a library for it would bring a compiler, and 15 MB, for a dozen
messages. What a number means is with whoever speaks the protocol.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Value = int | bool | str | bytes
    Fields = dict[int, list[int | bytes]]

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_WORD = 1 << 64
_LONGEST = 10  # bytes of a varint of 64 bits
_BITS, _MORE = 0x7F, 0x80  # of each byte of a varint


class Malformed(ValueError):
    """What was received is no message, or not the one that was expected."""


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """A message. Integers and booleans are varints; text is UTF-8; a message in it is bytes.

    A negative integer takes ten bytes, as int32 and int64 have it; a repeated field comes as often
    as it has elements.
    """
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(_varint(number << 3 | _VARINT) + _varint(value))
        else:
            data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            parts.append(_varint(number << 3 | _LENGTH) + _varint(len(data)) + data)
    return b"".join(parts)


def decode(data: bytes) -> Fields:
    """Values by field number, in the order of the message: integers (unsigned) and bytes.

    Raises Malformed for what is no message, or is cut off.
    """
    fields: Fields = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _read_varint(data, at)
        elif kind == _LENGTH:
            size, at = _read_varint(data, at)
            value, at = _take(data, at, size), at + size
        elif kind in _WIDTHS:
            width = _WIDTHS[kind]
            value, at = int.from_bytes(_take(data, at, width), "little"), at + width
        else:
            raise Malformed(f"wire type {kind} of field {number} is not known")
        if not number:
            raise Malformed("field number 0")
        fields.setdefault(number, []).append(value)
    return fields


def integer(fields: Fields, number: int, default: int = 0) -> int:
    """The last value of a singular integer field, as int32 and int64 have it. Raises Malformed."""
    value = fields.get(number, [default])[-1]
    if not isinstance(value, int):
        raise Malformed(f"field {number} is not an integer")
    return value - _WORD if value >= _WORD >> 1 else value


def octets(fields: Fields, number: int) -> bytes:
    """The last value of a singular field of text, bytes or a message; empty where it is absent.

    Raises Malformed.
    """
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise Malformed(f"field {number} is an integer")
    return value


def text(fields: Fields, number: int) -> str:
    """The last value of a singular field of text, "" where it is absent."""
    return octets(fields, number).decode("utf-8", "replace")


def _varint(value: int) -> bytes:
    value %= _WORD
    parts = bytearray()
    while value > _BITS:
        parts.append(value & _BITS | _MORE)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & _BITS) << 7 * index
        if byte < _MORE:
            return value % _WORD, at + index + 1
    raise Malformed("a varint is cut off, or too long")


def _take(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise Malformed("a field is cut off")
    return data[at : at + size]
