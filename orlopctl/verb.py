# SPDX-License-Identifier: Apache-2.0
"""A command of orlopctl, and what it is called with."""

from __future__ import annotations

import os
import sys

from runtime.options import Flag
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orlop import Client
    from runtime.options import Options

JSON = Flag("json", "print JSON, for programs")
HELP = Flag("help", "print this help", short="h")


class Verb:
    """One command.

    usage: as runtime.surface has it. flags: without JSON and HELP. takes: least and most words
    behind the flags. runs_a_program: its exit status is a program's, and the flags end with the
    first word that is none. run's docstring is its description.
    """

    __slots__ = ("examples", "flags", "run", "runs_a_program", "takes", "usage")

    def __init__(
        self,
        usage: str,
        run: Callable[[Call, Options, Sequence[str]], int | None],
        flags: Sequence[Flag] = (),
        *,
        takes: tuple[int, int | None],
        runs_a_program: bool = False,
        examples: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.usage = usage
        self.run = run
        self.flags = (*flags, JSON, HELP)
        self.takes = takes
        self.runs_a_program = runs_a_program
        self.examples = examples


class Call:
    """What stands before the command: where orlopd is; and how to answer."""

    def __init__(self, root: str, *, json: bool) -> None:
        self.json = json
        self._root = root
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Connects when it is first asked."""
        from orlop.client import Client

        if self._client is None:
            self._client = Client(os.path.join(self._root, "orlopd.sock") if self._root else "")
        return self._client

    def answer(self, result: object, text: Callable[[], str] | str = "") -> None:
        """Print a result: exactly, for programs, or as text for people."""
        if self.json:
            self.line(result)
        else:
            sys.stdout.write(text if isinstance(text, str) else text())
            sys.stdout.flush()

    def line(self, value: object) -> None:
        """A line of JSON, at once."""
        sys.stdout.write(jsontext.dumps(value) + "\n")
        sys.stdout.flush()
