# SPDX-License-Identifier: Apache-2.0
"""What a creator says about restarts and health checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.api.schemas import WORDS
from supervisor.settings import BY_KEY, POLICIES

if TYPE_CHECKING:
    from supervisor.method import Schema


def _time(key: str) -> Schema:
    return dict(BY_KEY[key].schema)


PARAMETERS: dict[str, Schema] = {
    "restart": {
        "type": "object",
        "properties": {
            "policy": {"enum": list(POLICIES)},
            "maximum": {"type": "integer", "minimum": 0},
        },
        "required": ["policy"],
        "additionalProperties": False,
        "description": "policy: no, on-failure (maximum times) or always, unless it was ended",
    },
    "health": {
        "type": "object",
        "properties": {
            "args": WORDS,
            "interval": _time("health.interval"),
            "timeout": _time("health.timeout"),
            "retries": dict(BY_KEY["health.retries"].schema),
            "startPeriod": _time("health.start-period"),
        },
        "required": ["args"],
        "additionalProperties": False,
        "description": "args: a program that exits with 0 where all is well; times in seconds",
    },
}
