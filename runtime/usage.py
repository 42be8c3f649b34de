# SPDX-License-Identifier: Apache-2.0
"""`--help`: what a command is for, its flags, examples and exit status, for a terminal."""

from __future__ import annotations

import textwrap

from runtime import options
from runtime.surface import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime.options import Flag
    from runtime.surface import Command, Program

_WIDTH = 80
_COLUMN = 28  # where explanations begin; a longer name has a line of its own


def of_program(program: Program) -> str:
    """`PROGRAM --help`."""
    name = program.name
    lines = "\n".join(f"  {command.verb:<10} {command.what}" for command in program.commands)
    return "\n\n".join(
        [
            f"usage: {name} [flags] COMMAND [flags] [arguments]",
            textwrap.fill(program.text, _WIDTH),
            f"commands (`{name} COMMAND --help` tells more of each):\n{lines}",
            f"flags:\n{describe(program.flags)}",
            _examples(program.examples),
            f"files:\n{_table(program.files)}",
            f"exit status:\n{_table(program.status)}\n",
        ]
    )


def of_command(command: Command) -> str:
    """`PROGRAM VERB --help`."""
    name = command.program
    first, *more = command.forms
    usage = [f"usage: {name} {first}", *(f"       {name} {form}" for form in more)]
    parts = ["\n".join(usage)]
    parts += [textwrap.fill(part, _WIDTH) for part in command.paragraphs]
    parts.append(f"flags:\n{describe(command.flags)}")
    if command.examples:
        parts.append(_examples(command.examples))
    parts.append(f"exit status:\n{_table(command.status)}")
    parts.append(f"`{name} --help` has the flags that stand before the command, as --root.\n")
    return "\n\n".join(parts)


def name(flag: Flag) -> str:
    """A flag as it is written: `--log, -l FILE`."""
    words = f"--{flag.name}" + (f", -{flag.short}" if flag.short else "")
    return words if flag.kind == options.BOOL else f"{words} {flag.metavar}"


def describe(flags: Sequence[Flag]) -> str:
    """The flags that are not hidden, each with what it does."""
    return _table((name(flag), flag.help) for flag in shown(flags))


def _examples(examples: Iterable[tuple[str, str]]) -> str:
    lines = "\n".join(f"  {command}\n      {what}" for command, what in examples)
    return f"examples:\n{lines}"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = []
    for left, right in rows:
        first = f"  {left}"
        if len(first) >= _COLUMN:
            lines.append(first)
            first = ""
        lines += textwrap.wrap(
            right,
            _WIDTH,
            initial_indent=f"{first:<{_COLUMN}}",
            subsequent_indent=" " * _COLUMN,
            break_long_words=False,
        )
    return "\n".join(lines)
