# SPDX-License-Identifier: Apache-2.0
"""A command line that must be refused: one line said, in both places, and nothing left behind."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.leaks import Watch

#: The id that a refused container would have.
REFUSED = "refused"


def files(directory: Path) -> set[tuple[str, int, int]]:
    """Every file below a directory: its path, mode and size."""
    found = set()
    for folder, folders, names in os.walk(directory):
        for name in [*folders, *names]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            size = 0 if name in folders else status.st_size
            found.add((path, status.st_mode, size))
    return found


class Refusal:
    """Runs command lines that must fail, and checks what holds for every failure.

    Status 1 (`exec`: 255), nothing on standard output, one line on standard error and the same in
    the log; no process, cgroup, mount, state or file more or less than before.
    """

    def __init__(self, cli: Cli, watch: Watch, bundle: Bundle) -> None:
        self.cli, self.watch, self.bundle = cli, watch, bundle
        self.log = cli.directory / "refusal.json"
        #: The log's last line.
        self.entry: dict[str, Any] = {}

    def __call__(self, *argv: str | Path, status: int = 1, **keywords: Any) -> str:  # noqa: ANN401
        """Run `argv`, which must fail; returns the message without the program's name."""
        self.log.unlink(missing_ok=True)
        before = self.watch.found(), files(self.bundle.path)
        result = self.cli("--log", self.log, "--log-format", "json", *argv, check=False, **keywords)
        if result.returncode == 0:  # what was made all the same is not to outlive the test
            self.cli("delete", "--force", REFUSED, check=False)
        assert (result.returncode, result.stdout) == (status, ""), result
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        name, _, message = lines[0].partition(": ")
        assert name == "orlop"
        logged = [json.loads(line) for line in self.log.read_text().splitlines()]
        assert [(entry["level"], entry["msg"]) for entry in logged] == [("error", message)]
        assert (self.watch.found(), files(self.bundle.path)) == before
        self.entry = logged[0]
        return message

    def create(self, *options: str | Path, **keywords: Any) -> str:  # noqa: ANN401
        """`create` the bundle as it is in `spec` now, which must fail; returns the message."""
        self.bundle.write()
        return self("create", "--bundle", self.bundle.path, *options, REFUSED, **keywords)
