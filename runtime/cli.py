# SPDX-License-Identifier: Apache-2.0
"""`orlop`, the command line: of the verbs' modules only the one asked for is imported."""

from __future__ import annotations

import os
import sys

from runtime import options, state
from runtime.errors import UsageError
from runtime.log import Log
from runtime.options import Flag
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from runtime.surface import Command, Program

GLOBAL_FLAGS = (
    Flag("root", "directory of the containers' state", options.VALUE, metavar="DIR"),
    Flag("log", "append messages to FILE", options.VALUE, metavar="FILE"),
    Flag(
        "log-format",
        "text (the default) or json",
        options.VALUE,
        metavar="FORMAT",
        choices=("text", "json"),
    ),
    Flag("debug", "log each step"),
    Flag("systemd-cgroup", "let systemd make the cgroups"),
    Flag(
        "allow-annotation",
        "heed potentially unsafe annotations that begin with PREFIX (repeatable)",
        options.LIST,
        metavar="PREFIX",
    ),
    Flag("rootless", "true, false or auto (the default)", options.VALUE, metavar="WHEN"),
    Flag("criu", "obsolete: criu is found on PATH", options.VALUE, metavar="PATH", hidden=True),
    Flag("version", "print the version", short="v"),
    Flag("help", "print this help", short="h"),
)
HELP = Flag("help", "print this help", short="h")
_NO_COMMAND = 3  # runc's status for a command that there is not
#: verb -> what it does, in the order of a container's life
VERBS = {
    "spec": "write a configuration to start from",
    "plan": "print what would happen to a container, and change nothing",
    "check": "say whether a bundle can run on this host, and what keeps it",
    "create": "make a container; its process waits for start",
    "start": "start the process of a created container",
    "run": "create and start a container, and wait for its process",
    "exec": "run a further process in a container",
    "state": "print a container's state",
    "list": "list the containers",
    "ps": "list the processes of a container",
    "events": "print a container's usage, and when it runs out of memory",
    "update": "change the limits of a container",
    "pause": "freeze a container's processes",
    "resume": "let a paused container go on",
    "checkpoint": "write a container's processes to files",
    "restore": "make a container from a checkpoint's files",
    "kill": "send a signal to a container's process",
    "delete": "remove a container",
    "features": "print what this host and build can do",
    "planner": "stay warm, and do the calls of this user",
}


class UnknownCommand(UsageError):
    """The first word is no verb."""


class Globals:
    """What stands before the verb. root: state root; log: where messages go.

    rootless: whether permission for cgroups may lack; None: to be found out.
    """

    __slots__ = ("log", "options", "root", "rootless")

    def __init__(self, given: options.Options, log: Log) -> None:
        self.options = given
        self.root = state_root(given)
        self.rootless = _yes_no_or_auto("--rootless", given.text("rootless"))
        self.log = log

    @property
    def systemd_cgroup(self) -> bool:
        """Whether the systemd driver is asked for."""
        return self.options.flag("systemd-cgroup")

    @property
    def allowed_annotations(self) -> list[str]:
        """What potentially unsafe annotations must begin with to count; nothing unless said."""
        return self.options.texts("allow-annotation")


def _yes_no_or_auto(flag: str, value: str) -> bool | None:
    return None if value.lower() in ("", "auto") else options.boolean(flag, value)


def state_root(given: options.Options) -> str:
    """--root, or the default. Raises UsageError for the file system's root."""
    if not given.given("root"):
        return state.default_root()
    root = os.path.abspath(given.text("root"))
    if os.path.realpath(root) == "/":
        raise UsageError("--root must not be the file system's root")
    return root


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    _open_stdio()
    log = Log()
    failure = 1
    try:
        given, rest = options.parse(GLOBAL_FLAGS, sys.argv[1:] if words is None else words)
        log = Log(
            given.text("log"), json=given.text("log-format") == "json", debug=given.flag("debug")
        )
        if given.flag("version"):
            return _print(version_text())
        if given.flag("help") or not rest or rest[0] in ("help", "h"):
            return _help(rest[1:])
        call = Globals(given, log)
        verb = load_command(rest[0])
        anywhere = not getattr(verb, "OTHERS_WORDS", False)
        flags, arguments = options.parse((*verb.FLAGS, HELP), rest[1:], anywhere=anywhere)
        if flags.flag("help"):
            return _help(rest[:1])
        _check_count(verb, arguments)
        failure = getattr(verb, "FAILURE", 1)
        if flags.text("timeline"):
            from runtime.timeline import recorded

            result = recorded(flags.text("timeline"), lambda: verb.run(call, flags, arguments))
        else:
            result = verb.run(call, flags, arguments)
        sys.stdout.flush()
        return int(result)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more
        return 1
    except (OrlopError, OSError, MemoryError, ImportError) as error:
        # ImportError: a module is loaded when it is needed, and then there may be no memory for it.
        log.error(error)
        return _NO_COMMAND if isinstance(error, UnknownCommand) else failure


def _open_stdio() -> None:
    """Open what the caller closed of 0, 1 and 2, before another file gets the number.

    A container would have that file, one of the host's, for its stdio.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)  # the lowest free number, so already fd
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def load_command(verb: str) -> ModuleType:
    """The module of a verb. Raises UnknownCommand."""
    if verb not in VERBS:
        raise UnknownCommand(f"unknown command {verb!r}", hint="orlop --help lists them")
    module: ModuleType = __import__(f"runtime.commands.{verb}", fromlist=["run"])
    return module


def command(verb: str) -> Command:
    """What help, man pages and completion say of a verb. Raises UnknownCommand."""
    from runtime import manual
    from runtime.surface import Command

    module = load_command(verb)
    return Command(
        "orlop",
        verb,
        VERBS[verb],
        text=module.__doc__ or "",
        usage=module.USAGE,
        flags=(*module.FLAGS, HELP),
        examples=manual.EXAMPLES.get(verb, ()),
        status=manual.status(verb),
    )


def program() -> Program:
    """All that help, man pages and completion say of orlop."""
    from runtime import manual
    from runtime.surface import Program

    return Program(
        "orlop",
        "an OCI container runtime",
        text=manual.TEXT,
        flags=GLOBAL_FLAGS,
        commands=[command(verb) for verb in VERBS],
        examples=manual.EXAMPLES[""],
        status=manual.status(""),
        files=manual.FILES,
        environment=manual.ENVIRONMENT,
        lists="list --quiet",
    )


def _check_count(command: ModuleType, arguments: Sequence[str]) -> None:
    least, most = command.ARGUMENTS
    if len(arguments) < least:
        raise UsageError(f"too few arguments: orlop {command.USAGE}")
    if most is not None and len(arguments) > most:
        raise UsageError(f"too many arguments: orlop {command.USAGE}")


def version_text() -> str:
    """What --version prints; Docker takes the last line with the word in it for the version."""
    from runtime.version import COMMIT, VERSION
    from spec.version import OCI_VERSION

    return f"orlop version {VERSION}\ncommit: {COMMIT}\nspec: {OCI_VERSION}\n"


def _help(verbs: Sequence[str]) -> int:
    from runtime import usage

    if verbs:
        return _print(usage.of_command(command(verbs[0])))
    return _print(usage.of_program(program()))


def _print(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return 0
