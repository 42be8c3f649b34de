# SPDX-License-Identifier: Apache-2.0
"""How messages show a value of a document: short, on one line, and without what may be secret."""

from __future__ import annotations

from spec.jsontext import dumps

_SHOWN = 60
"""The longest value that a message shows, in characters."""


def shown(value: object) -> str:
    """Return a value without parts as JSON, shortened."""
    text = dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def described(value: object, pointer: str = "") -> str:
    """Return a value and its type, `5 (number)`.

    Containers, and the values of environments, by type alone.

    An environment often holds secrets, and messages end in logs.
    """
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}" if value else "an empty array"
    if value is None:
        return "null"
    kind = (
        "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
    )
    return f"a {kind}" if "env" in pointer.split("/") else f"{shown(value)} ({kind})"


def pointer_step(name: str) -> str:
    """Return a member's name as a step of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
