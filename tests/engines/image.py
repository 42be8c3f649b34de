# SPDX-License-Identifier: Apache-2.0
"""An image of one busybox, made without a registry, in the format that every engine loads."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: What the image is called in all engines.
NAME = "docker.io/library/orlop-busybox:1"

#: Of the same files, one that waits: what Kubernetes starts first in a pod.
PAUSE = "docker.io/library/orlop-pause:1"

#: Users of the image, beside root.
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsailor:x:1000:1000::/home:/bin/sh\n",
    "etc/group": "root:x:0:\nsailor:x:1000:\ntar:x:1001:sailor\n",
}

_DIRECTORIES = ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var")


def rootfs(directory: Path) -> Path:
    """Make a root file system of the machine's static busybox in `directory`; returns it."""
    for name in _DIRECTORIES:
        (directory / name).mkdir(parents=True)
    (directory / "tmp").chmod(0o1777)
    for name, text in _FILES.items():
        (directory / name).write_text(text)
    # A text file without "#!", for the error of executing it, and one that can't be executed.
    (directory / "bin" / "no-format").write_text("not a program\n")
    (directory / "bin" / "no-format").chmod(0o755)
    (directory / "bin" / "no-permission").write_text("#!/bin/sh\n")
    (directory / "bin" / "no-permission").chmod(0o644)
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, directory / "bin" / "busybox")
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout
    for applet in set(listed.split()) - {"busybox"}:
        (directory / "bin" / applet).symlink_to("busybox")
    return directory


def archive(directory: Path, reference: str = NAME, **config: object) -> Path:
    """Write `directory`/image.tar, as `docker save` would; returns its path.

    reference: the image's name.
    config: what differs from its default configuration: Cmd=["sh"], User="sailor", ...
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(rootfs(directory / "rootfs"), ".", filter=_owned_by_root)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    settings: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    text = json.dumps(settings).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": [f"{digest}/layer.tar"]}]
    path = directory / "image.tar"
    with tarfile.open(path, "w") as tar:
        for entry, data in (
            (name, text),
            (f"{digest}/layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            about = tarfile.TarInfo(entry)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return path


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
