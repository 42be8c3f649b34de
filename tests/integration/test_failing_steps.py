# SPDX-License-Identifier: Apache-2.0
"""A step of the plan that fails: its pointer, operation, system call, reason, hint; no traces."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import hierarchies
from tests.support.cli import ENVIRONMENT
from tests.support.features import requires
from tests.support.refusal import REFUSED, Refusal
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = requires("root")

#: Becomes root of a user namespace in which there can be no further ones, then the command. No
#: execve comes before the write, because that would take capabilities that a bounding set lacks.
WITHOUT_USER_NAMESPACES = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
    raise OSError(ctypes.get_errno(), "unshare")
for path, text in (("self/setgroups", "deny"), ("self/uid_map", "0 0 1"), ("self/gid_map", "0 0 1"),
                   ("sys/user/max_user_namespaces", "0")):
    with open(f"/proc/{path}", "w") as file:
        file.write(text)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def refuse(orlop: Cli, watch: Watch, bundle: Bundle) -> Refusal:
    """Run what must be refused, with the test's own bundle."""
    return Refusal(orlop, watch, bundle)


def mount(bundle: Bundle, **members: Any) -> str:  # noqa: ANN401 - members of a mount
    """Add a mount; returns its pointer."""
    bundle.spec["mounts"].append({"destination": "/work", **members})
    return f"/mounts/{len(bundle.spec['mounts']) - 1}"


def namespace(bundle: Bundle, kind: str, path: str) -> str:
    """Let the container join a namespace; returns its pointer."""
    namespaces = bundle.linux["namespaces"]
    index = next(i for i, n in enumerate(namespaces) if n["type"] == kind)
    namespaces[index]["path"] = path
    return f"/linux/namespaces/{index}"


def refused_below(refuse: Refusal, *wrapper: str) -> str:
    """`create` run by another command, which must fail without a trace; returns the message."""
    refuse.bundle.write()
    command = refuse.cli.command("create", "--bundle", refuse.bundle.path, REFUSED)
    stderr = refuse.cli.directory / "refused-below.err"
    with stderr.open("w") as file:  # a pipe's end would come only with a wrongly made container's
        result = subprocess.run(
            [*wrapper, *command],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            check=False,
            timeout=limit(30),
        )
    message = stderr.read_text()
    if result.returncode == 0:
        refuse.cli("delete", "--force", REFUSED)
    assert result.returncode == 1, message
    assert len(message.splitlines()) == 1, message
    assert refuse.watch.found() == []
    return message


