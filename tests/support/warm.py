# SPDX-License-Identifier: Apache-2.0
"""A warm planner of this tree, for a whole session of tests or for one test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support import cli


class Planner:
    """`orlop planner` on a socket of its own. Ready when made; `stop` ends it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="orlop-planner-"))
        self.socket = self.directory / "planner.sock"
        command = [*cli.program(), "planner", "--socket", str(self.socket)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=cli.ENVIRONMENT)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        """End it, and remove its directory."""
        self.process.terminate()
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.directory)
