# SPDX-License-Identifier: Apache-2.0
"""The figures of `system.metrics` and of the page for Prometheus."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from runtime import events
from spec.errors import OrlopError
from supervisor import shim_process
from supervisor.api import views

if TYPE_CHECKING:
    from supervisor.store import Store

_NANO = 1_000_000_000


async def figures(store: Store) -> dict[str, Any]:
    """All of them; those of each container where `metrics.containers` is set."""
    found = {"containers": containers(store), **store.meter.figures()}
    found["planner"] = {"pid": store.planner.pid, "starts": store.planner.starts} if (
        store.planner) else None  # fmt: skip
    if store.configuration.flag("metrics.containers"):
        ids = [c.record.id for c in store.all() if c.record.status in ("running", "paused")]
        found["each"] = await asyncio.to_thread(_each, store.state_root, ids)
    return found


def containers(store: Store) -> dict[str, int]:
    """How many, by status."""
    counts = dict.fromkeys(views.STATUSES, 0)
    for container in store.all():
        counts[views.status(container)] += 1
    return counts


def _each(state_root: str, ids: list[str]) -> dict[str, dict[str, float]]:
    """Memory in bytes, CPU in seconds, processes, as the cgroup counts them."""
    root, found = os.path.join(state_root, shim_process.NAMESPACE), {}
    for container_id in ids:
        try:
            data: Any = events.stats(root, container_id)["data"]
        except (OrlopError, OSError):
            continue  # it has ended meanwhile, or has no cgroup
        found[container_id] = {
            "cpu_seconds_total": _at(data, "cpu", "usage", "total") / _NANO,
            "memory_bytes": _at(data, "memory", "usage", "usage"),
            "pids": _at(data, "pids", "current"),
        }
    return found


def _at(data: Any, *names: str) -> float:  # noqa: ANN401 - any JSON
    """A figure; one that isn't there is 0 (Go's omitempty)."""
    for name in names:
        data = data.get(name) or {}
    return float(data or 0)
