# SPDX-License-Identifier: Apache-2.0
"""Containers as clients see them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.cgroups import host as cgroup_host
from spec.errors import OrlopError

if TYPE_CHECKING:
    from supervisor.container import Container

OCI_VERSION = "1.3.0"
STATUSES = ["creating", "created", "running", "paused", "stopped"]


def status(container: Container) -> str:
    """The standard's word."""
    found = container.record.status
    return "stopped" if found == "deleting" else found


def state(container: Container) -> dict[str, object]:
    """The standard's state."""
    record = container.record
    found: dict[str, object] = {"ociVersion": OCI_VERSION, "id": record.id,
                                "status": status(container), "bundle": record.bundle}  # fmt: skip
    if record.settings.get("annotations"):
        found["annotations"] = record.settings["annotations"]
    return {**found, "pid": record.pid} if record.pid else found


def host() -> dict[str, object]:
    """The machine: memory in bytes; cgroup is v1, hybrid or v2, "" where there is none."""
    about = os.uname()
    try:
        mode = cgroup_host.detect().mode
    except OrlopError:
        mode = ""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {"name": about.nodename, "kernel": about.release, "machine": about.machine,
            "processors": os.cpu_count(), "memory": pages * size, "cgroup": mode}  # fmt: skip