class TestMounts:
    """`mounts`."""

    def test_a_missing_bind_source(self, refuse: Refusal) -> None:
        pointer = mount(refuse.bundle, source="/no/such/source", options=["bind"])
        message = refuse.create()
        assert message.startswith(f"{pointer}: bind /no/such/source on /work")
        assert "open_tree: No such file or directory" in message
        assert refuse.entry["pointer"] == pointer
        assert refuse.entry["operation"] == "bind"
        assert refuse.entry["step"] == "open_tree"
        assert refuse.entry["errno"] == errno.ENOENT

    def test_a_missing_bind_source_with_a_user_namespace(self, refuse: Refusal) -> None:
        maps = [{"containerID": 0, "hostID": 0, "size": 65536}]
        refuse.bundle.linux["namespaces"].append({"type": "user"})
        refuse.bundle.linux.update(uidMappings=maps, gidMappings=maps)
        pointer = mount(refuse.bundle, source="/no/such/source", options=["bind"])
        message = refuse.create()
        assert message.startswith(f"{pointer}: bind /no/such/source on /work")
        assert "open_tree: No such file or directory" in message

    def test_an_unknown_option_of_a_file_system(self, refuse: Refusal) -> None:
        pointer = mount(refuse.bundle, type="tmpfs", source="tmpfs", options=["bogus=1"])
        message = refuse.create()
        assert message.startswith(f"{pointer}: mount tmpfs tmpfs on /work")
        assert "bogus" in message
        assert "Invalid argument" in message

    def test_a_wrong_value_of_an_option(self, refuse: Refusal) -> None:
        pointer = mount(refuse.bundle, type="tmpfs", source="tmpfs", options=["size=much"])
        message = refuse.create()
        assert message.startswith(f"{pointer}: ")
        assert "size=much" in message

    def test_an_unknown_file_system(self, refuse: Refusal) -> None:
        pointer = mount(refuse.bundle, type="nosuchfs", source="none")
        message = refuse.create()
        assert message.startswith(f"{pointer}: mount nosuchfs none on /work")
        assert "No such device" in message
        assert "the kernel has no such file system type" in message

    def test_a_file_on_a_directory(self, refuse: Refusal, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        pointer = mount(refuse.bundle, source=str(tmp_path / "file"), options=["bind"])
        message = refuse.create()
        assert message.startswith(f"{pointer}: ")
        assert "directory" in message.rpartition("move_mount")[2]

    def test_a_destination_below_a_file(self, refuse: Refusal) -> None:
        pointer = mount(refuse.bundle, destination="/bin/probe/below", type="tmpfs")
        assert refuse.create().startswith(f"{pointer}: ")
        assert refuse.entry["errno"] == errno.ENOTDIR

    def test_what_was_mounted_before_the_failing_mount_is_gone(
        self, refuse: Refusal, tmp_path: Path
    ) -> None:
        (tmp_path / "source").mkdir()
        mount(refuse.bundle, source=str(tmp_path / "source"), options=["bind", "rshared"])
        mount(refuse.bundle, type="nosuchfs", source="none")
        refuse.bundle.linux["rootfsPropagation"] = "rshared"
        refuse.create()


class TestSysctl:
    """`linux.sysctl`."""

    def test_one_that_does_not_exist(self, refuse: Refusal) -> None:
        refuse.bundle.linux["sysctl"] = {"net.ipv4.no_such": "1"}
        message = refuse.create()
        assert message.startswith("/linux/sysctl/net.ipv4.no_such: ")
        assert "No such file or directory" in message

    def test_a_value_that_the_kernel_refuses(self, refuse: Refusal) -> None:
        refuse.bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "yes"}
        message = refuse.create()
        assert message.startswith("/linux/sysctl/net.ipv4.ip_forward: ")
        assert "write: Invalid argument" in message

    def test_one_that_is_the_hosts(self, refuse: Refusal) -> None:
        before = Path("/proc/sys/kernel/core_pattern").read_text()
        refuse.bundle.linux["sysctl"] = {"kernel.core_pattern": "/tmp/core"}
        assert refuse.create().startswith("/linux/sysctl/kernel.core_pattern: ")
        assert Path("/proc/sys/kernel/core_pattern").read_text() == before


