# SPDX-License-Identifier: Apache-2.0
"""buildah in Podman's room, with Podman's store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.engines.podman import Podman
    from tests.engines.runtime import Runtime

#: Raising a limit, buildah's default, takes a capability that a container may lack.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000")


class Buildah:
    """The command `buildah`; Podman's image is there to build from."""

    def __init__(self, podman: Podman) -> None:
        self._podman = podman

    def __call__(self, *argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `buildah argv...` to its end; AssertionError where `check` and it fails."""
        room = self._podman.room
        return room.run("buildah", *argv, check=check, env=self._podman.env)

    def build(
        self, runtime: Runtime, dockerfile: Path, *options: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Build the image `built` by a Dockerfile; its directory is the context."""
        isolation = ("--runtime", runtime.path, "--isolation=oci", *_LIMITS)
        build: list[str | Path] = ["bud", "--pull-never", *isolation, *options]
        return self(*build, "--tag=built", "--file", dockerfile, dockerfile.parent, check=check)

    def remove_all(self) -> None:
        """Remove the working containers, and the images built."""
        self("rm", "--all")
        for image in self("images", "--quiet", "--filter=dangling=true").stdout.split():
            self("rmi", image, check=False)
        self("rmi", "--force", "built", check=False)
