# SPDX-License-Identifier: Apache-2.0
"""`restore --lsm-profile` and `--lsm-mount-context`: another label than the one that was saved.

In QEMU's guest, which has AppArmor: `QEMU=1 scripts/test-vm.sh -- PATH_OF_THIS_FILE`; for SELinux
see tests/vm/README.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import labels
from tests.support import apparmor
from tests.support.checkpointing import Trap, restored
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.container import Container

pytestmark = [requires("root", "criu-works"), pytest.mark.v2]

SAVED, OTHER = "orlop-test-saved", "orlop-test-other"


def checkpointed(container: Container, images: Path) -> None:
    trap = Trap(container)
    os.close(trap.output)
    container.cli("checkpoint", "--image-path", images, container.id)


def label_of(container: Container) -> str:
    return Path(f"/proc/{container.pid}/attr/current").read_text().rstrip("\0\n")


@pytest.fixture(scope="module")
def profiles() -> Iterator[None]:
    with apparmor.loaded(SAVED, OTHER):
        yield


@pytest.mark.skipif(not labels.apparmor_enabled(), reason="AppArmor is not enabled")
@pytest.mark.usefixtures("profiles")
class TestAppArmor:
    @pytest.fixture
    def images(self, container: Container, tmp_path: Path) -> str:
        """Of a container with the profile SAVED."""
        container.bundle.process["apparmorProfile"] = SAVED
        checkpointed(container, tmp_path / "images")
        return str(tmp_path / "images")

    def test_the_profile_that_was_saved_is_restored(
        self, container: Container, images: str
    ) -> None:
        with restored(container, images):
            assert label_of(container) == f"{SAVED} (enforce)"

    def test_another_is_set_where_it_is_asked_for(self, container: Container, images: str) -> None:
        with restored(container, images, "--lsm-profile", f"apparmor:{OTHER}"):
            assert label_of(container) == f"{OTHER} (enforce)"

    def test_one_of_another_module_is_refused(self, container: Container, images: str) -> None:
        command = ("restore", "--detach", "--bundle", container.bundle.path)
        profile = ("--lsm-profile", "selinux:a:b:c:s0")
        result = container.cli(
            *command, "--image-path", images, *profile, container.id, check=False
        )
        assert result.returncode == 1
        assert container.cli("list", "-q").stdout == ""


@pytest.mark.skipif(not labels.selinux_enabled(), reason="SELinux is not enabled")
class TestSELinux:
    PROCESS = "unconfined_u:unconfined_r:unconfined_t:s0:c1,c2"
    FILES = "system_u:object_r:tmp_t:s0:c1,c2"

    @pytest.fixture
    def images(self, container: Container, tmp_path: Path) -> str:
        """Of a container with both labels."""
        container.bundle.process["selinuxLabel"] = self.PROCESS
        container.bundle.linux["mountLabel"] = self.FILES
        checkpointed(container, tmp_path / "images")
        return str(tmp_path / "images")

    def test_the_saved_labels_are_restored(self, container: Container, images: str) -> None:
        with restored(container, images):
            assert (label_of(container), self.files(container)) == (self.PROCESS, self.FILES)

    def test_others_are_set_where_they_are_asked_for(
        self, container: Container, images: str
    ) -> None:
        process, files = (each.replace("c1,c2", "c3,c4") for each in (self.PROCESS, self.FILES))
        options = ("--lsm-profile", f"selinux:{process}", "--lsm-mount-context", files)
        with restored(container, images, *options):
            assert (label_of(container), self.files(container)) == (process, files)

    def files(self, container: Container) -> str:
        place = f"/proc/{container.pid}/root/dev/shm"
        return os.getxattr(place, "security.selinux").rstrip(b"\0").decode()
