# SPDX-License-Identifier: Apache-2.0
"""Labels of security modules: enforced, or refused, never ignored."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import labels
from tests.support import apparmor
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.refusal import Refusal
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.v2,
    pytest.mark.skipif(not is_orlop(), reason="the texts are ours"),
]
LABEL = "system_u:system_r:container_t:s0:c1,c2"
#: A profile that the tests load where AppArmor is enabled.
PROFILE = "orlop-test"


@pytest.fixture
def refuse(container: Container, watch: Watch) -> Refusal:
    return Refusal(container.cli, watch, container.bundle)


@pytest.mark.skipif(labels.apparmor_enabled(), reason="AppArmor is enabled")
class TestWithoutAppArmor:
    MESSAGE = "/process/apparmorProfile: AppArmor is not enabled on this host"

    def test_a_profile_is_refused(self, refuse: Refusal) -> None:
        refuse.bundle.process["apparmorProfile"] = PROFILE
        assert refuse.create() == self.MESSAGE

    def test_unconfined_is_no_exception(self, refuse: Refusal) -> None:
        refuse.bundle.process["apparmorProfile"] = "unconfined"
        assert refuse.create() == self.MESSAGE

    def test_an_empty_one_is_none(self, run_probe: RunProbe, bundle: Bundle) -> None:
        bundle.process["apparmorProfile"] = ""
        assert run_probe("args", "fine") == "args\nfine\n"

    def test_one_for_an_exec_is_refused(
        self, container: Container, watch: Watch, tmp_path: Path
    ) -> None:
        started(container)
        refuse = Refusal(container.cli, watch, container.bundle)
        command = (container.id, "/bin/probe", "true")
        assert refuse("exec", "--apparmor", PROFILE, *command, status=255) == self.MESSAGE
        file = tmp_path / "process.json"
        process = {"args": ["/bin/probe", "true"], "cwd": "/", "apparmorProfile": PROFILE}
        file.write_text(json.dumps(process))
        refuse = Refusal(container.cli, watch, container.bundle)
        assert refuse("exec", "--process", file, container.id, status=255) == self.MESSAGE


@pytest.mark.skipif(labels.selinux_enabled(), reason="SELinux is enabled")
class TestWithoutSELinux:
    def test_a_label_is_refused(self, refuse: Refusal) -> None:
        refuse.bundle.process["selinuxLabel"] = LABEL
        message = "/process/selinuxLabel: SELinux is not enabled on this host"
        assert refuse.create() == message

    def test_one_for_mounts_is_refused(self, refuse: Refusal) -> None:
        refuse.bundle.linux["mountLabel"] = LABEL
        assert refuse.create() == "/linux/mountLabel: SELinux is not enabled on this host"

    def test_one_for_an_exec_is_refused(self, container: Container, watch: Watch) -> None:
        started(container)
        refuse = Refusal(container.cli, watch, container.bundle)
        command = ("exec", "--process-label", LABEL, container.id, "/bin/probe", "true")
        message = refuse(*command, status=255)
        assert message == "/process/selinuxLabel: SELinux is not enabled on this host"


@pytest.fixture(scope="module")
def profile() -> Iterator[str]:
    """The name of a loaded AppArmor profile."""
    with apparmor.loaded(PROFILE):
        yield PROFILE


@pytest.mark.skipif(not labels.apparmor_enabled(), reason="AppArmor is not enabled")
class TestAppArmor:
    @pytest.mark.parametrize("nnp", [True, False])
    @pytest.mark.parametrize("uid", [0, 1000])
    def test_the_program_is_confined(
        self,
        container: Container,
        profile: str,
        uid: int,
        nnp: bool,  # noqa: FBT001
    ) -> None:
        process = container.bundle.process
        process.update(apparmorProfile=profile, noNewPrivileges=nnp, user={"uid": uid, "gid": uid})
        container.bundle.rootfs.joinpath("work").chmod(0o777)
        container.bundle.args("cat", "/proc/self/attr/current", "--", "mkdir", "/work/made")
        result = container.run(check=False)
        assert result.stdout == f"{profile} (enforce)\n"
        assert "Permission denied" in result.stderr

    def test_in_a_user_namespace_too(self, container: Container, profile: str) -> None:
        mapping = {"containerID": 0, "hostID": 0, "size": 100}
        container.bundle.linux["namespaces"].append({"type": "user"})
        container.bundle.linux.update(uidMappings=[mapping], gidMappings=[mapping])
        container.bundle.process["apparmorProfile"] = profile
        container.bundle.args("cat", "/proc/self/attr/current")
        assert container.run().stdout == f"{profile} (enforce)\n"

    def test_an_exec_is_confined_as_the_container(self, container: Container, profile: str) -> None:
        container.bundle.process["apparmorProfile"] = profile
        started(container)
        current = "/proc/self/attr/current"
        assert container.exec("cat", current).stdout == f"{profile} (enforce)\n"
        command = ("exec", "--apparmor", "unconfined", container.id, "/bin/probe", "cat", current)
        assert container.cli(*command).stdout == "unconfined\n"

    def test_a_profile_that_is_not_loaded_is_refused(self, refuse: Refusal) -> None:
        refuse.bundle.process["apparmorProfile"] = "orlop-not-loaded"
        message = refuse.create()
        assert message.startswith("/process/apparmorProfile: ")
        assert "is the profile loaded" in message

    @pytest.mark.parametrize("place", ["/proc", "/proc/self/attr"])
    def test_a_false_proc_of_the_image_changes_nothing(
        self, container: Container, profile: str, place: str
    ) -> None:
        """CVE-2019-16884: a volume with files of the same names took the words."""
        bundle = container.bundle
        false = bundle.path / "false"
        names = ("apparmor/exec", "exec", "current")
        below = "self/attr" if place == "/proc" else ""
        for name in names:
            file = false / below / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("")
            file.chmod(0o666)
        mount = {
            "destination": place, "type": "bind", "source": str(false), "options": ["bind", "rw"],
        }  # fmt: skip
        bundle.spec["mounts"].append(mount)
        for key in ("maskedPaths", "readonlyPaths"):
            bundle.linux[key] = []
        bundle.process["apparmorProfile"] = profile
        bundle.args("mkdir", "/work/made")
        result = container.run(check=False)
        assert "Permission denied" in result.stderr
        assert not (bundle.rootfs / "work" / "made").exists()
        assert all((false / below / name).read_text() == "" for name in names)


@pytest.mark.skipif(not labels.selinux_enabled(), reason="SELinux is not enabled")
class TestSELinux:
    """With Debian's policy loaded, permissive: tests/vm/README.md says how."""

    PROCESS = "unconfined_u:unconfined_r:unconfined_t:s0:c1,c2"
    FILES = "system_u:object_r:tmp_t:s0:c1,c2"

    def test_the_program_and_an_exec_are_labelled(self, container: Container) -> None:
        container.bundle.process["selinuxLabel"] = self.PROCESS
        started(container)
        current = Path(f"/proc/{container.pid}/attr/current").read_text()
        assert current.rstrip("\0") == self.PROCESS
        show = ("/bin/probe", "cat", "/proc/self/attr/current")
        assert container.cli("exec", container.id, *show).stdout.rstrip("\0") == self.PROCESS
        other = self.PROCESS.replace("c1,c2", "c3")
        command = ("exec", "--process-label", other, container.id, *show)
        assert container.cli(*command).stdout.rstrip("\0") == other

    def test_what_is_mounted_is_labelled(self, container: Container) -> None:
        container.bundle.linux["mountLabel"] = self.FILES
        started(container)
        root = f"/proc/{container.pid}/root"
        for place in ("/dev", "/dev/shm", "/dev/pts", "/dev/mqueue", "/sys/firmware"):
            label = os.getxattr(root + place, "security.selinux")
            assert label.rstrip(b"\0").decode() == self.FILES, place
        proc = os.getxattr(f"{root}/proc", "security.selinux").rstrip(b"\0").decode()
        assert proc != self.FILES

    @pytest.mark.parametrize("path", ["process/selinuxLabel", "linux/mountLabel"])
    def test_a_label_that_the_policy_lacks_is_refused(self, refuse: Refusal, path: str) -> None:
        top, key = path.split("/")
        refuse.bundle.spec[top][key] = "nobody:at:all:s0"
        message = refuse.create()
        assert "Invalid argument" in message


def test_a_false_proc_gets_no_words_without_a_label(container: Container) -> None:
    """The same image without a profile: nothing is written there at all."""
    bundle = container.bundle
    false = bundle.path / "false"
    false.joinpath("self/attr").mkdir(parents=True)
    file = false / "self" / "attr" / "exec"
    file.write_text("")
    mount = {
        "destination": "/proc", "type": "bind", "source": str(false), "options": ["bind", "rw"],
    }  # fmt: skip
    bundle.spec["mounts"].append(mount)
    for key in ("maskedPaths", "readonlyPaths"):
        bundle.linux[key] = []
    container.run()
    assert file.read_text() == ""
