# SPDX-License-Identifier: Apache-2.0
"""Processes that lack something for a while, and file systems that are full or read-only."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from typing import TYPE_CHECKING

from tests.support import hierarchies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def descriptors(pid: int) -> list[int]:
    """Those of a process, by number."""
    return sorted(map(int, os.listdir(f"/proc/{pid}/fd")))


@contextlib.contextmanager
def limited(pid: int, kind: int, value: int) -> Iterator[None]:
    """A process with a soft resource limit (prlimit(2)) for a while."""
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


@contextlib.contextmanager
def no_processes(pid: int, cgroup: str) -> Iterator[None]:
    """A process that can start no other one."""
    place = hierarchies.directory("pids", f"{cgroup}-around")
    top = hierarchies.mountpoints().get("v2")
    if top == place.parent:
        (top / "cgroup.subtree_control").write_text("+pids")
    before = hierarchies.directory("pids", membership(pid))
    place.mkdir()
    (place / "pids.max").write_text("1")
    (place / "cgroup.procs").write_text(str(pid))
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text(str(pid))
        place.rmdir()


def membership(pid: int) -> str:
    """The cgroup that a process is in, in the hierarchy of the pids controller."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            if "pids" in names.split(",") or (hierarchies.mode() == "v2" and not names):
                return path
    raise AssertionError(pid)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    """A directory that can't be written."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(directory: Path) -> Path:
    """Leave no byte free; the file to be removed for room."""
    filler = directory / "~filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler
