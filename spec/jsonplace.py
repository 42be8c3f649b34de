# SPDX-License-Identifier: Apache-2.0
"""Find the place of a value in a JSON text, so that a message can name the line of config.json.

Only for error paths: it parses the text again, and imports `json`. The text must be valid JSON.
"""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]

_DECODER = json.JSONDecoder()
_BLANK = " \t\n\r"


def offset_of(text: str, pointer: str) -> int:
    """Return the offset of the value that a JSON pointer (RFC 6901) names, or of one around it."""
    offset = _skip(text, 0)
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        inner = _child(text, offset, name)
        if inner is None:
            break
        offset = inner
    return offset


def _child(text: str, offset: int, name: str) -> int | None:
    """Return the offset of the part called `name` of the object or array at `offset`, or None."""
    if text[offset] == "{":
        return _member(text, offset, name)
    if text[offset] == "[" and name.isdecimal():
        return _element(text, offset, int(name))
    return None


def _member(text: str, offset: int, name: str) -> int | None:
    """Return the offset of the member's value.

    Of duplicates the last, which is the one that counts.
    """
    found = None
    offset = _skip(text, offset + 1)
    while text[offset] != "}":
        key, offset = scanstring(text, offset + 1)
        offset = _skip(text, _skip(text, offset) + 1)  # past the colon
        if key == name:
            found = offset
        offset = _after(text, offset)
    return found


def _element(text: str, offset: int, index: int) -> int | None:
    """Return the offset of an array's element, or None when the array is shorter."""
    offset = _skip(text, offset + 1)
    while text[offset] != "]":
        if index == 0:
            return offset
        index -= 1
        offset = _after(text, offset)
    return None


def _after(text: str, offset: int) -> int:
    """Return the offset of what follows the value at `offset` and its comma."""
    offset = _skip(text, _DECODER.raw_decode(text, offset)[1])
    return _skip(text, offset + 1) if text[offset] == "," else offset


def _skip(text: str, offset: int) -> int:
    """Return the offset of the first character from `offset` on that isn't blank."""
    while text[offset : offset + 1] in _BLANK and offset < len(text):
        offset += 1
    return offset
