# SPDX-License-Identifier: Apache-2.0
"""Where messages go: one line on standard error, and a line in --log as engines parse it.

containerd reads its log as a stream of JSON objects and takes the last error, Podman takes the
whole file for one object: an error is exactly one line, and without --debug nothing else is.
"""

from __future__ import annotations

import os
import sys

from runtime import state
from runtime.errors import PlanFailed, UsageError
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native.plan import Plan


class Log:
    """path: file to append to, "" for standard error alone. json: one object a line.

    Raises UsageError where the file can't be opened: an engine would look for it in vain.
    """

    __slots__ = ("_fd", "debugging", "json", "path")

    def __init__(self, path: str = "", *, json: bool = False, debug: bool = False) -> None:
        self.path = path
        self.json = json
        self.debugging = debug
        self._fd = -1
        if path:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            try:
                self._fd = os.open(path, flags, 0o644)
            except OSError as error:
                raise UsageError(f"log {path}: {error.strerror}") from error

    def error(self, error: BaseException) -> None:
        """Report a failure, for people and for the engine."""
        text = describe(error)
        sys.stderr.write(f"orlop: {text}\n")
        if self.path:
            self._append("error", text, details(error))

    def warning(self, text: str) -> None:
        """Something that does not stop the operation: to the log alone, engines read our stderr."""
        if self.path:
            self._append("warning", text, {})

    def debug(self, text: str) -> None:
        """A step, with --debug."""
        if not self.debugging:
            return
        if self.path:
            self._append("debug", text, {})
        else:
            sys.stderr.write(f"orlop: + {text}\n")

    def plan(self, plan: Plan) -> None:
        """Each operation before it runs, with --debug."""
        for op in plan.ops if self.debugging else ():
            self.debug(op.describe())

    def _append(self, level: str, text: str, more: dict[str, object]) -> None:
        if self.json:
            line = jsontext.dumps({"level": level, "msg": text, "time": _seconds(), **more})
        else:
            line = f'time="{_seconds()}" level={level} msg={jsontext.dumps(text)}'
        try:
            os.write(self._fd, (line + "\n").encode("utf-8", "replace"))
        except OSError:
            pass  # a full disk: standard error has the failure, and the operation may go on


def _seconds() -> str:
    return state.now().partition(".")[0] + "Z"


def describe(error: BaseException) -> str:
    """One line: where, what and why, and what to do."""
    if isinstance(error, OrlopError):
        text = str(error)
        if error.hint:
            text += f" (hint: {error.hint})"
    elif isinstance(error, OSError):
        text = error.strerror or str(error)
        if error.filename is not None:
            text = f"{os.fsdecode(error.filename)}: {text}"
    elif isinstance(error, MemoryError):
        text = "out of memory: the runtime itself has too little"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split("\n"))


def details(error: BaseException) -> dict[str, object]:
    """What a machine wants to know beside the text."""
    more: dict[str, object] = {}
    if isinstance(error, OrlopError) and error.pointer:
        more["pointer"] = error.pointer
    if isinstance(error, PlanFailed):
        more["operation"] = error.operation
        more["step"] = error.step
        more["errno"] = error.errno
    return more
