# SPDX-License-Identifier: Apache-2.0
"""Command-line flags, as runc's users and engines write them.

`--name=value`, `--name value`, `-n value`, `-name` with a single dash. Flags may stand behind a
command's ID, but for `exec` and `ps`: all behind theirs is another program's own. argparse would
cost a start 5 ms, and has other words for a missing value than those that Podman looks for.
"""

from __future__ import annotations

from runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BOOL, VALUE, LIST, COUNT = "bool", "value", "list", "count"
_TRUE = frozenset({"true", "1", "t", "T", "TRUE", "True"})
_DIGITS = 9  # more than any count that makes sense, and well inside an int
_FALSE = frozenset({"false", "0", "f", "F", "FALSE", "False"})


class Flag:
    """One flag. kind: BOOL, VALUE (a text), LIST (repeatable), COUNT (a number, not negative).

    choices: the only values that a VALUE may have; () for any.
    """

    __slots__ = ("choices", "help", "hidden", "kind", "metavar", "name", "short")

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - what it is
        kind: str = BOOL,
        *,
        short: str = "",
        metavar: str = "",
        hidden: bool = False,
        choices: Sequence[str] = (),
    ) -> None:
        self.choices = choices
        self.name = name
        self.help = help
        self.kind = kind
        self.short = short
        self.metavar = metavar or ("N" if kind == COUNT else "VALUE")
        self.hidden = hidden


#: Of each command that starts a process; runtime.cli heeds it for them.
TIMELINE = Flag(
    "timeline",
    "write where the time of the start went to FILE: a trace for Perfetto, or a picture (*.svg)",
    VALUE,
    metavar="FILE",
)


class Options:
    """Values by flag name, with the kind's empty value where a flag was not given."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def flag(self, name: str) -> bool:
        """Whether a BOOL flag is set."""
        return bool(self._values.get(name))

    def text(self, name: str, default: str = "") -> str:
        """Value of a VALUE flag."""
        return str(self._values.get(name, default))

    def texts(self, name: str) -> list[str]:
        """Values of a LIST flag."""
        value = self._values.get(name)
        return list(value) if isinstance(value, list) else []

    def number(self, name: str) -> int:
        """Value of a COUNT flag."""
        return int(str(self._values.get(name, 0)))

    def given(self, name: str) -> bool:
        """Whether the flag was on the command line."""
        return name in self._values


def parse(
    flags: Sequence[Flag], words: Sequence[str], *, anywhere: bool = False
) -> tuple[Options, list[str]]:
    """Values of the flags, and the other words. Raises UsageError.

    anywhere: also flags behind a word that is none, up to "--"; what looks like one and is not
    known is a word there, as it is for runc ("kill ID -9").
    """
    known = {flag.name: flag for flag in flags}
    known.update({flag.short: flag for flag in flags if flag.short})
    values: dict[str, object] = {}
    arguments: list[str] = []
    rest = list(words)
    while rest and (anywhere or not arguments):
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        flag = known.get(name) if word.startswith("-") else None
        if flag is None:
            if word.startswith("-") and word != "-" and not arguments:
                raise UsageError(f"flag provided but not defined: {word.partition('=')[0]}")
            arguments.append(word)
            continue
        if flag.kind == BOOL:
            values[flag.name] = boolean(word.partition("=")[0], value) if equals else True
            continue
        if not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: {word}")
            value = rest.pop(0)
        _store(values, flag, word, value)
    return Options(values), arguments + rest


def boolean(flag: str, value: str) -> bool:
    """A switch's value, in Go's words for it. Raises UsageError."""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise UsageError(f"invalid value {value!r} of {flag}: true or false")


def _store(values: dict[str, object], flag: Flag, word: str, value: str) -> None:
    if flag.kind == COUNT:
        if not (value.isascii() and value.isdecimal()) or len(value) > _DIGITS:
            raise UsageError(f"invalid value {value!r} of {word.partition('=')[0]}: a number")
        values[flag.name] = int(value)
    elif flag.kind == LIST:
        values.setdefault(flag.name, []).append(value)  # type: ignore[attr-defined]
    elif flag.choices and not value:
        values.pop(flag.name, None)  # an engine without an opinion: the default
    elif flag.choices and value not in flag.choices:
        allowed = f"{', '.join(flag.choices[:-1])} or {flag.choices[-1]}"
        raise UsageError(f"invalid value {value!r} of {word.partition('=')[0]}: {allowed}")
    else:
        values[flag.name] = value
