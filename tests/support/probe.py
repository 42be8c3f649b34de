# SPDX-License-Identifier: Apache-2.0
"""Build tests/probe.c, once per version of it, and read what it prints."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "probe.c"
FLAGS = ["-static", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Werror"]


def build(source: Path = SOURCE) -> Path:
    """The static probe, or another program of one file: build/tests/NAME-HASH.

    Safe where several workers build at once.
    """
    digest = hashlib.sha256(source.read_bytes() + repr(FLAGS).encode()).hexdigest()[:16]
    program = ROOT / "build" / "tests" / f"{source.stem}-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        part = program.with_name(f"{program.name}.{os.getpid()}")
        subprocess.run(["gcc", *FLAGS, "-o", str(part), str(source)], check=True, timeout=120)
        part.chmod(0o755)
        part.replace(program)
    return program


def facts(text: str) -> dict[str, str]:
    """Lines of the form "name value ..." as a dictionary (`caps`, `id`, `rlimits`, `pid`, ...)."""
    return {name: value for name, _, value in (line.partition(" ") for line in text.splitlines())}


class Mount:
    """One line of mountinfo (proc_pid_mountinfo(5)); `kind` is the file system's type."""

    __slots__ = (
        "id",
        "kind",
        "options",
        "parent",
        "propagation",
        "root",
        "source",
        "superoptions",
        "target",
    )

    def __init__(self, line: str) -> None:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        self.id, self.parent = int(fields[0]), int(fields[1])
        self.root, self.target = fields[3], fields[4]
        self.options = fields[5].split(",")
        self.propagation = fields[6:]
        self.kind, self.source, superoptions = [*right.split(" "), "", ""][:3]
        self.superoptions = superoptions.split(",")


def mounts(text: str) -> dict[str, Mount]:
    """What `probe mounts` printed, by target; where mounts cover each other the topmost wins."""
    return {mount.target: mount for mount in map(Mount, text.splitlines())}
