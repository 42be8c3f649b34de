# SPDX-License-Identifier: Apache-2.0
"""D-Bus messages as bytes, and back (D-Bus Specification, "Message Protocol").

Own code, because the libraries that there are import asyncio or libdbus, which would
cost a start more than all the rest of it.
"""

from __future__ import annotations

import sys
from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(1, 9)
FIELDS = {
    PATH: "o",
    INTERFACE: "s",
    MEMBER: "s",
    ERROR_NAME: "s",
    REPLY_SERIAL: "u",
    DESTINATION: "s",
    SENDER: "s",
    SIGNATURE: "g",
}
FIXED_PART = 16
"""Bytes at the start of a message that tell how long it is."""

MAX_MESSAGE = 1 << 24
"""Bytes; the standard allows 128 MiB, which nothing that we ask for comes near."""

_NUMBERS = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_STRUCTS = {
    (order, code): Struct(mark + letter)
    for order, mark in (("l", "<"), ("B", ">"))
    for code, letter in _NUMBERS.items()
}
_ALIGNMENT = {"g": 1, "v": 1, "(": 8, "{": 8, "h": 4, "s": 4, "o": 4, "a": 4, "b": 4}
_MAX_DEPTH = 32
_CLOSING = {"(": ")", "{": "}"}
_NATIVE = "l" if sys.byteorder == "little" else "B"


class Variant:
    """A value with its type's signature: what a D-Bus variant holds."""

    __slots__ = ("signature", "value")

    def __init__(self, signature: str, value: object) -> None:
        self.signature = signature
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variant) and (self.signature, self.value) == (
            other.signature,
            other.value,
        )

    def __hash__(self) -> int:
        return hash(self.signature)

    def __repr__(self) -> str:
        """Return `<SIGNATURE VALUE>`, for messages and test reports."""
        return f"<{self.signature} {self.value!r}>"


class Message:
    """A message as it was received.

    kind: METHOD_RETURN and so on. fields: header fields by number.
    """

    __slots__ = ("_reader", "fields", "kind", "serial")

    def __init__(self, kind: int, serial: int, fields: dict[int, object], reader: _Reader) -> None:
        self.kind = kind
        self.serial = serial
        self.fields = fields
        self._reader = reader

    def arguments(self) -> list[object]:
        """Return the body, to be asked for once: most signals tell nothing to us.

        An array of dictionary entries is a list of pairs. Raises ValueError.
        """
        return [self._reader.take(kind) for kind in types(str(self.fields.get(SIGNATURE, "")))]


def types(signature: str) -> list[str]:
    """Return the single complete types that a signature is made of. Raises ValueError."""
    found = []
    start = 0
    while start < len(signature):
        end = _end(signature, start, 0)
        found.append(signature[start:end])
        start = end
    return found


def _end(signature: str, start: int, depth: int) -> int:
    """Where the complete type that begins at `start` ends."""
    if start >= len(signature) or depth > _MAX_DEPTH:
        raise ValueError(f"{signature!r} is not a type's signature")
    code = signature[start]
    if code == "a":
        return _end(signature, start + 1, depth + 1)
    if code in _CLOSING:
        start += 1
        if signature[start : start + 1] == _CLOSING[code]:
            raise ValueError("a structure without members")
        while signature[start : start + 1] != _CLOSING[code]:
            start = _end(signature, start, depth + 1)
        return start + 1
    if code not in _NUMBERS and code not in "bsogvh":
        raise ValueError(f"type {code!r} in {signature!r} is not known")
    return start + 1


def pack_call(
    serial: int,
    fields: dict[int, str],
    signature: str = "",
    arguments: Sequence[object] = (),
) -> bytes:
    """Return a method call. Raises ValueError where a value is not of its type."""
    body = _Writer()
    for kind, value in zip(types(signature), arguments, strict=True):
        body.add(kind, value)
    given = {**fields, SIGNATURE: signature} if signature else fields
    header = _Writer()
    header.add("y", ord(_NATIVE))
    for value in (METHOD_CALL, 0, 1):  # flags: none; version of the protocol
        header.add("y", value)
    header.add("u", len(body.data))
    header.add("u", serial)
    entries = [(number, Variant(FIELDS[number], value)) for number, value in given.items()]
    header.add("a(yv)", entries)
    header.align(8)
    return bytes(header.data + body.data)


