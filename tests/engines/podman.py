# SPDX-License-Identifier: Apache-2.0
"""Podman in a room: no daemon, but a store of its own and settings that name both runtimes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.engines import image
from tests.engines.leftovers import Leftovers
from tests.engines.runtime import orlop, runc
from tests.support import hierarchies
from tests.support.features import NOBODY

if TYPE_CHECKING:
    import subprocess

    from tests.engines.room import Room
    from tests.engines.runtime import Runtime

#: The name of the image for commands.
IMAGE = image.NAME

#: Names of runtimes' state directories; Podman leaves them to the runtimes.
STATES = ("runc", "orlop")

#: Made by Podman once, for its containers' and conmon's cgroups to be in.
PARENTS = ("libpod_parent", "libpod_parent/conmon", "conmon")

#: Ranges for --userns=auto, and for the unprivileged user of the rootless tests.
_SUBORDINATE = "containers:300000:65536\nnobody:200000:65536\n"


_POD = re.compile("[0-9a-f]{64}")


class Podman:
    """The command `podman` in a room, with its files in `directory`, a path in the room.

    prefix: what is put before the command, to change the user. Attribute `env`: what it finds in
    its environment, beside the room's.
    """

    run_directory = Path("/run")

    def __init__(self, room: Room, directory: Path, *prefix: str) -> None:
        self.room, self.directory, self._prefix = room, directory, prefix
        self.env = {
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
        }

    def start(self, archive: Path) -> None:
        """Make the room ready, and load the image."""
        self._make_room()
        self._write("containers.conf", self._settings())
        self._write("storage.conf", self._storage())
        self.room.run("install", "-m", "644", archive, "/run/image.tar")  # for any user to read
        self("load", "--quiet", "--input", "/run/image.tar")
        # Some things stay from the first use on: mounts of the store and of network namespaces.
        self("run", "--rm", "--init", IMAGE, "true")

    def _write(self, name: str, text: str) -> None:
        self.room.path(self.directory / name).write_text(text)

    def _make_room(self) -> None:
        """Give the room locks of its own, which Podman has in /dev/shm, and subordinate ids."""
        self.room.run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm")
        self.room.path("/run/subordinate").write_text(_SUBORDINATE)
        for name in ("/etc/subuid", "/etc/subgid"):
            self.room.run("mount", "--bind", "/run/subordinate", name)

    def _storage(self) -> str:
        return f"""
[storage]
driver = "overlay"
graphroot = "{self.directory}/store"
runroot = "/run/containers/storage"
"""

    def _settings(self) -> str:
        # Limits: raising them, Podman's default, takes a capability that a container may lack.
        # Without systemd: cgroups by cgroupfs, and no journal.
        return f"""
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
runtime_supports_json = ["orlop", "runc"]
[engine.runtimes]
orlop = ["{orlop().path}"]
runc = ["{runc().path}"]
[network]
network_backend = "netavark"
network_config_dir = "{self.directory}/networks"
"""

    def __call__(
        self, *argv: str | Path, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `podman argv...` to its end; AssertionError where `check` and it fails."""
        return self.room.run(*self._prefix, "podman", *argv, check=check, stdin=stdin, env=self.env)

    def using(self, runtime: Runtime, *argv: str | Path, check: bool = True) -> str:
        """`podman --runtime ... argv...`; what it writes to stdout, without the last newline."""
        return self("--runtime", runtime.name, *argv, check=check).stdout.removesuffix("\n")

    def client(self, *argv: str) -> list[str]:
        """The command line of `podman argv...`, to be started by the test."""
        words = [f"{name}={value}" for name, value in self.env.items()]
        return self.room.command("env", *words, *self._prefix, "podman", *argv)

    def inspect(self, name: str) -> dict[str, Any]:
        """What `podman inspect` shows of a container."""
        found: dict[str, Any] = json.loads(self("inspect", "--type=container", name).stdout)[0]
        return found

    def state(self, name: str) -> dict[str, Any]:
        """The container's State: Status, ExitCode, OOMKilled, Pid, ..."""
        state: dict[str, Any] = self.inspect(name)["State"]
        return state

    def remove_all(self) -> None:
        """Remove all pods and containers, whatever their state, and their volumes."""
        # Podman's clean-up process and this may unmount the same thing, and then it says busy.
        if self("pod", "rm", "--all", "--force", "--time=0", check=False).returncode:
            self("pod", "rm", "--all", "--force", "--time=0")
        self("rm", "--all", "--force", "--volumes", "--time=0")
        # Podman makes a pod's cgroup in the hierarchies of v1 controllers, and removes only these.
        for cgroup in hierarchies.below(f"{self.room.cgroup}/libpod_parent"):
            if _POD.fullmatch(cgroup.name):
                cgroup.rmdir()

    def leftovers(self) -> Leftovers:
        """A watch over what tests leave beside the image."""
        states = [self.run_directory / name for name in STATES]
        own = (*PARENTS, f"{self.directory}/store/overlay")
        return Leftovers(self.room, *states, own=own)


class PodmanRootless(Podman):
    """Podman of an unprivileged user, whose directories are below /run of the room.

    That is a file system in memory, and pytest's directories are not to be entered by others.
    """

    run_directory = Path("/run/user") / str(NOBODY)

    def __init__(self, room: Room) -> None:
        home = Path("/run/home")
        user = f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"
        super().__init__(room, home, "setpriv", *user)
        self.env |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(self.run_directory)}

    def _make_room(self) -> None:
        super()._make_room()
        for path in (self.directory, self.run_directory):
            self.room.run("install", "-d", "-o", str(NOBODY), "-g", str(NOBODY), path)
        # slirp4netns needs it, and udev lets everyone open it.
        self.room.run("mknod", "-m", "666", "/run/tun", "c", "10", "200")
        self.room.run("mount", "--bind", "/run/tun", "/dev/net/tun")

    def _storage(self) -> str:
        return f"""
[storage]
driver = "vfs"
graphroot = "{self.directory}/store"
"""
