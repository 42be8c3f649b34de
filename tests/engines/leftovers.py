# SPDX-License-Identifier: Apache-2.0
"""What a test leaves in a room that goes on for others: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import waiting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.room import Room


class Leftovers:
    """Made before a test, checked after everything of it was removed through the engine.

    roots: the runtimes' state directories, as paths in the room.
    own: cgroups and mounts that the engine makes once, and keeps.
    """

    def __init__(self, room: Room, *roots: Path, own: tuple[str, ...] = ()) -> None:
        self._room, self._roots, self._own = room, roots, set(own)
        self._processes = room.processes().keys()
        self._mounts = room.mounts()
        self._cgroups = room.cgroups()
        self._before = self._states()

    def check(self) -> None:
        """Raise AssertionError with the list of what is left.

        An engine may answer before a shim or a proxy has ended: those get some time to do so.
        """
        for pid, command in self._new_processes().items():
            try:
                waiting.ended(pid)
            except TimeoutError:
                raise AssertionError(f"left behind: process {pid} {command}") from None
        left = [
            *(f"mount {mount}" for mount in self._room.mounts() - self._mounts - self._own),
            *(f"cgroup {cgroup}" for cgroup in self._new_cgroups()),
            *(f"state {entry}" for entry in self._states() - self._before),
        ]
        assert not left, "left behind:\n" + "\n".join(left)

    def _new_processes(self) -> dict[int, str]:
        return {
            pid: command
            for pid, command in self._room.processes().items()
            if pid not in self._processes
        }

    def _new_cgroups(self) -> set[str]:
        return self._room.cgroups() - self._cgroups - self._own

    def _states(self) -> set[Path]:
        found: set[Path] = set()
        for root in map(self._room.path, self._roots):
            found.update(root.iterdir() if root.is_dir() else ())
        return {entry for entry in found if entry.name != "~seccomp"}  # the cache of filters
