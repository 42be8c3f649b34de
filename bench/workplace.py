# SPDX-License-Identifier: Apache-2.0
"""Where a run of the benchmark works: a directory, a cgroup, bundles; all removed at its end."""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.measure import Results
from tests.support import hierarchies
from tests.support.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Iterable


_EACH = 16 << 20  # bytes; a container takes less, with its shim and in the kernel


def have_memory() -> None:
    """Touch as much memory as a container takes, and give it back: it is what is taken next.

    What a virtual machine's host took back of unused memory (virtio_balloon) costs five times as
    much when it is touched, by whomever: containers would seem to get slower with their number.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, _EACH, flags=flags).close()


class Workplace:
    """A context manager. rounds: how often each thing is measured; most: containers at once."""

    def __init__(self, rounds: int, most: int) -> None:
        self.rounds, self.most = rounds, most
        self.results = Results()
        self.cgroup = f"/orlop-bench-{os.getpid()}"
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="orlop-bench-"))
        return self

    def __exit__(self, *exception: object) -> None:
        hierarchies.remove(self.cgroup)
        shutil.rmtree(self.directory)

    def number(self) -> int:
        """One that was not used before."""
        return next(self._numbers)

    def bundle(self, name: str, *argv: str, seccomp: bool = False) -> Bundle:
        """A new bundle whose program is `probe argv...`, below this run's cgroup.

        seccomp: with Docker's default configuration (`docker_default`), not `orlop spec`'s.
        """
        bundle = Bundle(self.directory / name, f"{self.cgroup}/{name}").args(*argv)
        bundle.spec["ociVersion"] = "1.0.2"  # Debian's crun knows no later one
        if seccomp:
            from bench.docker_default import apply

            apply(bundle.spec)
        bundle.write()
        return bundle

    def skip(self, contenders: Iterable[str], why: str) -> None:
        """Say why some are not in the table."""
        for name in contenders:
            self.results.missing[name] = why
