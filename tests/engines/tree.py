# SPDX-License-Identifier: Apache-2.0
"""The process tree around a container: who is its parent, and whether that is our shim."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engines.room import Room

#: A shim of ours has it mapped, under whatever name and by whomever it was started.
_MODULE = str(Path(__file__).parents[2] / "native" / "_syscalls.")


def outside(room: Room, pid: int) -> list[int]:
    """The process whose pid in the room is `pid`, by its pid out here; nothing where it is gone."""
    found = []
    for each in room.processes():
        with suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            inside = _status(each, "NSpid").split()
            if inside[1:2] == [str(pid)]:
                found.append(each)
    return found


def shim_of(room: Room, pid: int) -> int:
    """The parent of a container's init (`pid` in the room), by its pid out here.

    Raises AssertionError where that is not our shim.
    """
    (init,) = outside(room, pid)
    shim = parent(init)
    assert _MODULE in Path(f"/proc/{shim}/maps").read_text(), room.processes().get(shim)
    return shim


def parent(pid: int) -> int:
    """A process's parent."""
    return int(_status(pid, "PPid"))


def children(pid: int) -> list[int]:
    """A process's children."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def same_namespace(kind: str, *pids: int) -> bool:
    """Whether processes have a namespace (its file's name in /proc/PID/ns) in common."""
    return len({os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids}) == 1


def _status(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split("\n")[0]
