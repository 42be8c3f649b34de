# SPDX-License-Identifier: Apache-2.0
"""What a start needs, and how it grows: the smallest memory limit, and the 1,000th container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.commandline import Runtimes
from bench.measure import Row
from bench.workplace import have_memory
from tests.support import waiting

if TYPE_CHECKING:
    from bench.commandline import Runtime
    from bench.workplace import Workplace

MEMORY = Row("memory-limit", "smallest memory limit that starts true", "KiB")
FIRST = Row("command-first", "run --detach, the first 20 containers")
LAST = Row("command-last", "the same, the last 20")
_EDGE = 20
_STEP = 64 << 10
_MOST = 64 << 20


def measure(place: Workplace) -> None:
    """Both, of every runtime."""
    with Runtimes(place) as runtimes:
        for name, runtime in runtimes.items():
            least = _least(place, runtime)
            place.results.add(MEMORY, name, [least / 1024])
        for name in ("orlop warm", "runc", "crun"):
            if name in runtimes:
                _grow(place, name, runtimes[name])


def _least(place: Workplace, runtime: Runtime) -> int:
    """Bytes, by bisection: below it the container does not start, or its program does not end."""
    bundle = place.bundle(f"limit-{place.number()}", "true")
    low, high = 0, _MOST
    while high - low > _STEP:
        middle = (low + high) // 2 // _STEP * _STEP
        bundle.resources["memory"] = {"limit": middle}
        bundle.write()
        try:
            runtime.run(bundle)
            high = middle
        except RuntimeError:
            low = middle
            runtime.clear()
    return high


def _grow(place: Workplace, name: str, runtime: Runtime) -> None:
    bundle = place.bundle(f"grow-{name.replace(' ', '-')}", "sleep")
    cgroup = bundle.linux["cgroupsPath"]
    took, pids, names = [], [], []
    for number in range(place.most):
        bundle.linux["cgroupsPath"] = f"{cgroup}/{number}"
        bundle.write()
        have_memory()
        file = place.directory / "grow.pid"
        names.append(f"g{place.number()}")
        words = ("--bundle", str(bundle.path), "--pid-file", str(file))
        took.append(runtime("run", "--detach", *words, names[-1]))
        pids.append(int(file.read_text()))
    place.results.add(FIRST, name, took[:_EDGE])
    place.results.add(LAST, name, took[-_EDGE:])
    for container, pid in zip(reversed(names), reversed(pids), strict=True):
        runtime("kill", container, "KILL")
        waiting.ended(pid)
        runtime("delete", container)
