# SPDX-License-Identifier: Apache-2.0
"""Warm planners of this tree, for a whole session of tests or for one test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import cli


class Planner:
    """`orlop planner` on a socket of its own. Ready when made; `stop` ends it.

    user: whose it is; ours when None.
    """

    #: The variable by which commands find it.
    VARIABLE = "ORLOP_PLANNER"

    def __init__(self, user: int | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="orlop-planner-"))
        self.socket = self.directory / "planner.sock"
        self.log = self.directory / "log"
        self.log.touch()
        if user is not None:
            os.chown(self.directory, user, user)
            os.chown(self.log, user, user)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=subprocess.PIPE,
                stderr=log,
                env=cli.ENVIRONMENT,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", self.log.read_text()

    def command(self) -> list[str]:
        """What it is started by."""
        words = ["--debug", "--log", str(self.log), "planner", "--socket", str(self.socket)]
        return [*cli.program(), *words]

    def said(self, pid: int) -> str:
        """What became of the call of a process, "" where it never came."""
        lines = [line for line in self.log.read_text().splitlines() if f"pid {pid}: " in line]
        return lines[-1] if lines else ""

    def stop(self) -> None:
        """End it, and remove its directory."""
        self.process.terminate()
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.directory)


class ShimPlanner(Planner):
    """The shim's, in the same way."""

    VARIABLE = "ORLOP_SHIM_PLANNER"
    PROGRAM = Path(sys.executable).with_name("containerd-shim-orlop-v1")

    def command(self) -> list[str]:
        """What it is started by."""
        return [str(self.PROGRAM), "-debug", "-socket", str(self.socket), "planner"]
