# SPDX-License-Identifier: Apache-2.0
"""The machine's cgroup hierarchies as the tests see them: on their own, not through the runtime."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from pathlib import Path

from tests.support import waiting


def mountpoints() -> dict[str, Path]:
    """Where each hierarchy is mounted, by its v1 controllers ("cpu,cpuacct", "name=x") or "v2"."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ")
        if kind == "cgroup2":
            found.setdefault("v2", Path(fields.split(" ")[4]))
        elif kind == "cgroup":
            names = [
                o for o in options.split(",") if o not in ("rw", "ro", "xattr", "clone_children")
            ]
            found.setdefault(",".join(names), Path(fields.split(" ")[4]))
    return found


def mode() -> str:
    """Return "v1", "hybrid", "v2" or "none"."""
    names = mountpoints().keys()
    v1 = any(name != "v2" and not name.startswith("name=") for name in names)
    if v1:
        return "hybrid" if "v2" in names else "v1"
    return "v2" if "v2" in names else "none"


def directory(controller: str, cgroup: str) -> Path:
    """The directory of `cgroup` ("/a/b") in the hierarchy that has `controller`."""
    for names, mountpoint in mountpoints().items():
        if controller in names.split(","):
            return mountpoint / cgroup.lstrip("/")
    return mountpoints()["v2"] / cgroup.lstrip("/")


def below(cgroup: str) -> list[Path]:
    """The directories of `cgroup` and of all below it, in all hierarchies, innermost first."""
    found: list[Path] = []
    for mountpoint in mountpoints().values():
        top = mountpoint / cgroup.lstrip("/")
        if top.is_dir():
            found += [*(d for d in top.rglob("*") if d.is_dir()), top]
    return sorted(found, key=lambda d: -len(d.parts))


def processes(cgroup: str) -> set[int]:
    """The processes in `cgroup` and below it, in any hierarchy."""
    pids: set[int] = set()
    for each in below(cgroup):
        try:
            pids.update(map(int, (each / "cgroup.procs").read_text().split()))
        except OSError as error:
            # ENODEV: removed meanwhile; EOPNOTSUPP: threaded.
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
                raise
    return pids


def remove(cgroup: str) -> None:
    """Remove `cgroup` from all hierarchies; a process that a failed test left in it is killed."""
    for pid in processes(cgroup):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        waiting.ended(pid)
    for each in below(cgroup):
        each.rmdir()
