# SPDX-License-Identifier: Apache-2.0
"""Docker in a room: a daemon that knows both runtimes, and its client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.engines import image
from tests.engines.client import Lines
from tests.engines.daemon import Daemon
from tests.engines.leftovers import Leftovers
from tests.engines.runtime import ShimPath, orlop

if TYPE_CHECKING:
    import subprocess

    from tests.engines.room import Room
    from tests.engines.runtime import Runtime

#: Where all runtimes keep their states, in the room.
STATES = Path("/run/docker/runtime-runc/moby")

#: The shim's own: where a shim listens, and what containerd keeps of a task.
_SHIM_STATES = [
    Path("/run/containerd/s"),
    Path("/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby"),
]

#: The name of the image for commands.
IMAGE = image.NAME.removeprefix("docker.io/library/")


class Docker:
    """dockerd in a room, with `settings` and `env` beside what keeps its files together."""

    def __init__(
        self,
        room: Room,
        settings: dict[str, object] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.room = room
        self._environment = {"DOCKER_CONFIG": str(room.directory / "client")}
        config = room.directory / "daemon.json"
        config.write_text(json.dumps(self._settings() | (settings or {})))
        self.daemon = Daemon(room, "dockerd", "--config-file", config, env=env)

    def _settings(self) -> dict[str, object]:
        return {
            "data-root": str(self.room.directory / "data"),
            "deprecated-key-path": str(self.room.directory / "key.json"),
            "runtimes": {"orlop": {"path": str(orlop().path)}},
        }

    def start(self, archive: Path) -> None:
        """Start the daemon, and load the image."""
        self.daemon.start()
        self("load", "--input", archive)

    def __call__(
        self,
        *argv: str | Path,
        check: bool = True,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker argv...` to its end; AssertionError where `check` and it fails."""
        environment = self._environment | (env or {})
        command = ("docker", *argv)
        return self.room.run(*command, check=check, stdin=stdin, env=environment, join=False)

    def run(self, runtime: Runtime, *argv: str, check: bool = True) -> str:
        """`docker run --runtime ... argv...`; its output, without the last newline."""
        result = self("run", "--runtime", runtime.name, *argv, check=check)
        return result.stdout.removesuffix("\n")

    def client(self, *argv: str) -> list[str]:
        """The command line of `docker argv...`, to be started by the test."""
        words = [f"{name}={value}" for name, value in self._environment.items()]
        return self.room.command("env", *words, "docker", *argv, join=False)

    def lines(self, *argv: str) -> Lines:
        """The output of `docker argv...`, line by line, in a `with` statement."""
        return Lines(self.client(*argv))

    def inspect(self, name: str) -> dict[str, Any]:
        """What `docker inspect` shows of a container."""
        found: dict[str, Any] = json.loads(self("inspect", "--type=container", name).stdout)[0]
        return found

    def state(self, name: str) -> dict[str, Any]:
        """The container's State: Status, ExitCode, OOMKilled, Pid, ..."""
        state: dict[str, Any] = self.inspect(name)["State"]
        return state

    def remove_all(self) -> None:
        """Remove all containers, whatever their state."""
        if ids := self("ps", "--all", "--quiet").stdout.split():
            self("rm", "--force", "--volumes", *ids)

    def leftovers(self) -> Leftovers:
        """A watch over what tests leave beside the daemon and its containerd."""
        own = ("docker", "/run/docker/netns/default")
        return Leftovers(self.room, STATES, *_SHIM_STATES, own=own)


class DockerOverShim(Docker):
    """dockerd whose containerd finds our shim where it looks for runc's, and a runc that refuses.

    Docker before 23 ignores `runtimeType`: it asks containerd for io.containerd.runc.v2, always.
    """

    def __init__(self, room: Room, settings: dict[str, object] | None = None) -> None:
        self.offered = ShimPath(room.directory / "bin", "containerd-shim-runc-v2")
        runtimes = {"runtimes": {"shim": {"path": str(self.offered.runc)}}}
        super().__init__(room, runtimes | (settings or {}), self.offered.environment)


class Plugged(NamedTuple):
    """The name of a runtime, and the daemon that knows it."""

    docker: Docker
    runtime: str

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """`docker run --rm --runtime ... argv...`; it may fail."""
        return self.docker("run", "--rm", "--runtime", self.runtime, *argv, check=False)


def map_nobody(room: Room) -> None:
    """Give nobody the ids 200000 and on, for a daemon with `userns-remap`."""
    ids = room.directory / "ids"
    ids.write_text("nobody:200000:65536\n")
    for name in ("/etc/subuid", "/etc/subgid"):
        room.run("mount", "--bind", ids, name)
