# SPDX-License-Identifier: Apache-2.0
"""A program's command line as data: what help, man pages and completion are generated from.

It adds nothing of its own to the tables of runtime.cli and orlopctl.cli, so that a new verb or flag
is in all three as soon as it works.
"""

from __future__ import annotations

from runtime import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.options import Flag

    Rows = Sequence[tuple[str, str]]

#: What a word of the command line may be: completion offers what there is.
CONTAINERS, DIRECTORIES, FILES, SIGNALS, VERBS, NONE = (
    *("containers", "directories", "files", "signals", "verbs"),
    "none",
)
_METAVARS = {"DIR": DIRECTORIES, "FILE": FILES, "PATH": FILES}
_ARGUMENTS = {"ID": CONTAINERS, "BUNDLE": DIRECTORIES, "SIGNAL": SIGNALS}
_NAMES_A_NEW_ONE = frozenset({"create", "run", "restore"})


class Command:
    """A verb. what: one line; text: all of its description; forms: its usage, without the program.

    arguments: kinds of the words behind the flags; repeats: the last may come again. flags: those
    that are shown. examples: (line, what it does). status: (exit status, what it means).
    """

    __slots__ = (
        *(
            "arguments",
            "examples",
            "flags",
            "forms",
            "program",
            "repeats",
            "status",
            "text",
            "verb",
            "what",
        ),
    )

    def __init__(  # noqa: PLR0913 - what a manual says of it
        self,
        program: str,
        verb: str,
        what: str,
        *,
        text: str,
        usage: str,
        flags: Sequence[Flag],
        examples: Rows,
        status: Rows,
    ) -> None:
        self.program = program
        self.verb = verb
        self.what = what
        self.text = text.strip()
        self.forms: list[str] = [form.strip() for form in usage.split("  |  ")]
        self.flags = shown(flags)
        self.arguments = _kinds(verb, self.forms[0])
        self.repeats = self.forms[0].endswith(("ID ...", "[ID ...]"))
        self.examples = examples
        self.status = status

    @property
    def paragraphs(self) -> list[str]:
        """The description, each paragraph on one line."""
        return [" ".join(part.split()) for part in self.text.split("\n\n")]


class Program:
    """A program and all its commands. what: one line; text: a paragraph.

    flags: those before the command. lists: the command that prints the ids of containers.
    """

    __slots__ = (
        *("commands", "environment", "examples", "files", "flags", "lists", "name", "status"),
        *("text", "what"),
    )

    def __init__(  # noqa: PLR0913 - what a manual says of it
        self,
        name: str,
        what: str,
        *,
        text: str,
        flags: Sequence[Flag],
        commands: Sequence[Command],
        examples: Rows,
        status: Rows,
        files: Rows,
        environment: Rows,
        lists: str,
    ) -> None:
        self.name = name
        self.what = what
        self.text = text
        self.flags = shown(flags)
        self.commands = commands
        self.examples = examples
        self.status = status
        self.files = files
        self.environment = environment
        self.lists = lists


def shown(flags: Sequence[Flag]) -> list[Flag]:
    """The flags that users are told of."""
    return [flag for flag in flags if not flag.hidden]


def value_kind(flag: Flag) -> str:
    """What a flag's value may be, "" for a flag without one; choices are the flag's own."""
    if flag.kind == options.BOOL:
        return ""
    return _METAVARS.get(flag.metavar, NONE)


def _kinds(verb: str, form: str) -> list[str]:
    kinds = []
    for word in form.split()[1:]:
        name = word.strip("[].")
        if name and name != "flags":
            new = name == "ID" and verb in _NAMES_A_NEW_ONE
            kinds.append(NONE if new else _ARGUMENTS.get(name, NONE))
    return kinds