def length(head: bytes) -> int:
    """Return the whole length of a message that begins with `head`, FIXED_PART bytes.

    Raises ValueError.
    """
    order = chr(head[0])
    if order not in "lB" or head[3] != 1:
        raise ValueError("not a message of D-Bus, version 1")
    integer = _STRUCTS[order, "u"]
    (body,) = integer.unpack_from(head, 4)
    (fields,) = integer.unpack_from(head, 12)
    total: int = FIXED_PART + (fields + 7) // 8 * 8 + body
    if total > MAX_MESSAGE:
        raise ValueError(f"a message of {total} bytes")
    return total


def unpack(data: bytes) -> Message:
    """Return the message that `data` is. Raises ValueError."""
    reader = _Reader(data)
    reader.position = 8
    serial = reader.take("u")
    entries = reader.take("a(yv)")
    reader.align(8)
    assert isinstance(entries, list)  # noqa: S101 - for the type checker
    fields = {number: variant.value for number, variant in entries}
    return Message(data[1], int(serial), fields, reader)  # type: ignore[call-overload]


def _alignment(kind: str) -> int:
    code = kind[0]
    return _ALIGNMENT.get(code) or _STRUCTS[_NATIVE, code].size


class _Writer:
    """Values, each aligned to a multiple of its size from the start."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> None:
        self.data += bytes(-len(self.data) % size)

    def add(self, kind: str, value: object) -> None:
        self.align(_alignment(kind))
        code = kind[0]
        if code in _NUMBERS:
            self._number(code, value)
        elif code == "b":
            self._number("u", 1 if value else 0)
        elif code in "sog":
            self._text(code, value)
        elif code == "v":
            if not isinstance(value, Variant) or len(types(value.signature)) != 1:
                raise ValueError(f"{value!r} is not a variant")
            self.add("g", value.signature)
            self.add(value.signature, value.value)
        elif not isinstance(value, (list, tuple, bytes)):
            raise ValueError(f"{value!r} is not of type {kind!r}")
        elif code == "a":
            self._array(kind[1:], value)
        else:
            for member, each in zip(types(kind[1:-1]), value, strict=True):
                self.add(member, each)

    def _number(self, code: str, value: object) -> None:
        from _struct import error  # type: ignore[attr-defined] # struct.error

        try:
            self.data += _STRUCTS[_NATIVE, code].pack(value)
        except error as failure:
            raise ValueError(f"{value!r} is not of type {code!r}") from failure

    def _text(self, code: str, value: object) -> None:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"{value!r} is not of type {code!r}")
        if code == "g":
            types(value)
        text = value.encode()
        self._number("y" if code == "g" else "u", len(text))
        self.data += text + b"\0"

    def _array(self, kind: str, values: Sequence[object]) -> None:
        place = len(self.data)
        self._number("u", 0)
        self.align(_alignment(kind))
        start = len(self.data)
        for value in values:
            self.add(kind, value)
        _STRUCTS[_NATIVE, "u"].pack_into(self.data, place, len(self.data) - start)


class _Reader:
    """Values out of a whole message. Raises ValueError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = chr(data[0])
        self.position = 0

    def align(self, size: int) -> None:
        self.position += -self.position % size

    def take(self, kind: str, depth: int = 0) -> object:
        if depth > _MAX_DEPTH:
            raise ValueError("a message that nests too deep")
        self.align(_alignment(kind))
        code = kind[0]
        if code in _NUMBERS:
            return self._number(code)
        if code in "bh":
            number = self._number("u")
            return bool(number) if code == "b" else number
        if code in "sog":
            size = int(self._number("y" if code == "g" else "u"))
            return self._bytes(size + 1)[:-1].decode()
        if code == "v":
            signature = str(self.take("g"))
            if len(types(signature)) != 1:
                raise ValueError(f"a variant of {signature!r}")
            return Variant(signature, self.take(signature, depth + 1))
        if code == "a":
            return self._array(kind[1:], depth)
        return tuple(self.take(member, depth + 1) for member in types(kind[1:-1]))

    def _bytes(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise ValueError("a message that ends too early")
        part = self.data[self.position : end]
        self.position = end
        return part

    def _number(self, code: str) -> int | float:
        layout = _STRUCTS[self.order, code]
        (value,) = layout.unpack(self._bytes(layout.size))
        number: int | float = value
        return number

    def _array(self, kind: str, depth: int) -> list[object]:
        size = int(self._number("u"))
        self.align(_alignment(kind))
        end = self.position + size
        if end > len(self.data):
            raise ValueError("an array that ends too late")
        found = []
        while self.position < end:
            found.append(self.take(kind, depth + 1))
        return found
