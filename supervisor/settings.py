# SPDX-License-Identifier: Apache-2.0
"""What can be set: each setting's key in orlopd.toml, default, allowed values and meaning.

One table: the file is checked against it, and the sample file, the man page and the flags' help are
made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | int | float | bool
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("auto", "text", "json")
POLICIES = ("no", "on-failure", "always")

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_OFF = False
_COUNT = {"type": "integer", "minimum": 0}
_SOME = {"type": "integer", "minimum": 1}
_SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 86400}


class Setting:
    """One of them. key: `table.name` or `name`; schema: JSON Schema; flag: orlopd has it as one."""

    __slots__ = ("default", "flag", "key", "meaning", "schema")

    def __init__(
        self,
        key: str,
        default: Value,
        schema: Mapping[str, Any],
        meaning: str,
        *,
        flag: bool = False,
    ) -> None:
        self.key = key
        self.default = default
        self.schema = schema
        self.meaning = meaning
        self.flag = flag


def choice(values: tuple[str, ...]) -> Mapping[str, Any]:
    """The schema of one word of some."""
    return {"enum": list(values)}


SETTINGS = (
    Setting("root", "", _TEXT, "its directory; empty: /run/orlopd, or orlopd in the user's runtime "
            "directory", flag=True),
    Setting("group", "", _TEXT, "whose members may connect, too: they may do what root may",
            flag=True),
    Setting("log.level", "info", choice(LEVELS), "how much goes to stderr", flag=True),
    Setting("log.format", "auto", choice(FORMATS), "json: an object per line; text: for people; "
            "auto: text on a terminal", flag=True),
    Setting("metrics.socket", "", _TEXT, "path of a second socket that serves GET /metrics to "
            "Prometheus; empty: none", flag=True),
    Setting("metrics.containers", _OFF, _FLAG, "CPU, memory and pids of each container, too"),
    Setting("output.max-size", 64 << 20, _COUNT, "bytes of a container's output in one file; "
            "0: without a limit"),
    Setting("output.max-files", 2, _SOME, "files of a container's output, with the one written"),
    Setting("events.kept", 10_000, _SOME, "the newest events, for events.subscribe with since"),
    Setting("limits.connections", 1024, _SOME, "clients at a time"),
    Setting("limits.containers", 10_000, _SOME, "containers, those that have ended included"),
    Setting("restart.policy", "no", choice(POLICIES), "of a container created without one"),
    Setting("restart.delay", 0.1, _SECONDS, "seconds before the first restart; each doubles it"),
    Setting("restart.longest", 60, _SECONDS, "seconds before a restart at most"),
    Setting("restart.reset", 10, _SECONDS, "seconds of running after which the delay is the first "
            "again, and the count 0"),
    Setting("health.interval", 30, _SECONDS, "seconds between the end of a probe and the next"),
    Setting("health.timeout", 30, _SECONDS, "seconds that a probe may take"),
    Setting("health.retries", 3, _SOME, "failures in a row that make a container unhealthy"),
    Setting("health.start-period", 0, {"type": "number", "minimum": 0, "maximum": 86400},
            "seconds from the start in which failures do not count"),
    Setting("planner.run", _OFF, _FLAG, "keep `orlop planner` running, which makes `orlop` fast"),
    Setting("planner.socket", "", _TEXT, "where it listens; empty: where `orlop` looks for it"),
)  # fmt: skip
BY_KEY = {setting.key: setting for setting in SETTINGS}


def allowed(setting: Setting) -> str:
    """The values that a setting can have, in words."""
    schema = setting.schema
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    words = {"string": "a string", "boolean": "true or false", "integer": "an integer",
             "number": "a number"}[schema["type"]]  # fmt: skip
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        words += f" from {least}"
    elif "exclusiveMinimum" in schema:
        words += " above 0"
    return f"{words} to {most}" if most is not None else words