class TestNamespaces:
    """`linux.namespaces`."""

    def test_a_missing_path(self, refuse: Refusal) -> None:
        pointer = namespace(refuse.bundle, "network", "/no/such/namespace")
        message = refuse.create()
        assert message.startswith(f"{pointer}/path: ")
        assert "/no/such/namespace: No such file or directory" in message

    def test_a_path_of_another_type(self, refuse: Refusal) -> None:
        pointer = namespace(refuse.bundle, "network", "/proc/self/ns/ipc")
        message = refuse.create()
        assert message.startswith(pointer)
        assert "/proc/self/ns/ipc" in message
        assert "Invalid argument" in message

    def test_a_path_that_is_no_namespace(self, refuse: Refusal, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        pointer = namespace(refuse.bundle, "ipc", str(tmp_path / "file"))
        message = refuse.create()
        assert message.startswith(pointer)
        assert f"{tmp_path}/file" in message

    @requires("userns")
    def test_disabled_user_namespaces_are_hinted_at(self, refuse: Refusal) -> None:
        maps = [{"containerID": 0, "hostID": 0, "size": 1}]
        refuse.bundle.linux["namespaces"].append({"type": "user"})
        refuse.bundle.linux.update(uidMappings=maps, gidMappings=maps)
        del refuse.bundle.linux["cgroupsPath"], refuse.bundle.linux["resources"]
        message = refused_below(refuse, sys.executable, "-IS", "-c", WITHOUT_USER_NAMESPACES)
        assert "/linux/namespaces: start of the init: clone3: No space left on device" in message
        assert "user.max_user_namespaces" in message

    def test_a_lack_of_cap_sys_admin_is_hinted_at(self, refuse: Refusal) -> None:
        drop = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
        message = refused_below(refuse, *drop)
        assert "Operation not permitted" in message
        assert "CAP_SYS_ADMIN" in message


class TestProcess:
    """`process`."""

    def test_a_resource_limit_above_the_hard_one(self, refuse: Refusal) -> None:
        # Above fs.nr_open (proc_sys_fs(5)) not even CAP_SYS_RESOURCE helps.
        much = 2**40
        limits = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": much}]
        refuse.bundle.process["rlimits"] = limits
        message = refuse.create()
        assert message.startswith("/process/rlimits/0: rlimit nofile 1024")
        assert "prlimit64: Operation not permitted" in message
        assert "CAP_SYS_RESOURCE" in message

    def test_a_working_directory_that_is_a_file(self, refuse: Refusal) -> None:
        refuse.bundle.process["cwd"] = "/bin/probe"
        message = refuse.create()
        assert message.startswith("/process/cwd: ")
        assert refuse.entry["errno"] == errno.ENOTDIR


class TestExecution:
    """What only execve can say is said by `start`, and ends the container."""

    def started(self, container: Container) -> str:
        container.create()
        result = container.start(check=False)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        container.wait()
        assert container.status == "stopped"
        return result.stderr

    def test_a_missing_interpreter_is_hinted_at(self, container: Container) -> None:
        script = container.bundle.rootfs / "bin/script"
        script.write_text("#!/no/interpreter\n")
        script.chmod(0o755)
        container.bundle.process["args"] = ["/bin/script"]
        message = self.started(container)
        assert '"/bin/script": no such file or directory' in message
        assert "interpreter" in message

    def test_a_file_of_no_executable_format_is_hinted_at(self, container: Container) -> None:
        script = container.bundle.rootfs / "bin/script"
        script.write_text("exit 0\n")
        script.chmod(0o755)
        container.bundle.process["args"] = ["/bin/script"]
        message = self.started(container)
        assert '"/bin/script": exec format error' in message
        assert "#!" in message

    def test_run_leaves_nothing(self, refuse: Refusal) -> None:
        script = refuse.bundle.rootfs / "bin/script"
        script.write_text("exit 0\n")
        script.chmod(0o755)
        refuse.bundle.process["args"] = ["/bin/script"]
        refuse.bundle.write()
        for options in ([], ["--detach"]):
            message = refuse("run", *options, "--bundle", refuse.bundle.path, REFUSED)
            assert "exec format error" in message


class TestCgroups:
    """`linux.resources`."""

    @requires("cgroup1")
    def test_a_missing_controller_is_said(self, refuse: Refusal) -> None:
        refuse.bundle.resources["pids"] = {"limit": 10}
        hierarchy = hierarchies.directory("pids", "")
        script = 'umount "$1" && shift && exec "$@"'
        hidden = ["unshare", "--mount", "sh", "-c", script, "sh", os.fspath(hierarchy)]
        message = refused_below(refuse, *hidden)
        assert "/linux/resources/pids" in message
        assert "pids" in message.partition("pids")[2]
        assert "not available" in message

    def test_a_value_that_the_kernel_refuses(self, refuse: Refusal) -> None:
        refuse.bundle.resources["cpu"] = {"cpus": "4095"}
        message = refuse.create()
        assert message.startswith("/linux/resources/cpu/cpus: ")

    def test_an_out_of_range_limit_leaves_no_cgroup(self, refuse: Refusal) -> None:
        refuse.bundle.resources["pids"] = {"limit": 2**62}
        assert refuse.create().startswith("/linux/resources/pids/limit: ")
