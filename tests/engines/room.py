# SPDX-License-Identifier: Apache-2.0
"""A room: namespaces and a cgroup in which an engine lives, so that it can leave nothing behind.

Engines write iptables rules, switch on forwarding, make bridges, mount below /run and put sockets
where every other engine of the machine has them. In a room all of that is the room's own, and ends
with it: its process, mount, network and cgroup namespaces, a /run that is empty at first, and a
cgroup that looks like the root. Engines so use their default paths, and several rooms don't meet.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support import hierarchies, waiting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Without /usr/local: the distribution's engines are meant, not what else a machine has.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}

#: The first process: tini reaps what shims leave to it, and ends, with the room, when stdin does.
_HOLD = "exec tini -s -- sh -c 'echo ready; exec cat'"


class Room:
    """A context manager: the room is there inside, and gone with all that ran in it after.

    Attributes: `directory`, for files that the engine keeps (removed by pytest); `cgroup`, the
    room's root as the machine sees it ("/orlop-test-..."); `pid` of its first process.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cgroup = f"/orlop-test-room-{os.getpid()}-{directory.name}"

    def __enter__(self) -> Self:
        self._make_cgroup()
        namespaces = ["--mount", "--net", "--pid", "--cgroup", "--fork", "--kill-child"]
        command = ["unshare", *namespaces, "--mount-proc", "--propagation", "private"]
        script = f"{_mounts()}\nip link set lo up\n{_HOLD}"
        self._holder = subprocess.Popen(
            _in_cgroup(self._tops(), [*command, "sh", "-ec", script]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.pid = int(children.read_text().split()[0])
        if hierarchies.mode() == "v2":
            self._delegate()
        return self

    def __exit__(self, *exception: object) -> None:
        self._holder.communicate(timeout=waiting.limit(60))
        hierarchies.remove(self.cgroup)

    def command(self, *argv: str | Path, join: bool = True) -> list[str]:
        """The command line that runs `argv` in the room.

        join: in the room's cgroup as well; a mere client of an engine can do without.
        """
        namespaces = ["--mount", "--net", "--pid", "--cgroup"]
        inside = ["nsenter", f"--target={self.pid}", *namespaces, "--", *map(str, argv)]
        return _in_cgroup(self._leaves(), inside) if join else inside

    def spawn(
        self,
        *argv: str | Path,
        output: Path,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a daemon in the room, writing to the file `output`; it ends with the room."""
        with output.open("ab") as file:
            return subprocess.Popen(
                self.command(*argv),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**ENVIRONMENT, **(env or {})},
            )

    def run(
        self,
        *argv: str | Path,
        check: bool = True,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        join: bool = True,
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the room to its end.

        Raises AssertionError, with all that it wrote, where `check` and the status isn't 0.
        """
        result = subprocess.run(
            self.command(*argv, join=join),
            check=False,
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="surrogateescape",
            env={**ENVIRONMENT, **(env or {})},
            timeout=waiting.limit(seconds),
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"{shlex.join(map(str, argv))}: status {result.returncode}\n"
                f"{result.stdout}{result.stderr}"
            )
        return result

    def path(self, inside: str | Path) -> Path:
        """A file of the room's (below its /run, say) as a path out here."""
        return Path(f"/proc/{self.pid}/root/{str(inside).lstrip('/')}")

    def processes(self) -> dict[int, str]:
        """The room's processes, by their pids out here, with their command lines.

        Those of containers have pid namespaces of their own, and are found by their cgroup; clients
        may be in none of the room's.
        """
        mine = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        found = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                inside = os.stat(f"/proc/{name}/ns/pid").st_ino == mine
                cgroups = Path(f"/proc/{name}/cgroup").read_text()
                if inside or f":{self.cgroup}" in cgroups:
                    words = Path(f"/proc/{name}/cmdline").read_bytes()
                    found[int(name)] = words.replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # ended meanwhile; or the machine's own, and not to be looked at
        return found

    def mounts(self) -> set[str]:
        """The mount points in the room."""
        lines = Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()
        return {line.split(" ")[4] for line in lines}

    def cgroups(self) -> set[str]:
        """The directories of all hierarchies below the room's root, each once."""
        marker = f"{self.cgroup}/"
        return {str(d).partition(marker)[2] for d in hierarchies.below(self.cgroup)} - {""}

    def _tops(self) -> list[Path]:
        """The room's root in each hierarchy, as the machine sees it."""
        top = self.cgroup.lstrip("/")
        return [mountpoint / top for mountpoint in hierarchies.mountpoints().values()]

    def _leaves(self) -> list[Path]:
        """What a process of the room is put into: on v2 a leaf, which may have processes."""
        leaf = "room" if hierarchies.mode() == "v2" else ""
        return [top / leaf for top in self._tops()]

    def _make_cgroup(self) -> None:
        for directory in self._leaves():
            directory.mkdir(parents=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                # cpuset(7): on v1 a new one has none, and takes no process.
                if (directory / name).exists() and not (directory / "cgroup.type").exists():
                    (directory / name).write_text((directory.parent / name).read_text())

    def _delegate(self) -> None:
        """On v2, have all controllers below the room's root, which then has no process itself.

        The first process made its cgroup namespace there, and is moved only now.
        """
        (top,), (leaf,) = self._tops(), self._leaves()
        for pid in (top / "cgroup.procs").read_text().split():
            (leaf / "cgroup.procs").write_text(pid)
        for directory in (top.parent, top):
            names = (directory / "cgroup.controllers").read_text().split()
            wanted = " ".join(f"+{name}" for name in names)
            (directory / "cgroup.subtree_control").write_text(wanted)


def _in_cgroup(directories: Sequence[Path], command: Sequence[str]) -> list[str]:
    """`command`, in these cgroups: a thread that moves itself needs no grace period."""
    files = [str(d / ("tasks" if (d / "tasks").exists() else "cgroup.procs")) for d in directories]
    join = f'for file in {shlex.join(files)}; do echo 0 >"$file"; done; exec "$@"'
    return ["sh", "-ec", join, "sh", *command]


def _mounts() -> str:
    """The script that mounts the room's own /run, and the hierarchies with its cgroup as root."""
    lines = ["mount -t tmpfs -o mode=755 tmpfs /run", "mkdir /run/lock"]
    for names, mountpoint in hierarchies.mountpoints().items():
        kind = "cgroup2" if names == "v2" else f"cgroup -o {names}"
        where = shlex.quote(str(mountpoint))
        lines += [f"umount {where}", f"mount -t {kind} cgroup {where}"]
    return "\n".join(lines)
