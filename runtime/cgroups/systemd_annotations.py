# SPDX-License-Identifier: Apache-2.0
"""Annotations `org.systemd.property.NAME`: further properties of the unit, in GVariant's text form.

A property can make systemd do what the container's own user may not: so these annotations count
only where the caller of the runtime allows them (--allow-annotation), whoever wrote config.json.
The form (GLib, "GVariant Text Format") is what runc takes; of its types: numbers, booleans,
strings, arrays and tuples, with their prefixes (`uint64 5`, `@as []`).
"""

from __future__ import annotations

from runtime.cgroups.dbus_wire import Variant, pack_call, types
from runtime.cgroups.resources_v1 import escaped
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "org.systemd.property."

_KEYWORDS = {
    "boolean": "b",
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
    "double": "d",
    "string": "s",
    "objectpath": "o",
    "signature": "g",
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_INTEGERS = "ynqiuxt"
_MICROSECONDS = 1_000_000
_SHORTEST = 3
_MAX_DEPTH = 16


def properties(annotations: Mapping[str, str]) -> dict[str, Variant]:
    """Return the properties that annotations ask for. Raises OrlopError with their pointer.

    NAME with `Sec` at its end takes seconds and is `…USec` for systemd, as in unit files.
    """
    found = {}
    for key, text in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name = key[len(PREFIX) :]
        where = pointer(name)
        if len(name) < _SHORTEST or not (name.isascii() and name.isalpha()):
            raise OrlopError(f"{name!r} can't be the name of a property", pointer=where)
        try:
            value = parse(text)
            if name.endswith("Sec") and name[-4:-3].islower():
                name, value = f"{name[:-3]}USec", _microseconds(value)
            pack_call(1, {}, "v", [value])
        except ValueError as error:
            raise OrlopError(f"{text!r}: {error}", pointer=where, hint=_HINT) from error
        found[name] = value
    return found


_HINT = "GVariant's text form: uint64 5, true, 'text', ['a', 'b']"


def pointer(name: str) -> str:
    """Return the JSON pointer of a property's annotation."""
    return f"/annotations/{escaped(PREFIX + name)}"


def _microseconds(value: Variant) -> Variant:
    number = value.value
    if value.signature == "b" or not isinstance(number, (int, float)) or number < 0:
        raise ValueError("not a number of seconds")
    return Variant("t", int(number * _MICROSECONDS))


def parse(text: str) -> Variant:
    """Return the value that GVariant's text form describes. Raises ValueError."""
    parser = _Parser(text)
    value = parser.value("", 0)
    parser.skip_space()
    if parser.position != len(text):
        raise ValueError(f"unexpected {text[parser.position :]!r}")
    return value


class _Parser:
    """A recursive descent; `kind` is the type that the place asks for, "" for any."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip_space(self) -> None:
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1

    def _peek(self) -> str:
        self.skip_space()
        return self.text[self.position : self.position + 1]

    def value(self, kind: str, depth: int) -> Variant:
        first = self._peek()
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deep")
        if first == "@":
            self.position += 1
            given = self._word()
            if len(types(given)) != 1:
                raise ValueError(f"{given!r} is not one type")
            return self.value(given, depth + 1)
        if first == "[":
            return self._array(kind, depth)
        if first == "(":
            return self._tuple(kind, depth)
        if first and first in "'\"":
            return Variant(_one_of(kind, "sog"), self._string(first))
        word = self._word()
        if word in _KEYWORDS:
            return self.value(_KEYWORDS[word], depth + 1)
        if word in ("true", "false"):
            return Variant(_one_of(kind, "b"), word == "true")
        return _number(word, kind)

    def _word(self) -> str:
        """Up to a separator; a type after @ has parentheses, which must be in balance."""
        start = self.position
        depth = 0
        while self.position < len(self.text):
            character = self.text[self.position]
            depth += (character == "(") - (character == ")")
            if character.isspace() or character in ",[]" or depth < 0:
                break
            self.position += 1
        if start == self.position:
            raise ValueError("a value is missing")
        return self.text[start : self.position]

    def _string(self, quote: str) -> str:
        self.position += 1
        found = []
        while (character := self.text[self.position : self.position + 1]) != quote:
            if not character:
                raise ValueError("a string that does not end")
            self.position += 1
            found.append(self._escape() if character == "\\" else character)
        self.position += 1
        return "".join(found)

    def _escape(self) -> str:
        code = self.text[self.position : self.position + 1]
        self.position += 1
        size = {"u": 4, "U": 8}.get(code)
        if size is None:
            return _ESCAPES.get(code, code)
        digits = self.text[self.position : self.position + size]
        self.position += size
        if len(digits) < size:
            raise ValueError("a string that does not end")
        return chr(int(digits, 16))

    def _items(self, end: str, kinds: list[str], depth: int) -> list[Variant]:
        """Values up to `end`; the last of `kinds` stands for all that follow."""
        self.position += 1
        found: list[Variant] = []
        while self._peek() != end:
            kind = kinds[min(len(found), len(kinds) - 1)] if kinds else ""
            found.append(self.value(kind, depth + 1))
            if self._peek() == ",":
                self.position += 1
            elif self._peek() != end:
                raise ValueError(f"{end!r} is missing")
        self.position += 1
        return found

    def _array(self, kind: str, depth: int) -> Variant:
        element = _one_of(kind, "a", whole=True)[1:] if kind else ""
        items = self._items("]", [element], depth)
        if not items and not element:
            raise ValueError("an empty array needs its type, as in @as []")
        element = element or items[0].signature
        if any(item.signature != element for item in items):
            raise ValueError("the elements of an array must be of one type")
        return Variant(f"a{element}", [item.value for item in items])

    def _tuple(self, kind: str, depth: int) -> Variant:
        kinds = types(_one_of(kind, "(", whole=True)[1:-1]) if kind else []
        items = self._items(")", kinds, depth)
        if not items or (kinds and len(items) != len(kinds)):
            raise ValueError("a tuple of another length")
        signature = "".join(item.signature for item in items)
        return Variant(f"({signature})", tuple(item.value for item in items))


def _one_of(kind: str, codes: str, *, whole: bool = False) -> str:
    """The type that is asked for, or without one the usual; ValueError where it is another."""
    if not kind:
        return codes[0]
    if kind[0] not in codes or (len(kind) > 1 and not whole):
        raise ValueError(f"a value of type {codes[0]!r} where {kind!r} belongs")
    return kind


def _number(word: str, kind: str) -> Variant:
    try:
        if kind == "d" or (not kind and any(mark in word for mark in ".eE") and "x" not in word):
            return Variant("d", float(word))
        digits = word.lstrip("+-")
        number = int(word, 8 if digits.startswith("0") and digits.isdecimal() else 0)
    except ValueError:
        raise ValueError(f"{word!r} is not a value") from None
    return Variant(_one_of(kind, "i" + _INTEGERS), number)
