# SPDX-License-Identifier: Apache-2.0
"""The command line as data: what help, man pages and completion are generated from.

It adds nothing of its own to runtime.cli's table and the commands' modules, so that a new verb or
flag is in all three as soon as it works.
"""

from __future__ import annotations

from runtime import manual, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from runtime.options import Flag

#: What a word of the command line may be: completion offers what there is.
CONTAINERS, DIRECTORIES, FILES, SIGNALS, VERBS, NONE = (
    *("containers", "directories", "files", "signals", "verbs"),
    "none",
)
_METAVARS = {"DIR": DIRECTORIES, "FILE": FILES, "PATH": FILES}
_ARGUMENTS = {"ID": CONTAINERS, "BUNDLE": DIRECTORIES, "SIGNAL": SIGNALS}
_NAMES_A_NEW_ONE = frozenset({"create", "run", "restore"})


class Command:
    """A verb. what: one line; text: all of its description; forms: its usage, without "orlop".

    arguments: kinds of the words behind the flags. flags: those that are shown.
    """

    __slots__ = ("arguments", "examples", "flags", "forms", "status", "text", "verb", "what")

    def __init__(self, verb: str, what: str, module: ModuleType, more: Flag) -> None:
        """`more`: the flag of every verb, beside the module's own."""
        self.verb = verb
        self.what = what
        self.text = (module.__doc__ or "").strip()
        self.forms: list[str] = [form.strip() for form in module.USAGE.split("  |  ")]
        self.flags = shown((*module.FLAGS, more))
        self.arguments = _kinds(verb, self.forms[0])
        self.examples = manual.EXAMPLES.get(verb, ())
        self.status = manual.status(verb)

    @property
    def paragraphs(self) -> list[str]:
        """The description, each paragraph on one line."""
        return [" ".join(part.split()) for part in self.text.split("\n\n")]


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
