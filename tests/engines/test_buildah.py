# SPDX-License-Identifier: Apache-2.0
"""buildah: each RUN of a Dockerfile is a container of the runtime's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.podman import IMAGE
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.buildah import Buildah
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "buildah", "podman", "runc"), pytest.mark.slow]

_BASE = f"FROM {IMAGE}\n"


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    """Where to write a Dockerfile."""
    return tmp_path / "Dockerfile"


def test_steps_build_upon_each_other(buildah: Buildah, runtime: Runtime, dockerfile: Path) -> None:
    dockerfile.write_text(
        f"{_BASE}ARG SEA=deep\nRUN echo $SEA >/sea && id -u\n"
        "WORKDIR /home\nUSER sailor\nCOPY Dockerfile copied\n"
        "RUN id -u; id -G; pwd; ls; cat /sea; touch /sea 2>&1; grep CapEff /proc/self/status\n"
        'USER root\nRUN ["/bin/busybox", "sh", "-c", "ls / | grep sea; echo $0", "exec-form"]\n'
    )
    lines = buildah.build(runtime, dockerfile).stdout.splitlines()
    seen = [line for line in lines if not line.startswith(("STEP", "COMMIT", "-->", "Success"))]
    denied = "touch: /sea: Permission denied"
    user = ["1000", "1000 1001", "/home", "copied", "deep", denied, "CapEff:\t0000000000000000"]
    assert seen[:-1] == ["0", *user, "sea", "exec-form"]


@pytest.mark.parametrize(
    ("step", "status", "text"),
    [
        ("RUN exit 37", 37, "exit status 37"),
        ('RUN ["/nope"]', 1, "no such file or directory"),
        ('RUN ["nope"]', 1, "executable file not found in $PATH"),
        ('RUN ["/bin/no-permission"]', 1, "permission denied"),
    ],
)
def test_a_step_that_fails_ends_the_build_with_its_status(
    buildah: Buildah, runtime: Runtime, dockerfile: Path, step: str, status: int, text: str
) -> None:
    dockerfile.write_text(f"{_BASE}{step}\n")
    result = buildah.build(runtime, dockerfile, check=False)
    assert result.returncode == status
    assert text in result.stderr


def test_limits_and_mounts_of_a_build_arrive(
    buildah: Buildah, runtime: Runtime, dockerfile: Path
) -> None:
    dockerfile.write_text(
        f"{_BASE}RUN --mount=type=tmpfs,target=/work grep ' /work ' /proc/mounts && ulimit -n\n"
    )
    shown = buildah.build(runtime, dockerfile, "--network=none").stdout
    assert "tmpfs /work tmpfs" in shown
    assert "\n1024\n" in shown


def test_run_executes_in_a_working_container(
    buildah: Buildah, runtime: Runtime, dockerfile: Path
) -> None:
    dockerfile.write_text(_BASE)
    buildah.build(runtime, dockerfile)
    name = buildah("from", "built").stdout.strip()
    run = ("run", "--runtime", runtime.path, "--isolation=oci", "--network=none")
    assert buildah(*run, name, "sh", "-c", "echo kept >/file; id -u").stdout == "0\n"
    assert buildah(*run, "--user=sailor", name, "cat", "/file").stdout == "kept\n"
    assert buildah(*run, name, "sh", "-c", "exit 9", check=False).returncode == 9
