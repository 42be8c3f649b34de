# SPDX-License-Identifier: Apache-2.0
"""--volume and --mount."""

from __future__ import annotations

import os

from runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orlop.types import Mount

#: Docker's names for the parts, and ours
_PARTS = {
    "source": "source", "src": "source", "type": "type",
    "destination": "destination", "dst": "destination", "target": "destination",
}  # fmt: skip


def volume(text: str) -> Mount:
    """`SOURCE:PATH[:ro]`: a bind mount. Raises UsageError."""
    source, _, rest = text.partition(":")
    destination, _, mode = rest.partition(":")
    if not source or not destination or mode not in ("", "ro", "rw"):
        raise UsageError(f"invalid value {text!r} of --volume: SOURCE:PATH, or SOURCE:PATH:ro")
    words = ["rbind", *(["ro"] if mode == "ro" else [])]
    return {"source": os.path.abspath(source), "destination": destination, "options": words}


def mount(text: str) -> Mount:
    """`type=tmpfs,destination=/tmp,option=size=1m,readonly`. Raises UsageError."""
    parts: dict[str, str] = {}
    words: list[str] = []
    for part in text.split(","):
        name, _, value = part.partition("=")
        if part in ("readonly", "ro"):
            words.append("ro")
        elif name in _PARTS and value:
            parts[_PARTS[name]] = value
        elif name == "option" and value:
            words.append(value)
        else:
            raise UsageError(
                f"--mount: {part!r} in {text!r}: type=, source=, destination=, option= or readonly"
            )
    if "destination" not in parts:
        raise UsageError(f"--mount: {text!r} has no destination=")
    made: Mount = {"destination": parts["destination"]}
    if "type" in parts:
        made["type"] = parts["type"]
    is_bind = parts.get("type", "bind") == "bind"
    if "source" in parts:
        made["source"] = os.path.abspath(parts["source"]) if is_bind else parts["source"]
    if is_bind:
        words.insert(0, "rbind")
    if words:
        made["options"] = words
    return made
