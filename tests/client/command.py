# SPDX-License-Identifier: Apache-2.0
"""orlopctl as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.cli import ENVIRONMENT
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.supervisor.conftest import Orlopd

PROGRAM = Path(sys.executable).with_name("orlopctl")


class Orlopctl:
    """Command lines for one orlopd."""

    def __init__(self, orlopd: Orlopd) -> None:
        self.root = str(orlopd.root)

    def command(self, *words: str | Path) -> list[str]:
        """A whole command line."""
        return [str(PROGRAM), "--root", self.root, *map(str, words)]

    def __call__(
        self, *words: str | Path, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one to its end."""
        return subprocess.run(
            self.command(*words),
            env=ENVIRONMENT,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
            timeout=limit(60),
        )

    def does(self, *words: str | Path) -> str:
        """Run one that must succeed, and complain of nothing; what it printed."""
        result = self(*words)
        assert (result.returncode, result.stderr) == (0, ""), result
        return result.stdout
