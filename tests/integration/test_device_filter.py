# SPDX-License-Identifier: Apache-2.0
"""Device programs on the kernel's own cgroup v2, of this machine or of the guest."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from runtime.cgroups import device_filter, device_rules
from runtime.cgroups.device_program import compile_program
from spec.errors import OrlopError
from tests.support import hierarchies, probe, without
from tests.support.features import NOBODY, requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spec.types import LinuxDeviceCgroup
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.root,
    pytest.mark.v2,
    pytest.mark.skipif("v2" not in hierarchies.mountpoints(), reason="cgroup v2 is not mounted"),
]

NONE: LinuxDeviceCgroup = {"allow": False, "access": "rwm"}
ALL: LinuxDeviceCgroup = {"allow": True, "access": "rwm"}
KMSG: LinuxDeviceCgroup = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}


@pytest.fixture
def directory(cgroup: str) -> Path:
    """The test's own cgroup, in the v2 hierarchy alone."""
    made = hierarchies.mountpoints()["v2"] / cgroup.lstrip("/")
    made.mkdir()
    return made


def restrict(directory: Path, *rules: LinuxDeviceCgroup) -> None:
    device_filter.attach(str(directory), device_rules.evaluate(rules, "/d"), "/d")


def programs(directory: Path) -> list[str]:
    """The names of the programs attached."""
    cgroup = os.open(directory, os.O_RDONLY)
    names = []
    try:
        for number in syscalls.bpf_prog_query(cgroup, syscalls.BPF_CGROUP_DEVICE):
            fd = syscalls.bpf_prog_get_fd_by_id(number)
            names.append(syscalls.bpf_prog_name(fd))
            os.close(fd)
    finally:
        os.close(cgroup)
    return names


def attempts(directory: Path, *device: str) -> dict[str, str]:
    """What `probe device` may do in the cgroup."""
    script = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
    command = ["sh", "-c", script, str(directory), str(probe.build()), "device", *device]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit(20))
    return probe.facts(done.stdout)


def test_what_is_not_allowed_is_refused(directory: Path) -> None:
    restrict(directory, NONE, KMSG)
    assert programs(directory) == [device_filter.NAME]
    zero = attempts(directory, "c", "1", "5")
    assert zero == {"mknod": "ok", "read": "ok", "write": "ok", "both": "ok"}
    kmsg = attempts(directory, "c", "1", "11")
    assert kmsg == {"mknod": "ok", "read": "ok", "write": "EPERM", "both": "EPERM"}
    loop = attempts(directory, "b", "7", "0")
    assert loop == {"mknod": "ok", "read": "EPERM", "write": "EPERM", "both": "EPERM"}


def test_a_right_that_is_denied_is_not_had_together_with_another(directory: Path) -> None:
    restrict(directory, ALL, {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "w"})
    kmsg = attempts(directory, "c", "1", "11")
    assert kmsg == {"mknod": "ok", "read": "ok", "write": "EPERM", "both": "EPERM"}


def test_our_program_is_replaced(directory: Path) -> None:
    restrict(directory, NONE, KMSG)
    restrict(directory, NONE)
    assert programs(directory) == [device_filter.NAME]
    assert attempts(directory, "c", "1", "11")["read"] == "EPERM"
    restrict(directory, ALL)
    assert attempts(directory, "c", "1", "11")["write"] == "ok"


@pytest.fixture
def others(directory: Path) -> Iterator[None]:
    """A program of somebody else's is attached to the same cgroup: it denies /dev/zero."""
    rules: list[LinuxDeviceCgroup] = [ALL]
    access = device_rules.evaluate(rules, "")
    access.apply(allow=False, device=("c", 1, 5), access="rwm")
    program = syscalls.bpf_prog_load(
        syscalls.BPF_PROG_TYPE_CGROUP_DEVICE, "sd_devices", compile_program(access)
    )
    cgroup = os.open(directory, os.O_RDONLY)
    flags = syscalls.BPF_F_ALLOW_MULTI
    syscalls.bpf_prog_attach(cgroup, program, syscalls.BPF_CGROUP_DEVICE, flags)
    yield
    os.close(program)
    os.close(cgroup)


@pytest.mark.usefixtures("others")
def test_programs_of_others_stay(directory: Path) -> None:
    restrict(directory, NONE, KMSG)
    restrict(directory, NONE, KMSG)
    assert sorted(programs(directory)) == [device_filter.NAME, "sd_devices"]
    assert attempts(directory, "c", "1", "5")["mknod"] == "EPERM"
    assert attempts(directory, "c", "1", "11")["read"] == "ok"


