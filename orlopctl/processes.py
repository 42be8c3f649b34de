# SPDX-License-Identifier: Apache-2.0
"""Commands that run a program, or join one: run, create, exec, attach."""

from __future__ import annotations

import os

from orlopctl import creation, output
from orlopctl.verb import Call, Verb
from runtime import options
from runtime.errors import UsageError
from runtime.options import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop import Process
    from orlop.types import Creation, Execution
    from runtime.options import Options

FAILURE = 125  # ours, not the program's: Docker's number for it
_KEYS = Flag(
    "detach-keys", "keys that let go of it (default: ctrl-p,ctrl-q)", options.VALUE, metavar="KEYS"
)
_DETACH = Flag("detach", "return when it runs", short="d")
_RM = Flag("rm", "remove it when its program has ended")
_CONTROL = 64  # ctrl-a is 1: ascii(7)


def run(call: Call, given: Options, arguments: Sequence[str]) -> int:
    """Create and start a container of a root file system, or of a bundle.

    In the foreground, its output is ours, and with -i its input; signals are passed on, and the
    exit status is its own, or 128 and the signal that ended it. With --detach, print its id if it
    was made up, and return.
    """
    made, name = _creation(given, arguments)
    if given.flag("detach"):
        if given.flag("rm"):
            raise UsageError("--rm is for the foreground: nobody here waits for a detached one")
        return _named(call, given, name, call.client.run(name, **made))
    if call.json:
        raise UsageError("--json is for --detach: in the foreground the output is the program's")
    keys = _keys(given)
    with call.client.run_attached(name, **made) as process:
        status = _joined(process, given, keys)
    if given.flag("rm") and status is not None:
        call.client.delete(name)
    return 0 if status is None else status


def create(call: Call, given: Options, arguments: Sequence[str]) -> int:
    """Create a container; its program waits for `orlopctl start`. Print its id if it was made up.

    Takes the flags of run.
    """
    made, name = _creation(given, arguments)
    return _named(call, given, name, call.client.create(name, **made))


def execute(call: Call, given: Options, arguments: Sequence[str]) -> int:
    """Run a further program in a running container.

    In the foreground as run; with --detach, print the process's id and return.
    """
    container, *words = arguments
    how = _execution(given)
    if given.flag("detach"):
        found = call.client.spawn(container, words, **how)
        call.answer({"exec": found}, f"{found}\n")
        return 0
    if call.json:
        raise UsageError("--json is for --detach: in the foreground the output is the program's")
    keys = _keys(given)
    with call.client.exec(container, words, **how) as process:
        status = _joined(process, given, keys)
    return 0 if status is None else status


def attach(call: Call, given: Options, arguments: Sequence[str]) -> int:
    """Join the output of a container's program, and its input if that is kept open.

    The keys let go of it, and it runs on. The exit status is its own.
    """
    if call.json:
        raise UsageError("attach has no --json: the output is the program's")
    container = arguments[0]
    keys = _keys(given)
    found = call.client.inspect(container)
    terminal = bool(found.get("terminal"))
    stdin = not given.flag("no-stdin") and bool(found.get("stdin"))
    with call.client.attach(container, stdin=stdin, logs=given.flag("logs")) as process:
        from orlop.terminal import join

        status = join(process, stdin=stdin, terminal=terminal, detach_keys=keys)
    return 0 if status is None else status


def _creation(given: Options, arguments: Sequence[str]) -> tuple[Creation, str]:
    made = creation.creation(given, arguments)
    if made.get("terminal"):
        _size(made)
    return made, given.text("name") or f"c{os.urandom(6).hex()}"


def _size(how: Creation | Execution) -> None:
    """Its terminal has the size of ours from the beginning."""
    from orlop.terminal import size

    now = size()
    if now is not None:
        how["console_size"] = now


def _named(call: Call, given: Options, name: str, result: object) -> int:
    call.answer(result, "" if given.given("name") else f"{name}\n")
    return 0


def _execution(given: Options) -> Execution:
    how: Execution = {}
    creation.of_process(how, given)
    if given.flag("tty"):
        _size(how)
    if given.flag("interactive"):
        how["stdin"] = True
    return how


def _joined(process: Process, given: Options, keys: bytes) -> int | None:
    from orlop.terminal import join

    stdin, terminal = given.flag("interactive"), given.flag("tty")
    return join(process, stdin=stdin, terminal=terminal, detach_keys=keys)


def _keys(given: Options) -> bytes:
    """`ctrl-p,ctrl-q`, `ctrl-],x`; "" for none. Raises UsageError."""
    if not given.given("detach-keys"):
        from orlop.terminal import DETACH_KEYS

        return DETACH_KEYS
    text = given.text("detach-keys")
    return bytes(_key(word) for word in text.split(",")) if text else b""


def _key(word: str) -> int:
    name = word.removeprefix("ctrl-")
    if len(name) == 1 and name.isascii():
        if name == word:
            return ord(name)
        code = ord(name.upper()) - _CONTROL
        if 0 <= code < 32:  # noqa: PLR2004 - the control characters
            return code
    raise UsageError(f"invalid value {output.cell(word)!r} of --detach-keys: ctrl-p, or x")


VERBS = {
    "run": Verb(
        "run [flags] ROOTFS COMMAND [ARGUMENT ...]  |  run [flags] --bundle DIR", run,
        [_DETACH, _RM, _KEYS, *creation.FLAGS], takes=(0, None), runs_a_program=True,
        examples=[
            ("orlopctl run --rm -it /srv/alpine sh", "a shell, and nothing left of it"),
            ("orlopctl run -d --name web -m 64m -v /srv/www:/www:ro /srv/web httpd -f",
             "in the background, with a limit and a directory"),
            ("orlopctl run -d --name db --bundle /srv/db", "an OCI bundle"),
        ],
    ),
    "create": Verb(
        "create [flags] ROOTFS COMMAND [ARGUMENT ...]  |  create [flags] --bundle DIR", create,
        creation.FLAGS, takes=(0, None), runs_a_program=True,
        examples=[("orlopctl create --name web /srv/alpine httpd -f", "then: orlopctl start web")],
    ),
    "exec": Verb(
        "exec [flags] ID COMMAND [ARGUMENT ...]", execute, [_DETACH, _KEYS, *creation.PROCESS],
        takes=(2, None), runs_a_program=True,
        examples=[
            ("orlopctl exec -it web sh", "a shell in it"),
            ("orlopctl exec web cat /etc/passwd >passwd", "its output is ours"),
        ],
    ),
    "attach": Verb(
        "attach [flags] ID", attach,
        [
            Flag("logs", "with what it wrote before"),
            Flag("no-stdin", "leave its input alone"),
            _KEYS,
        ],
        takes=(1, 1), runs_a_program=True,
        examples=[("orlopctl attach web", "ctrl-p ctrl-q lets go of it")],
    ),
}  # fmt: skip
