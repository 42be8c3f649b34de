# SPDX-License-Identifier: Apache-2.0
"""Processes that attack: attack.c, built once per version of it, and started beside the runtime."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import probe
from tests.support.waiting import limit

SOURCE = Path(__file__).with_name("attack.c")


def program() -> Path:
    """The static attack program."""
    return probe.build(SOURCE)


class Attacker:
    """`attack argv...` on the host, at work from now on until `stop`."""

    def __init__(self, *argv: object) -> None:
        self._process = subprocess.Popen(
            [str(program()), *map(str, argv)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stop(self) -> dict[str, int]:
        """End it; what it counted."""
        said, _ = self._process.communicate(timeout=limit(20))
        return {name: int(count) for name, count in map(str.split, said.splitlines())}

    def close(self) -> None:
        """End it, whatever it was doing."""
        self._process.kill()
        self._process.communicate()
