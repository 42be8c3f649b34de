# SPDX-License-Identifier: Apache-2.0
"""What a test may leave behind: nothing.

Tests run beside each other, so that counting the machine's processes or mounts proves nothing. A
leak is found by what marks it as this test's: its directory and its cgroups.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import hierarchies, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDED = "ZX"  # zombies wait for whoever started the tests, not for us


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _identity(path: Path | str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def processes(directory: Path, cgroup: str) -> list[str]:
    """Living processes that belong to a test: by command line, root directory or cgroup."""
    roots = {_identity(rootfs) for rootfs in directory.glob("*/rootfs")} - {None}
    found = []
    for pid in _pids():
        command = _text(f"/proc/{pid}/cmdline").replace("\0", " ")
        mine = (
            str(directory) in command
            or _identity(f"/proc/{pid}/root") in roots
            or f"{cgroup}/" in _text(f"/proc/{pid}/cgroup")
        )
        state = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if mine and pid != os.getpid() and state and state[0] not in ENDED:
            found.append(f"process {pid} {command}")
    return found


def mounts(directory: Path) -> list[str]:
    """Mounts below the test's directory in the tests' mount namespace."""
    targets = (line.split(" ")[4] for line in _text("/proc/self/mountinfo").splitlines())
    return [f"mount {t}" for t in targets if t == str(directory) or t.startswith(f"{directory}/")]


def cgroups(cgroup: str, *, parent: bool) -> list[str]:
    """Directories of the test's cgroups in any hierarchy; with `parent`, their common one too."""
    return [
        f"cgroup {d}" for d in hierarchies.below(cgroup) if parent or d.name != cgroup.strip("/")
    ]


def state(root: Path) -> list[str]:
    """What is left in the runtime's state directory."""
    return [f"state {entry}" for entry in root.iterdir()] if root.is_dir() else []


def descriptors() -> dict[int, str]:
    """This process's open descriptors."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one of listdir itself
    return found


class Watch:
    """Sees what a test leaves: made before it, `check()` after everything of it was deleted."""

    def __init__(self, directory: Path, cgroup: str, *, parents: bool) -> None:
        self.directory, self.cgroup, self.parents = directory, cgroup, parents
        self._descriptors = descriptors()

    def found(self) -> list[str]:
        """The leaks there are now, one per line of text."""
        new = descriptors().items() - self._descriptors.items()
        return [
            *processes(self.directory, self.cgroup),
            *mounts(self.directory),
            *cgroups(self.cgroup, parent=self.parents),
            *state(self.directory / "state"),
            *(f"descriptor {fd} {target}" for fd, target in sorted(new)),
        ]

    def settled(self) -> list[str]:
        """What is left once the processes that are about to end have ended. Raises TimeoutError."""
        for line in self.found():
            if line.startswith("process "):
                waiting.ended(int(line.split()[1]))
        return self.found()

    def check(self) -> None:
        """Raise AssertionError with the leaks' list where there are any."""
        leaks = self.found()
        assert not leaks, "left behind:\n" + "\n".join(leaks)
