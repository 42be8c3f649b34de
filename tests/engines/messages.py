# SPDX-License-Identifier: Apache-2.0
"""Messages of protocol buffers, without their declarations.

One is a dictionary here, from a field's number to its value: int, str, bytes, a dictionary (a
message within) or a list (a repeated field).
"""

from __future__ import annotations

from typing import Any

Message = dict[int, Any]


def encode(message: Message) -> bytes:
    """A message's bytes."""
    out = b""
    for field, value in message.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, int):
                out += _varint(field << 3) + _varint(each)
            else:
                data = _bytes(each)
                out += _varint(field << 3 | 2) + _varint(len(data)) + data
    return out


def fields(data: bytes) -> list[tuple[int, Any]]:
    """A message's fields in order: int, or bytes that may be a string or a message."""

    def varint() -> int:
        nonlocal data
        number = shift = 0
        while True:
            byte, data = data[0], data[1:]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    found: list[tuple[int, Any]] = []
    while data:
        field, kind = divmod(varint(), 8)
        if kind == 0:
            found.append((field, varint()))
        else:
            assert kind == 2, f"wire type {kind}"
            length = varint()
            found.append((field, data[:length]))
            data = data[length:]
    return found


def decode(data: bytes) -> Message:
    """A message whose fields are not repeated, as `fields` has them."""
    return dict(fields(data))


def within(message: Message, *path: int) -> Any:  # noqa: ANN401 - what a field may be
    """The field that is found by these numbers, message by message; 0 where one lacks."""
    for number in path[:-1]:
        message = decode(message.get(number, b""))
    return message.get(path[-1], 0)


def _bytes(value: Message | str | bytes) -> bytes:
    if isinstance(value, dict):
        return encode(value)
    return value.encode() if isinstance(value, str) else value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
