# SPDX-License-Identifier: Apache-2.0
"""Numbers with units, as people write them."""

from __future__ import annotations

from runtime.errors import UsageError

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DIGITS = 18


def size(text: str, flag: str) -> int:
    """Bytes of `64m`, `1.5g`, `4096`; -1 for no limit. Raises UsageError."""
    if text == "-1":
        return -1
    number = text.lower().removesuffix("ib").removesuffix("b").rstrip("kmgt")
    unit = text.lower()[len(number) :].removesuffix("ib").removesuffix("b")
    if unit not in _UNITS or not _is_decimal(number):
        raise UsageError(f"invalid value {text!r} of --{flag}: a size, such as 64m or 1g")
    return int(float(number) * _UNITS[unit])


def decimal(text: str, flag: str) -> float:
    """A number such as 1.5. Raises UsageError."""
    if not _is_decimal(text):
        raise UsageError(f"invalid value {text!r} of --{flag}: a number, such as 1.5")
    return float(text)


def whole(text: str, flag: str) -> int:
    """A number such as 100, or -1. Raises UsageError."""
    if text != "-1" and not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise UsageError(f"invalid value {text!r} of --{flag}: a number")
    return int(text)


def seconds(text: str, flag: str) -> float:
    """Seconds of `30`, `1.5`, `1m30s`. Raises UsageError."""
    if _is_decimal(text):
        return float(text)
    from runtime import duration

    return duration.parse(text, flag)


def _is_decimal(text: str) -> bool:
    return text.isascii() and len(text) <= _DIGITS and text.replace(".", "", 1).isdecimal()
