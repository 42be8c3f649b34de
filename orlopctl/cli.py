# SPDX-License-Identifier: Apache-2.0
"""`orlopctl`, the command line: of the commands' modules only the one asked for is imported."""

from __future__ import annotations

import os
import sys

from orlopctl import words
from orlopctl.verb import HELP, JSON, Call, Verb
from runtime import options
from runtime.errors import UsageError
from runtime.options import Flag
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.surface import Command, Program

GLOBAL_FLAGS = (
    Flag("root", "orlopd's directory", options.VALUE, metavar="DIR"),
    JSON,
    Flag("version", "print the version", short="v"),
    HELP,
)
#: verb -> (module, what it does), in the order of a container's life
VERBS = {
    "run": ("processes", "create and start a container, and join it"),
    "create": ("processes", "create a container"),
    "start": ("life", "start the program of a container"),
    "ps": ("questions", "list the containers, or the processes of one"),
    "logs": ("streams", "print what a container wrote"),
    "exec": ("processes", "run a further program in a container"),
    "attach": ("processes", "join a container's input and output"),
    "inspect": ("questions", "print all that is known of a container"),
    "stats": ("questions", "print what containers use"),
    "top": ("questions", "show what containers use, live"),
    "events": ("streams", "print what happens to containers"),
    "stop": ("life", "ask a container to end, and see to it"),
    "kill": ("life", "send a signal to a container"),
    "wait": ("life", "wait until a container has ended"),
    "pause": ("life", "freeze a container"),
    "resume": ("life", "let a paused container go on"),
    "update": ("life", "change the limits of a container"),
    "label": ("life", "set, remove and print the labels of a container"),
    "rename": ("life", "give a container another id"),
    "checkpoint": ("life", "write a container's processes to files"),
    "restore": ("life", "make a container from a checkpoint's files"),
    "rm": ("life", "remove a container"),
    "info": ("questions", "print what orlopd says of itself"),
    "version": ("questions", "print the versions of orlopctl and orlopd"),
}
_PROGRAMS = 125  # of commands that run a program: it could not be run; the rest is the program's
_INTERRUPTED = 130


def main(given_words: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    failure, json = 1, False
    try:
        given, rest = options.parse(
            GLOBAL_FLAGS, sys.argv[1:] if given_words is None else given_words
        )
        json = given.flag("json")
        if given.flag("version"):
            from runtime.version import VERSION

            return _print(f"orlopctl version {VERSION}\n")
        if given.flag("help") or not rest or rest[0] == "help":
            return _help(rest[1:])
        verb = load(rest[0])
        failure = _PROGRAMS if verb.runs_a_program else 1
        flags, arguments = words.parse(verb.flags, rest[1:], anywhere=not verb.runs_a_program)
        json = json or flags.flag("json")
        if flags.flag("help"):
            return _help(rest[:1])
        _check_count(verb, arguments)
        status = verb.run(Call(given.text("root"), json=json), flags, arguments)
        sys.stdout.flush()
        return status or 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more
        return failure
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (OrlopError, OSError) as error:
        complain(error, json=json)
        return failure


def load(verb: str) -> Verb:
    """A command. Raises UsageError for an unknown one."""
    if verb not in VERBS:
        raise UsageError(f"unknown command {verb!r}", hint="orlopctl --help lists them")
    module = __import__(f"orlopctl.{VERBS[verb][0]}", fromlist=["VERBS"])
    found: Verb = module.VERBS[verb]
    return found


def complain(error: Exception, *, json: bool) -> None:
    """What failed, and what to do about it, on standard error."""
    hint = error.hint if isinstance(error, OrlopError) else ""
    if not json:
        sys.stderr.write(f"orlopctl: {error}\n" + (f"  {hint}\n" if hint else ""))
        return
    from spec import jsontext

    members: dict[str, object] = {"message": str(error), "hint": hint}
    members["code"] = getattr(error, "code", None)
    members["data"] = getattr(error, "data", {})
    sys.stderr.write(jsontext.dumps({"error": members}) + "\n")


def command(verb: str) -> Command:
    """What help, man pages and completion say of a command. Raises UsageError."""
    from orlopctl import manual
    from runtime.surface import Command

    found = load(verb)
    return Command(
        "orlopctl",
        verb,
        VERBS[verb][1],
        text=found.run.__doc__ or "",
        usage=found.usage,
        flags=found.flags,
        examples=found.examples,
        status=manual.OF_PROGRAMS if found.runs_a_program else manual.STATUS,
    )


def program() -> Program:
    """All that help, man pages and completion say of orlopctl."""
    from orlopctl import manual
    from runtime.surface import Program

    return Program(
        "orlopctl",
        "containers of orlopd",
        text=manual.TEXT,
        flags=GLOBAL_FLAGS,
        commands=[command(verb) for verb in VERBS],
        examples=manual.EXAMPLES,
        status=manual.STATUS,
        files=manual.FILES,
        environment=manual.ENVIRONMENT,
        lists="ps --all --quiet",
    )


def _check_count(verb: Verb, arguments: Sequence[str]) -> None:
    least, most = verb.takes
    usage = verb.usage.split("  |  ")[0]
    if len(arguments) < least:
        raise UsageError(f"too few arguments: orlopctl {usage}")
    if most is not None and len(arguments) > most:
        raise UsageError(f"too many arguments: orlopctl {usage}")


def _help(verbs: Sequence[str]) -> int:
    from runtime import usage

    if verbs:
        return _print(usage.of_command(command(verbs[0])))
    return _print(usage.of_program(program()))


def _print(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return 0