ATTACH = """
import sys
sys.path.insert(0, sys.argv[1])
from runtime.cgroups import device_filter, device_rules
from spec.errors import OrlopError
access = device_rules.evaluate([{"allow": sys.argv[3] == "all", "access": "rwm"}], "/d")
try:
    device_filter.attach(sys.argv[2], access, "/d")
    print("done")
except OrlopError as error:
    print(error, "HINT", error.hint)
"""


def attach_without(directory: Path, what: str, *hidden: str, user: int | None = None) -> str:
    """Attach in a process of its own, which lacks the call, or is of another user."""
    command = [sys.executable, "-I", "-c", ATTACH, str(probe.ROOT), str(directory), what]
    if hidden:
        command = [sys.executable, str(without.__file__), *hidden, "--", *command]
    done = subprocess.run(
        command, user=user, check=True, capture_output=True, text=True, timeout=limit(30)
    )
    return done.stdout.strip()


def test_refusal_is_explained(directory: Path) -> None:
    said = attach_without(directory, "none", "bpf=EPERM")
    assert said.startswith(f"/d: restrict devices of cgroup {directory}: bpf(BPF_PROG_QUERY)")
    assert "Operation not permitted HINT this needs CAP_SYS_ADMIN" in said
    said = attach_without(directory, "none", "bpf=ENOSYS")
    assert "CONFIG_CGROUP_BPF" in said
    assert programs(directory) == []


def test_refusal_does_no_harm_where_nothing_is_denied(directory: Path) -> None:
    assert attach_without(directory, "all", "bpf=EPERM") == "done"


@requires("rootless")
def test_rootless_callers_go_without(directory: Path) -> None:
    assert attach_without(directory, "none", user=NOBODY) == "done"
    assert programs(directory) == []


def test_a_program_above_that_forbids_others(directory: Path) -> None:
    access = device_rules.evaluate([ALL], "")
    program = syscalls.bpf_prog_load(
        syscalls.BPF_PROG_TYPE_CGROUP_DEVICE, "alone", compile_program(access)
    )
    cgroup = os.open(directory, os.O_RDONLY)
    try:
        syscalls.bpf_prog_attach(cgroup, program, syscalls.BPF_CGROUP_DEVICE, 0)
        (directory / "below").mkdir()
        with pytest.raises(OrlopError, match="Operation not permitted") as caught:
            restrict(directory / "below", NONE)
        assert "forbids programs below it" in caught.value.hint
    finally:
        os.close(program)
        os.close(cgroup)


@requires("cgroup2")
class TestContainers:
    """In containers whose capabilities would let them do anything with devices."""

    @pytest.fixture
    def privileged(self, container: Container) -> Container:
        """A container with CAP_MKNOD."""
        for names in container.bundle.process["capabilities"].values():
            names.append("CAP_MKNOD")
        return container

    def test_default(self, privileged: Container) -> None:
        privileged.bundle.args("device", "c", "1", "11")
        assert probe.facts(privileged.run().stdout)["read"] == "EPERM"

    def test_allowed(self, privileged: Container) -> None:
        privileged.bundle.resources["devices"] = [NONE, KMSG]
        privileged.bundle.args("device", "c", "1", "11")
        facts = probe.facts(privileged.run().stdout)
        assert facts == {"mknod": "ok", "read": "ok", "write": "EPERM", "both": "EPERM"}

    def test_exec_is_restricted_too(self, privileged: Container) -> None:
        privileged.bundle.args("sleep")
        privileged.run_detached()
        assert privileged.read_line() == "ready"
        facts = probe.facts(
            privileged.cli(
                "exec", "--cap", "CAP_MKNOD", privileged.id, "/bin/probe", "device", "b", "7", "0"
            ).stdout
        )
        assert facts["mknod"] == "ok"
        assert facts["read"] == "EPERM"

    def test_a_hole_in_a_wider_rule_is_refused(self, container: Container) -> None:
        container.bundle.resources["devices"] = [
            {"allow": True, "type": "c", "major": 10, "access": "rw"},
            {"allow": False, "type": "c", "major": 10, "minor": 1, "access": "w"},
        ]
        done = container.run(check=False)
        assert done.returncode == 1
        assert "/linux/resources/devices/1: can't make an exception" in done.stderr
