# SPDX-License-Identifier: Apache-2.0
"""Durations as Go writes them: `1h15m30.5s` (time.ParseDuration)."""

from __future__ import annotations

from runtime.errors import UsageError

_UNITS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,  # U+03BC, which Go takes as well as U+00B5
    "ns": 1,
}
_MAX = (1 << 63) - 1
_NUMBER = frozenset("0123456789.")


def parse(text: str, flag: str) -> float:
    """Seconds, 0 or more. flag: whose value it is, for the message. Raises UsageError."""
    rest, total = text.removeprefix("+"), 0
    while True:
        end = next((i for i, letter in enumerate(rest) if letter not in _NUMBER), len(rest))
        number, rest = rest[:end], rest[end:]
        end = next((i for i, letter in enumerate(rest) if letter in _NUMBER), len(rest))
        unit, rest = rest[:end], rest[end:]
        whole, _, fraction = number.partition(".")
        if unit not in _UNITS or not (whole + fraction).isdecimal():
            raise UsageError(f"invalid value {text!r} of --{flag}: a duration, such as 1m30s or 5s")
        scale: int = 10 ** len(fraction)
        total += int(whole + fraction) * _UNITS[unit] // scale
        if not rest:
            break
    if total > _MAX:
        raise UsageError(f"invalid value {text!r} of --{flag}: a duration of at most 292 years")
    return total / 1_000_000_000
