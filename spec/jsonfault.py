# SPDX-License-Identifier: Apache-2.0
"""Say what is wrong with a text that isn't JSON, and where.

Only for error paths, it imports `json`.
"""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BLANK = " \t\n\r"


class _Constant(Exception):
    """The text has NaN or an infinity, which `json` would accept."""


def find_fault(text: str) -> tuple[int, str]:
    """Return the offset and the reason why a text isn't JSON, or can't be read here."""
    if not text.strip(_BLANK):
        return len(text), "empty, expected a JSON value"
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        why = error.msg.removesuffix(" at").removesuffix(" starting")
        why = "more text after the value" if why == "Extra data" else why
        return error.pos, why[:1].lower() + why[1:]
    except _Constant as constant:
        word = str(constant)
        return _find_outside_strings(text, word), f"{word} isn't JSON"
    except RecursionError:
        return _deepest(text), "nested too deeply"
    except ValueError:  # int() refuses more than 4300 digits: sys.set_int_max_str_digits
        return _skip(text), "a number has too many digits"
    return find_surrogate(text)


def find_surrogate(text: str) -> tuple[int, str]:
    """Return the offset and the reason for the first lone surrogate that a valid text escapes."""
    position = 0
    while (position := text.find('"', position)) >= 0:
        start = position
        value, position = scanstring(text, start + 1)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            escape = f"\\u{ord(value[error.start]):04x}"
            offset = text.lower().find(escape, start, position)
            return max(offset, start), f"lone surrogate {escape} in a string"
    return _skip(text), "not accepted"


def _refuse_constant(name: str) -> NoReturn:
    raise _Constant(name)


def _find_outside_strings(text: str, word: str) -> int:
    """Return the offset of the first `word` of a text that isn't within a string, or 0."""
    position = 0
    while position < len(text) and not text.startswith(word, position):
        position = scanstring(text, position + 1)[1] if text[position] == '"' else position + 1
    return position if position < len(text) else 0


def _deepest(text: str) -> int:
    """Return the offset of the bracket where a text is nested most deeply, roughly.

    Those in strings count.
    """
    depth = most = place = 0
    for position, character in enumerate(text):
        if character in "[{":
            depth += 1
            if depth > most:
                most, place = depth, position
        elif character in "]}":
            depth -= 1
    return place


def _skip(text: str) -> int:
    """Return the offset of the first character that isn't blank."""
    return len(text) - len(text.lstrip(_BLANK))
