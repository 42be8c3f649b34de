# SPDX-License-Identifier: Apache-2.0
"""Who is measured: this tree's programs, and what the machine has of others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from native import syscalls
from tests.support import hierarchies

ORLOP = Path(sys.executable).with_name("orlop")
ORLOPD = Path(sys.executable).with_name("orlopd")
SHIM = Path(sys.executable).with_name("containerd-shim-orlop-v1")
ROOT = Path(__file__).resolve().parents[1]
_CLONE_NEWNS, _MS_REC, _MS_SLAVE = 0x20000, 0x4000, 0x80000
_MNT_DETACH = 2


def find(name: str) -> str | None:
    """The newest program of this name: by PATH, /usr/local before /usr."""
    return shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def version(program: str) -> str:
    """The first line of `PROGRAM --version`."""
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return shown.stdout.partition("\n")[0]


def floor(directory: Path) -> Path:
    """The floor's program, built into `directory`."""
    program = directory / "floor"
    flags = ["-static", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    source = Path(__file__).with_name("floor.c")
    subprocess.run([find("gcc") or "gcc", *flags, "-o", program, source], check=True)
    return program


def without_v2() -> None:
    """Go to a mount namespace where the unified tree isn't mounted beside v1: crun wants that."""
    if hierarchies.mode() == "hybrid":
        syscalls.unshare(_CLONE_NEWNS)
        syscalls.mount("none", "/", "", _MS_REC | _MS_SLAVE)
        syscalls.umount2(str(hierarchies.mountpoints()["v2"]), _MNT_DETACH)


def machine() -> dict[str, object]:
    """What a reader of the figures wants to know of the machine."""
    about = os.uname()
    others = ("runc", "crun", "containerd", "dockerd", "podman")
    names = {"orlop": str(ORLOP)} | {name: path for name in others if (path := find(name))}
    return {
        "kernel": about.release,
        "machine": about.machine,
        "processors": os.cpu_count(),
        "cgroups": hierarchies.mode(),
        "load": os.getloadavg()[0],
        "versions": {name: version(path) for name, path in names.items()},
    }
