# SPDX-License-Identifier: Apache-2.0
"""Many containers of our shim: a hundred at once, and hundreds one after the other."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.engines.task import Task, names
from tests.engines.tree import outside, parent
from tests.support.features import requires
from tests.support.footprint import anonymous, descriptors, workers_ended

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.calls import Calls
    from tests.engines.containerd import Containerd

pytestmark = [requires("root", "containerd"), pytest.mark.slow]

#: From create to delete: half of them with a shim each, half of them in one. CYCLES=1000 for more.
CYCLES = int(os.environ.get("CYCLES", "200"))


def test_a_hundred_at_once(containerd: Containerd, calls: Calls, rootfs: Path) -> None:
    """Made by eight clients, all running together, ended together."""
    tasks = [Task(calls, rootfs, f"one-of-{number}", "sleep", "1000") for number in range(100)]
    with ThreadPoolExecutor(8) as threads:
        pids = list(threads.map(Task.run, tasks))
        assert sorted(names(calls)) == sorted(task.name for task in tasks)
        shims = {parent(init) for pid in pids for init in outside(containerd.room, pid)}
        assert len(shims) == 100
        assert list(threads.map(end, tasks)) == [137] * 100
    assert list(names(calls)) == []


def end(task: Task) -> int:
    """Kill it and remove it; the status of its end."""
    task.kill()
    task.wait()
    status = task.delete()
    task.remove()
    return status


def cycle(task: Task) -> int:
    """A program that ends by itself, from the container's beginning to its end."""
    task.run()
    task.wait()
    status = task.delete()
    task.remove()
    return status


def test_one_after_the_other(calls: Calls, rootfs: Path) -> None:
    """Each with a shim of its own; whatever one of them left would be found afterwards."""
    for number in range(CYCLES // 2):
        status = number % 100
        assert cycle(Task(calls, rootfs, "cycle", "sh", "-c", f"exit {status}")) == status


def test_the_shim_of_a_group_does_not_grow(
    containerd: Containerd, calls: Calls, rootfs: Path
) -> None:
    """One that a container keeps there: a pod's."""
    group = {"io_containerd_runc_v2_group": "pod"}
    kept = Task(calls, rootfs, "kept", "sleep", "1000").annotate(**group)
    (init,) = outside(containerd.room, kept.run())
    shim = parent(init)

    def some(first: int, last: int) -> None:
        for number in range(first, last):
            task = Task(calls, rootfs, f"cycle-{number}", "sh", "-c", "echo $$; exit 3")
            assert cycle(task.annotate(**group)) == 3

    def held() -> tuple[int, int]:
        workers_ended(shim)
        kept.status()
        return descriptors(shim), anonymous(shim)

    some(0, CYCLES // 4)
    before = held()
    some(CYCLES // 4, CYCLES // 2)
    after = held()
    assert after[0] == before[0]
    # What its allocator keeps comes to rest after a hundred or two; tests/shim has a thousand.
    assert after[1] - before[1] < 256  # KiB
    assert end(kept) == 137
