# SPDX-License-Identifier: Apache-2.0
"""JSON (RFC 8259) without the module `json`, which imports `re` and costs 9 ms of a start of 12.

The parser is the standard library's own C scanner, `_json`, used directly; `json` is the fallback
where an interpreter lacks it. Texts are laid out as Go's encoding/json does, because the readers of
such files expect it.

Deliberately stricter than `json`: no byte order mark, no NaN or Infinity, no lone surrogates (they
can't become UTF-8, and PEP 383 would turn them into other bytes). Of duplicate members the last
counts, as in Go. Integers are exact.
"""

from __future__ import annotations

from spec.errors import InvalidSpec

try:
    from _json import encode_basestring, make_encoder, make_scanner
except ImportError:  # not CPython, or built without its accelerators
    make_scanner = make_encoder = None  # type: ignore[assignment, misc]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BLANK = " \t\n\r"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


class _Settings:
    """What the scanner asks for: the attributes of a json.JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)


_SETTINGS = _Settings()


def decode(data: bytes, name: str = "") -> str:
    """Return the text of a JSON file's bytes.

    Raises InvalidSpec unless they are UTF-8 without a byte order mark.

    name: the file's name for the message.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        _fail(name, "", 0, "begins with a byte order mark, which JSON doesn't have (RFC 8259, 8.1)")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        _fail(name, before, len(before), f"byte 0x{data[error.start]:02x} isn't UTF-8")


def loads(text: str, *, name: str = "", lone_surrogates: bool = False) -> object:
    """Return the value of a JSON text: dict, list, str, int, float, bool or None.

    name: the file's name for the message. lone_surrogates: accept them, for files that `dumps`
    wrote of paths that aren't UTF-8 (PEP 383). Raises InvalidSpec, `NAME: line L column C: why`.
    """
    try:
        start = len(text) - len(text.lstrip(_BLANK))
        value, end = _scan(text, start)
        complete = not text[end:].strip(_BLANK)
    # SystemError: before 3.13 the scanner fails without an exception until json.decoder is imported
    except (StopIteration, ValueError, RecursionError, SystemError):
        complete = False
    if not complete:
        from spec.jsonfault import find_fault

        _fail(name, text, *find_fault(text))
    if not lone_surrogates and ("\\ud" in text or "\\uD" in text) and _has_surrogates(value):
        from spec.jsonfault import find_surrogate

        _fail(name, text, *find_surrogate(text))
    return value


def dumps(value: object, indent: int = 0) -> str:
    """Return a JSON text with the members in the dictionary's order, and no newline at its end.

    indent: spaces per level, with the layout of Go's json.MarshalIndent; 0 gives the compact form.
    Lone surrogates are escaped, everything else outside ASCII is not. A member's name that is a
    number becomes its text, as `json` has it. Raises TypeError for what
    JSON has no form for, ValueError for NaN, the infinities, and what is nested too deeply (or in
    itself).
    """
    if not indent and make_encoder is not None:
        try:
            text = _dumps_compact(value)
            text.encode()
        except (ValueError, RecursionError):
            pass  # a lone surrogate; or what has no form, and is told of below
        else:
            return text
    parts: list[str] = []
    try:
        _write(value, parts, "\n" if indent else "", " " * indent, ": " if indent else ":")
    except RecursionError:
        raise ValueError("nested too deeply for JSON") from None
    return "".join(parts)


def _dumps_compact(value: object) -> str:
    """The compact form, by the standard library's own C encoder; lone surrogates stay in it."""
    sort, skip, allow_nan = False, False, False
    encode = make_encoder({}, _refuse, encode_basestring, None, ":", ",", sort, skip, allow_nan)
    return "".join(encode(value, 0))


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"JSON has no form for a {type(value).__name__}")


def quote(value: str) -> str:
    """Return a string as JSON, with lone surrogates escaped: the text can always be encoded."""
    if make_scanner is None:
        import json

        quoted = json.dumps(value, ensure_ascii=False)
    else:
        quoted = encode_basestring(value)
    if value.isascii():
        return quoted
    try:
        quoted.encode()
    except UnicodeEncodeError:
        return "".join(
            f"\\u{ord(character):04x}" if "\ud800" <= character <= "\udfff" else character
            for character in quoted
        )
    return quoted


def locate(text: str, pointer: str) -> tuple[int, int]:
    """Return line and column, from 1, of the value that a JSON pointer (RFC 6901) names.

    text: valid JSON. A pointer to what isn't there gives the nearest value around it. For messages
    only: slow, and imports `json`.
    """
    from spec.jsonplace import offset_of

    return _line_column(text, offset_of(text, pointer))


def _scan(text: str, start: int) -> tuple[object, int]:
    """Return the value that begins at `start`, and where it ends."""
    if make_scanner is None:
        import json

        return json.JSONDecoder(parse_constant=_refuse_constant).raw_decode(text, start)
    result: tuple[object, int] = make_scanner(_SETTINGS)(text, start)  # type: ignore[arg-type]
    return result


def _write(value: object, parts: list[str], newline: str, step: str, colon: str) -> None:
    """Append the text of `value`; `newline` begins a line at the current depth."""
    inner = newline + step
    if isinstance(value, dict):
        separator = "{" + inner
        for name, member in value.items():
            parts.append(
                separator + quote(name if isinstance(name, str) else _scalar(name)) + colon
            )
            _write(member, parts, inner, step, colon)
            separator = "," + inner
        parts.append(newline + "}" if value else "{}")
    elif isinstance(value, list | tuple):
        separator = "[" + inner
        for item in value:
            parts.append(separator)
            _write(item, parts, inner, step, colon)
            separator = "," + inner
        parts.append(newline + "]" if value else "[]")
    else:
        parts.append(_scalar(value))


def _scalar(value: object) -> str:
    """Return the text of a value without parts."""
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if value - value != 0:  # an infinity, or NaN
            raise ValueError(f"JSON has no number for {value}")
        return float.__repr__(value)
    raise TypeError(f"JSON has no form for a {type(value).__name__}")


def _has_surrogates(value: object) -> bool:
    """Tell whether a string of the value can't be encoded as UTF-8."""
    try:
        _encode_all(value)
    except UnicodeEncodeError:
        return True
    return False


def _encode_all(value: object) -> None:
    """Encode every string of the value; raises UnicodeEncodeError.

    A loop, since the value may be deep.
    """
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str):
            item.encode()


def _line_column(text: str, offset: int) -> tuple[int, int]:
    """Return the line and the column of an offset, both from 1; columns count characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _fail(name: str, text: str, offset: int, why: str) -> NoReturn:
    """Raise InvalidSpec for a place of a text."""
    line, column = _line_column(text, offset)
    prefix = f"{name}: " if name else ""
    raise InvalidSpec(f"{prefix}line {line} column {column}: {why}") from None
