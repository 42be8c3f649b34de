# SPDX-License-Identifier: Apache-2.0
"""The configuration that Docker gives a container by default, asked of Docker itself, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.peers import ROOT, find
from tests.engines import image
from tests.engines.docker import IMAGE, Docker
from tests.engines.room import Room

_KEPT = ROOT / "build" / "bench" / "docker-config.json"
_BUNDLES = Path("/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby")


def apply(spec: dict[str, Any]) -> None:
    """Give `spec` Docker's namespaces, mounts, masks, capabilities and seccomp profile.

    Its program, root file system and cgroup stay, and what is Docker's own goes: hooks, files that
    it binds, its network namespace. Raises RuntimeError where Docker isn't installed.
    """
    found = _config()
    process = found["process"]
    process["args"], process["terminal"] = spec["process"]["args"], False
    linux = found["linux"]
    linux["cgroupsPath"] = spec["linux"]["cgroupsPath"]
    linux["namespaces"] = [{"type": each["type"]} for each in linux["namespaces"]]
    spec["mounts"] = [each for each in found["mounts"] if each["type"] != "bind"]
    spec["process"], spec["linux"], spec["hostname"] = process, linux, found["hostname"]
    spec["root"]["readonly"] = False


def _config() -> dict[str, Any]:
    if not _KEPT.exists():
        if not find("dockerd"):
            raise RuntimeError("dockerd is not installed")
        _KEPT.parent.mkdir(parents=True, exist_ok=True)
        _KEPT.write_text(_ask(_KEPT.parent))
    found: dict[str, Any] = json.loads(_KEPT.read_text())
    return found


def _ask(directory: Path) -> str:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="orlop-bench-") as name:
        directory = Path(name)
        (directory / "image").mkdir()
        with Room(directory) as room:
            docker = Docker(room)
            docker.start(image.archive(directory / "image"))
            container = docker("run", "--detach", IMAGE, "sleep", "1000").stdout.strip()
            text = room.path(_BUNDLES / container / "config.json").read_text()
            docker.remove_all()
            docker.daemon.stop()
            return text
