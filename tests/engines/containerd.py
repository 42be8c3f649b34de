# SPDX-License-Identifier: Apache-2.0
"""containerd in a room, driven by ctr, with all runtimes known to its CRI plugin."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines import image
from tests.engines.client import Lines
from tests.engines.daemon import Daemon
from tests.engines.leftovers import Leftovers
from tests.engines.runtime import SHIM, SHIM_TYPE, ShimPath, orlop, runc, shim

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.engines.room import Room
    from tests.engines.runtime import Runtime

#: Where runtimes and our shim keep the states of ctr's containers, and of Kubernetes', in the room.
STATES = [
    Path(f"/run/containerd/{name}/{namespace}")
    for name in ("runc", "orlop")
    for namespace in ("default", "k8s.io")
]

#: The bundles, in the room: NAMESPACE/ID.
TASKS = Path("/run/containerd/io.containerd.runtime.v2.task")
_SHIM_STATES = [
    Path("/run/containerd/s"),
    *(TASKS / namespace for namespace in ("default", "k8s.io")),
]

#: Any snapshotter but this one may need what a machine's file systems can't do.
SNAPSHOTTER = "native"

_CONFIG = """\
version = 2
root = "{root}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  # Raising the scores of a sandbox needs CAP_SYS_RESOURCE; a machine may not have it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
"""

_RUNTIME = """\
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        BinaryName = "{path}"
"""

_OUR_SHIM = f"""\
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{shim().name}]
      runtime_type = "{SHIM_TYPE}"
"""


class Containerd:
    """containerd in a room."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.root = room.directory / "root"
        config = room.directory / "config.toml"
        text = _CONFIG.format(root=self.root, image=image.PAUSE, snapshotter=SNAPSHOTTER)
        for each in (runc(), orlop()):
            text += _RUNTIME.format(name=each.name, path=each.path)
        config.write_text(text + _OUR_SHIM)
        self.offered = ShimPath(room.directory / "bin", SHIM.name)
        environment = self.offered.environment
        self.daemon = Daemon(room, "containerd", "--config", config, env=environment)

    def start(self, archive: Path) -> None:
        """Start the daemon, and import the images for ctr and for Kubernetes."""
        self.daemon.start()
        words = ("image", "import", "--snapshotter", SNAPSHOTTER)
        self(*words, archive)
        pause = self.room.directory / "pause"
        for each in (archive, image.archive(pause, image.PAUSE, Cmd=["sleep", "100000"])):
            self("--namespace", "k8s.io", *words, each)

    def start_again(self) -> None:
        """Start the daemon once more, up to its CRI plugin, which READY=1 doesn't wait for."""
        seen = self.daemon.log.stat().st_size
        self.daemon.start()
        with Lines(["tail", "--follow", f"--bytes=+{seen + 1}", str(self.daemon.log)]) as log:
            log.until("Start streaming server")

    def __call__(
        self, *argv: str | Path, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `ctr argv...` to its end; AssertionError where `check` and it fails."""
        return self.room.run("ctr", *argv, check=check, stdin=stdin, join=False)

    def client(self, *argv: str) -> list[str]:
        """The command line of `ctr argv...`, to be started by the test."""
        return self.room.command("ctr", *argv, join=False)

    @contextmanager
    def events(self) -> Iterator[Lines]:
        """The daemon's events from now on: `ctr events` doesn't say when it has begun."""
        with Lines(self.client("events")) as lines:
            for number in itertools.count(1):
                self("namespaces", "label", "default", f"mark=m{number}")
                if lines.shows(f'"mark":"m{number}"', seconds=0.2):
                    break
            yield lines

    def run_words(self, runtime: Runtime, *options: str) -> list[str]:
        """`run` with the runtime, up to and with the image; a name and a command are to follow."""
        plug = ["--runc-binary", str(runtime.path)]
        if runtime == shim():
            plug = ["--runtime", SHIM_TYPE]
        return ["run", "--snapshotter", SNAPSHOTTER, *plug, *options, image.NAME]

    def run(
        self, runtime: Runtime, *argv: str, options: tuple[str, ...] = (), check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`ctr run options... IMAGE argv...`."""
        return self(*self.run_words(runtime, *options), *argv, check=check)

    def status(self, name: str) -> str:
        """RUNNING, PAUSED, STOPPED, or "" where there is no such task."""
        for line in self("task", "list").stdout.splitlines()[1:]:
            if line.split()[0] == name:
                return line.split()[2]
        return ""

    def pid(self, name: str, namespace: str = "default") -> int:
        """The pid, in the room, of a task's first process."""
        lines = self("--namespace", namespace, "task", "list").stdout.splitlines()[1:]
        return next(int(line.split()[1]) for line in lines if line.split()[0] == name)

    def remove_all(self) -> None:
        """Remove ctr's containers, whatever their state."""
        for name in self("task", "list", "--quiet").stdout.split():
            self("task", "delete", "--force", name, check=False)
        for name in self("container", "list", "--quiet").stdout.split():
            self("container", "remove", name)

    def leftovers(self) -> Leftovers:
        """A watch over what tests leave beside the daemon."""
        return Leftovers(self.room, *STATES, *_SHIM_STATES, own=("default", "pods"))
