# SPDX-License-Identifier: Apache-2.0
"""The runtime under test, driven as engines drive it: a program, arguments, an exit status."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What the runtime finds in its environment unless a test says otherwise: engines give no more.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
for variable in ("ORLOP_PLANNER", "ORLOP_SHIM_PLANNER"):
    if planner := os.environ.get(variable):  # tests/conftest.py
        ENVIRONMENT[variable] = planner


def program() -> list[str]:
    """The runtime's command: RUNTIME (another one, to test the tests), or this tree's orlop."""
    if chosen := os.environ.get("RUNTIME"):
        return shlex.split(chosen)
    return [str(Path(sys.executable).with_name("orlop"))]


def is_orlop() -> bool:
    """Whether the runtime under test is this project's."""
    return "RUNTIME" not in os.environ


class Cli:
    """Runs the runtime with a state directory (`--root`) of its own below `directory`.

    Output goes to files, not pipes: a container that was created holds its creator's descriptors,
    and a pipe's end would come only with the container's.
    """

    def __init__(self, directory: Path, user: int | None = None) -> None:
        self.directory = directory
        self.root = directory / "state"
        self.user = user
        self._numbers = itertools.count(1)

    def command(self, *argv: str | Path) -> list[str]:
        """The whole command line for `argv`."""
        return [*program(), "--root", str(self.root), *map(str, argv)]

    def spawn(
        self,
        *argv: str | Path,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Running:
        """Start the runtime and return; its output goes to files unless `stdout` is given."""
        stem = self.directory / f"output-{next(self._numbers)}"
        with stem.with_suffix(".out").open("xb") as out, stem.with_suffix(".err").open("xb") as err:
            process = subprocess.Popen(
                self.command(*argv),
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=err,
                env=ENVIRONMENT if env is None else env,
                cwd=cwd or self.directory,
                pass_fds=pass_fds,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        return Running(process, stem)

    def __call__(
        self,
        *argv: str | Path,
        check: bool = True,
        input: str | bytes | None = None,  # noqa: A002 - subprocess.run's name for it
        stdout: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
        seconds: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run `orlop --root ROOT argv...` to its end.

        Raises AssertionError, with all that it wrote, where `check` and the status isn't 0;
        subprocess.TimeoutExpired after `seconds` (scaled by ORLOP_TEST_SLOWNESS).
        """
        stdin = subprocess.DEVNULL if input is None else os.memfd_create("stdin")
        try:
            if input is not None:
                os.write(stdin, input.encode() if isinstance(input, str) else input)
                os.lseek(stdin, 0, os.SEEK_SET)
            running = self.spawn(
                *argv, stdin=stdin, stdout=stdout, env=env, cwd=cwd, pass_fds=pass_fds
            )
        finally:
            if input is not None:
                os.close(stdin)
        result = running.result(seconds)
        if check and result.returncode != 0:
            raise AssertionError(
                f"{shlex.join(result.args)}: status {result.returncode}\n"
                f"{result.stdout}{result.stderr}"
            )
        return result


class Running:
    """A runtime that was started: `process`, and the files that it writes."""

    def __init__(self, process: subprocess.Popen[bytes], stem: Path) -> None:
        self.process = process
        self.stdout, self.stderr = stem.with_suffix(".out"), stem.with_suffix(".err")

    def result(self, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """Wait for the end. Raises subprocess.TimeoutExpired, after the runtime has been killed."""
        try:
            status = self.process.wait(limit(seconds))
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            self.process.wait()
            error.add_note(self._text(self.stdout) + self._text(self.stderr))
            raise
        command = self.process.args
        return subprocess.CompletedProcess(
            list(map(str, command)) if isinstance(command, list) else [str(command)],
            status,
            self._text(self.stdout),
            self._text(self.stderr),
        )

    @staticmethod
    def _text(file: Path) -> str:
        return file.read_text(errors="surrogateescape")
