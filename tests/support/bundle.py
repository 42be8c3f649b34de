# SPDX-License-Identifier: Apache-2.0
"""Bundles to edit: the default configuration, and a root file system that holds the probe alone."""

from __future__ import annotations

import errno
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from spec.template import default_spec
from tests.support import probe

if TYPE_CHECKING:
    from pathlib import Path

#: Directories that the default mounts cover, and some for the tests' own files.
DIRECTORIES = ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "work")


class Bundle:
    """A bundle directory: edit `spec`, then `write()` it (a Container does so when it is created).

    Attributes: `path`, `rootfs`, `spec` (the configuration as a dictionary), `cgroup` (cgroupsPath,
    shared with no other test).
    """

    def __init__(self, path: Path, cgroup: str, user: int | None = None) -> None:
        """`user`: whose rootless bundle it is; None for root's."""
        self.path, self.cgroup = path, cgroup
        self.rootfs = path / "rootfs"
        self.spec: dict[str, Any] = self._base(user)
        self.spec["process"]["terminal"] = False
        self.spec["root"] = {"path": "rootfs", "readonly": False}
        if user is None:
            self.spec["linux"]["cgroupsPath"] = cgroup
        self._make_rootfs(user)
        self.args("true")

    @staticmethod
    def _base(user: int | None) -> dict[str, Any]:
        spec = default_spec() if user is None else default_spec(rootless=True, uid=user, gid=user)
        copy: dict[str, Any] = json.loads(json.dumps(spec))
        return copy

    def _make_rootfs(self, user: int | None) -> None:
        for name in DIRECTORIES:
            (self.rootfs / name).mkdir(parents=True)
        if user is not None:
            for path in (self.path, self.rootfs, *self.rootfs.iterdir()):
                os.chown(path, user, user)
        program = probe.build()
        try:
            os.link(program, self.rootfs / "bin" / "probe")
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM):
                raise
            shutil.copy(program, self.rootfs / "bin" / "probe")

    @property
    def linux(self) -> dict[str, Any]:
        """The configuration's `linux` object."""
        linux: dict[str, Any] = self.spec["linux"]
        return linux

    @property
    def process(self) -> dict[str, Any]:
        """The configuration's `process` object."""
        process: dict[str, Any] = self.spec["process"]
        return process

    @property
    def resources(self) -> dict[str, Any]:
        """The configuration's `linux.resources`, made where it isn't there."""
        resources: dict[str, Any] = self.linux.setdefault("resources", {})
        return resources

    def args(self, *argv: str) -> Bundle:
        """Let the container's program be `probe argv...`."""
        self.process["args"] = ["/bin/probe", *argv]
        return self

    def drop_namespace(self, kind: str) -> None:
        """Leave the container in the host's namespace of this kind."""
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] != kind]

    def write(self) -> None:
        """Write config.json."""
        (self.path / "config.json").write_text(json.dumps(self.spec, indent=2))
