# SPDX-License-Identifier: Apache-2.0
"""orlopd.toml: read and checked; a refusal has the file, line and key, and what may be."""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, NoReturn

from jsonschema import Draft202012Validator

from spec.errors import OrlopError
from supervisor.settings import BY_KEY, SETTINGS, allowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from supervisor.settings import Value

FILE = "orlop/orlopd.toml"
_TABLE = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"""\s*["']?([\w.-]+)["']?\s*=""")


class Configuration:
    """Every setting's value: of a flag, of the file, or the default."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = {setting.key: setting.default for setting in SETTINGS} | dict(values)
        if not self._values["root"]:
            self._values["root"] = default_root()

    def text(self, key: str) -> str:
        """A setting that is a string."""
        return str(self._values[key])

    def whole(self, key: str) -> int:
        """A setting that is an integer."""
        return int(self._values[key])

    def seconds(self, key: str) -> float:
        """A setting that is a time."""
        return float(self._values[key])

    def flag(self, key: str) -> bool:
        """A setting that is true or false."""
        return bool(self._values[key])


def load(path: str, flags: Mapping[str, Value]) -> Configuration:
    """The configuration of a file, "" for the usual one if it is there. Raises OrlopError.

    flags: values by key that go before those of the file.
    """
    return Configuration({**_read(path or default_file(), must_exist=bool(path)), **flags})


def default_root() -> str:
    """/run/orlopd, or the user's runtime directory's."""
    base = os.environ.get("XDG_RUNTIME_DIR", "") if os.geteuid() else ""
    return os.path.join(base or "/run", "orlopd")


def default_file() -> str:
    """/etc/orlop/orlopd.toml, or the user's."""
    if os.geteuid() == 0:
        return os.path.join("/etc", FILE)
    home = os.environ.get("XDG_CONFIG_HOME", "") or os.path.expanduser("~/.config")
    return os.path.join(home, FILE)


def _read(path: str, *, must_exist: bool) -> dict[str, Value]:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        if not must_exist:
            return {}
        raise OrlopError(f"{path}: there is no such file") from None
    except OSError as error:
        raise OrlopError(f"{path}: {error.strerror}") from error
    try:
        text = content.decode()
        found = tomllib.loads(text)
    except ValueError as error:
        raise OrlopError(f"{path}: is no TOML: {error}") from error
    values = dict(_flat(found))
    for key, value in values.items():
        _check(path, text, key, value)
    return values


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in table.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and key not in BY_KEY:
            if not any(known.startswith(f"{key}.") for known in BY_KEY):
                yield key, ""  # nothing below it can be known
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _check(path: str, text: str, key: str, value: Value) -> None:
    setting = BY_KEY.get(key)
    if setting is None:
        table = key.rpartition(".")[0]
        near = [name for name in BY_KEY if name.rpartition(".")[0] == table] or list(BY_KEY)
        _refuse(path, text, key, "there is no such setting", f"there are {', '.join(near)}")
    if next(Draft202012Validator(setting.schema).iter_errors(value), None) is not None:
        shown = "true" if value is True else "false" if value is False else repr(value)
        _refuse(path, text, key, f"found {shown}", f"it is {allowed(setting)}")


def _refuse(path: str, text: str, key: str, what: str, hint: str) -> NoReturn:
    line = _line(text, key)
    place = f"{path}:{line}" if line else path
    raise OrlopError(f"{place}: {key}: {what}", hint=hint)


def _line(text: str, key: str) -> int:
    """The line where a key is set, or 0: written in a way that isn't looked for."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := _TABLE.match(line):
            table = f"{head[1]}."
            if head[1] == key:
                return number
        elif (found := _KEY.match(line)) and f"{table}{found[1]}" == key:
            return number
    return 0
