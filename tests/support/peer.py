# SPDX-License-Identifier: Apache-2.0
"""The same bundle with another runtime, and what its container sees, made comparable."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.support import hierarchies, probe
from tests.support.cli import Cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle

#: Of a superblock, and so the host's business, or counted anew for each mount.
_VARYING = ("size=", "nr_inodes=", "inode64", "seclabel", "uuid=")
#: crun refuses hosts with controllers on both versions.
_WITHOUT_V2 = ["unshare", "--mount", "sh", "-c", 'umount "$0" && exec "$@"']


class Peer(Cli):
    """Debian's runc or crun, driven as the runtime under test is."""

    def __init__(self, directory: Path, name: str = "runc") -> None:
        super().__init__(directory)
        self.name = name

    def command(self, *argv: str | Path) -> list[str]:
        """The whole command line for `argv`."""
        program = shutil.which(self.name)
        assert program is not None
        command = [program, "--root", str(self.root), *map(str, argv)]
        if self.name == "crun" and hierarchies.mode() == "hybrid":
            v2 = hierarchies.mountpoints()["v2"]
            if (v2 / "cgroup.controllers").read_text().strip():
                return [*_WITHOUT_V2, str(v2), *command]
        return command


def line(mount: probe.Mount) -> str:
    """One mount without the numbers that differ from start to start."""
    options = ",".join(sorted(mount.options))
    shown = ",".join(word for word in mount.superoptions if not word.startswith(_VARYING))
    kinds = sorted(field.partition(":")[0] for field in mount.propagation)
    return " ".join([mount.target, mount.kind, mount.root, options, "+".join(kinds) or "-", shown])


def table(mountinfo: str, below: str = "/") -> list[str]:
    """The lines of a mountinfo at and below a path, comparable; those that cover each other too."""
    mounts = map(probe.Mount, mountinfo.splitlines())
    top = below.rstrip("/")
    return sorted(line(m) for m in mounts if m.target == below or m.target.startswith(f"{top}/"))


def see(cli: Cli, bundle: Bundle, *options: str, below: str = "/") -> list[str]:
    """Run a container of `bundle` and return the mounts that its program sees."""
    bundle.args("mounts").write()
    name = f"seen-{os.getpid()}-{type(cli).__name__.lower()}"
    result = cli("run", "--bundle", bundle.path, *options, name)
    return table(result.stdout, below)
