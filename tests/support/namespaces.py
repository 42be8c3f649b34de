# SPDX-License-Identifier: Apache-2.0
"""Namespaces to join, seen from outside; and bundles whose root is an ordinary user of the host."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import leaks
from tests.support.bundle import Bundle
from tests.support.waiting import limit, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.container import Container

#: runtime-spec's types, and the names of their files in /proc/PID/ns.
FILES = {
    "cgroup": "cgroup",
    "ipc": "ipc",
    "mount": "mnt",
    "network": "net",
    "pid": "pid",
    "time": "time",
    "user": "user",
    "uts": "uts",
}
#: Host ids of a user namespace that maps a range: the first, and how many.
FIRST, COUNT = 100000, 65536
_OPTIONS = {"network": "--net"}  # of unshare(1), where they aren't named as the type


def links(pid: int | str) -> dict[str, str]:
    """The namespaces of a process, by the spec's types."""
    return {kind: os.readlink(f"/proc/{pid}/ns/{file}") for kind, file in FILES.items()}


class Holder:
    """Processes with namespaces of their own, until `close()`."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, *kinds: str, setgroups: bool = True) -> dict[str, str]:
        """Start a process with namespaces of these types; their paths.

        A user namespace of it maps root alone; `setgroups`: whether setgroups(2) is for it.
        """
        options = [_OPTIONS.get(kind, f"--{kind}") for kind in kinds]
        options += ["--fork"] if "pid" in kinds else []
        command = ["unshare", *options, "sh", "-c", "echo ready; exec cat"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._processes.append(process)
        assert process.stdout is not None
        readable(process.stdout.fileno(), 10, "unshare")
        assert process.stdout.readline() == b"ready\n"
        directory = Path(f"/proc/{process.pid}")
        if not setgroups:
            (directory / "setgroups").write_text("deny")
        if "user" in kinds:
            for name in ("uid_map", "gid_map"):
                (directory / name).write_text("0 0 1\n")
        return {kind: str(directory / "ns" / _file(kind)) for kind in kinds}

    def close(self) -> None:
        """End the processes: the end of their input is theirs."""
        for process in self._processes:
            process.communicate(timeout=limit(20))


def _file(kind: str) -> str:
    """unshare(1) itself is not in its new pid and time namespaces: its children are."""
    return FILES[kind] + ("_for_children" if kind in ("pid", "time") else "")


def set_namespaces(bundle: Bundle, wanted: dict[str, str]) -> None:
    """Exactly these types, each made (path "") or joined."""
    bundle.linux["namespaces"] = [
        {"type": kind, "path": path} if path else {"type": kind} for kind, path in wanted.items()
    ]


def join(bundle: Bundle, paths: dict[str, str]) -> None:
    """Join these in place of new ones."""
    kept = [n for n in bundle.linux["namespaces"] if n["type"] not in paths]
    bundle.linux["namespaces"] = [
        *kept,
        *({"type": kind, "path": path} for kind, path in paths.items()),
    ]


def map_root(bundle: Bundle, size: int = 1) -> None:
    """Maps in which the host's root is root, for a user namespace that the test adds."""
    mapping = {"containerID": 0, "hostID": 0, "size": size}
    bundle.linux.update(uidMappings=[mapping], gidMappings=[mapping])


def unmap_tty_group(bundle: Bundle) -> None:
    """Leave the group of /dev/pts out: a user namespace with one user doesn't have it."""
    for mount in bundle.spec["mounts"]:
        if mount["destination"] == "/dev/pts":
            mount["options"].remove("gid=5")


class Mapped:
    """Makes containers whose root is an unprivileged user of the host.

    Their directory is not tmp_path, which only its owner can enter.
    """

    def __init__(self, make_container: Callable[[Bundle], Container], cgroup: str) -> None:
        self._make_container, self._cgroup = make_container, cgroup
        self.directory = Path(tempfile.mkdtemp(prefix="orlop-mapped-"))
        self.directory.chmod(0o711)
        self._made: list[Container] = []

    def __call__(self) -> Container:
        """One more container, not created yet, in a new user namespace."""
        n = len(self._made)
        bundle = Bundle(self.directory / f"bundle-{n}", f"{self._cgroup}/mapped-{n}")
        for path in (bundle.rootfs, *bundle.rootfs.iterdir()):
            os.chown(path, FIRST, FIRST)
        mapping = {"containerID": 0, "hostID": FIRST, "size": COUNT}
        bundle.linux["namespaces"].append({"type": "user"})
        bundle.linux.update(uidMappings=[mapping], gidMappings=[mapping])
        self._made.append(self._make_container(bundle))
        return self._made[-1]

    def close(self) -> None:
        """Delete all. Raises AssertionError where a mount is left."""
        for container in reversed(self._made):
            container.close()
        left = leaks.mounts(self.directory)
        shutil.rmtree(self.directory)
        assert not left, left
