# SPDX-License-Identifier: Apache-2.0
"""Where a fuzzer begins: `python -m tests.native.seeds DIRECTORY`.

The plans of damage.py, which have every operation, and those that the golden files show, as the
compiler makes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.native import plans
from tests.native.damage import FDS, samples
from tests.unit.test_golden import EACH, compiled


def seeds() -> list[bytes]:
    """Plans, each with answers of a kernel that says yes, and with some that vary."""
    found = [plans.pack(plan, FDS) for plan in samples()]
    found += [compiled(name, mode)[1].pack() for name, mode in EACH]
    varied = bytes(range(1, 120)) * 2
    return [*found, *(plan + varied for plan in found)]


def write(directory: Path) -> list[Path]:
    """Write them; the files."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for number, data in enumerate(seeds()):
        files.append(directory / f"seed-{number:03}")
        files[-1].write_bytes(data)
    return files


if __name__ == "__main__":
    write(Path(sys.argv[1]))
