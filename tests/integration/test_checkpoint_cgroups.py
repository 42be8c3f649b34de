# SPDX-License-Identifier: Apache-2.0
"""`--manage-cgroups-mode`: what criu keeps of a container's cgroup, which `restore` makes anew."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies
from tests.support.checkpointing import Trap, launch, read, restored
from tests.support.cli import is_orlop
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [requires("root", "criu-works"), pytest.mark.v2]


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Where the images go."""
    return str(tmp_path / "images")


@pytest.mark.parametrize("mode", ["", "soft", "full", "ignore"])
def test_a_container_goes_on_in_another_cgroup(
    bundle: Bundle, container: Container, images: str, mode: str
) -> None:
    if mode == "ignore" and not is_orlop():
        pytest.skip("runc 1.1 knows no such mode")
    options = ["--manage-cgroups-mode", mode] if mode else []
    checkpointed(container, images, *options)
    before = bundle.linux["cgroupsPath"]
    bundle.linux["cgroupsPath"] = f"{before}-other"
    with restored(container, images, *options) as output:
        assert container.pid in hierarchies.processes(f"{before}-other")
        assert hierarchies.below(before) == []
        container.kill("SIGUSR1")
        assert read(output) == "SIGUSR1\n"


def test_strict_is_refused_where_the_cgroup_is_there(container: Container, images: str) -> None:
    """It always is: the runtime makes it; runc 1.1 ignores the mode at a restore."""
    checkpointed(container, images, "--manage-cgroups-mode", "strict")
    with pytest.raises(AssertionError, match="Abort restore of existing cgroups"):
        launch(container, "restore", "--image-path", images, "--manage-cgroups-mode", "strict")
    assert container.cli("list", "-q").stdout == ""


def checkpointed(container: Container, images: str, *options: str) -> None:
    trap = Trap(container)
    os.close(trap.output)
    container.cli("checkpoint", *options, "--image-path", images, container.id)
