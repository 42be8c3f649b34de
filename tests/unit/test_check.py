# SPDX-License-Identifier: Apache-2.0
"""What `check` concludes from facts: hosts and callers that this machine is not."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime import check
from runtime.cgroups.setting import Setting
from runtime.check import linux, paths, process
from runtime.check.observed import Observed
from runtime.check.problem import Problem, of_error
from runtime.check.rootfs import Rootfs
from runtime.rlimits import NUMBERS
from spec.capabilities import CAPABILITIES
from spec.errors import OrlopError
from spec.template import default_spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spec.types import Spec


@pytest.fixture
def host() -> Observed:
    """Root's, with everything; the tests take away."""
    host = Observed()
    host.facts.privileged = True
    host.capabilities = (1 << len(CAPABILITIES)) - 1
    host.limits = dict.fromkeys(NUMBERS.values(), resource.RLIM_INFINITY)
    host.oom_score = 0
    host.cpus, host.nodes = 0b1111, 0b1
    host.exhausted = []
    return host


@pytest.fixture
def spec() -> Spec:
    return default_spec()


def without(host: Observed, *names: str) -> None:
    for name in names:
        host.capabilities &= ~(1 << CAPABILITIES[name])


def pointers(found: Iterable[Problem]) -> list[str]:
    return [problem.pointer for problem in found]


def change(spec: Spec, part: str, **members: Any) -> None:  # noqa: ANN401 - JSON
    spec[part].update(members)  # type: ignore[literal-required]


def test_on_a_host_with_everything_nothing_is_found(spec: Spec, host: Observed) -> None:
    assert pointers(process.problems(spec, host)) == []
    assert pointers(linux.problems(spec, host)) == []


def test_a_capability_that_the_caller_lacks(spec: Spec, host: Observed) -> None:
    without(host, "CAP_KILL")
    (found,) = process.problems(spec, host)
    assert found.pointer == "/process/capabilities/permitted"
    assert found.text == "the caller lacks CAP_KILL"
    spec["linux"]["namespaces"] += [{"type": "user"}]
    assert pointers(process.problems(spec, host)) == []


@pytest.mark.parametrize(
    ("name", "able"),
    [("docker-default", True), ("unconfined", True), ("gone", False), ("a//&gone", False)],
)
def test_a_profile_must_be_loaded(
    spec: Spec,
    host: Observed,
    name: str,
    able: bool,  # noqa: FBT001
) -> None:
    change(spec, "process", apparmorProfile=name)
    host.profiles = {"docker-default", "a"}
    found = pointers(process.problems(spec, host))
    assert found == ([] if able else ["/process/apparmorProfile"])
    host.profiles = None
    assert pointers(process.problems(spec, host)) == []


@pytest.mark.parametrize(("hard", "able"), [(100, True), (101, False), (2**64 - 1, False)])
def test_a_hard_limit(spec: Spec, host: Observed, hard: int, able: bool) -> None:  # noqa: FBT001
    change(spec, "process", rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": hard}])
    assert pointers(process.limits(spec["process"], host)) == []
    host.limits[NUMBERS["RLIMIT_CORE"]] = 100
    assert pointers(process.limits(spec["process"], host)) == []
    without(host, "CAP_SYS_RESOURCE")
    assert pointers(process.limits(spec["process"], host)) == (
        [] if able else ["/process/rlimits/0"]
    )


def test_open_files_end_at_the_kernels_own_limit(spec: Spec, host: Observed) -> None:
    host.files_max = 1000
    change(spec, "process", rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1001}])
    (found,) = process.limits(spec["process"], host)
    assert "1000 (fs.nr_open)" in found.text


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"scheduler": {"policy": "SCHED_RR", "priority": 1}}, "/process/scheduler"),
        ({"scheduler": {"policy": "SCHED_OTHER", "nice": -1}}, "/process/scheduler/nice"),
        ({"scheduler": {"policy": "SCHED_BATCH", "nice": 5}}, ""),
        ({"ioPriority": {"class": "IOPRIO_CLASS_RT"}}, "/process/ioPriority"),
        ({"ioPriority": {"class": "IOPRIO_CLASS_BE"}}, ""),
        ({"execCPUAffinity": {"initial": "0-9"}}, ""),
        ({"execCPUAffinity": {"final": "4,7"}}, "/process/execCPUAffinity/final"),
        ({"oomScoreAdj": -1}, "/process/oomScoreAdj"),
    ],
)
def test_what_needs_rights(
    spec: Spec, host: Observed, members: dict[str, Any], pointer: str
) -> None:
    change(spec, "process", **members)
    without(host, "CAP_SYS_NICE", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE")
    assert pointers(process.problems(spec, host)) == ([pointer] if pointer else [])


def test_a_kernel_without_time_namespaces_and_one_that_makes_no_more(
    spec: Spec, host: Observed
) -> None:
    spec["linux"]["namespaces"] = [{"type": "mount"}, {"type": "time"}, {"type": "uts"}]
    host.namespaces = ["mount", "uts"]
    host.exhausted = ["uts"]
    assert pointers(linux.namespaces(spec, host)) == ["/linux/namespaces/1", "/linux/namespaces/2"]


def test_without_rights_a_user_namespace_is_needed(spec: Spec, host: Observed) -> None:
    host.facts.privileged = False
    assert pointers(linux.namespaces(spec, host)) == ["/linux/namespaces"]


def test_more_than_ones_own_id_takes_newuidmap(
    spec: Spec, host: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    change(spec, "linux", uidMappings=maps, gidMappings=maps)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert pointers(linux.id_maps(spec, host)) == []
    host.facts.privileged = False
    assert pointers(linux.id_maps(spec, host)) == ["/linux/uidMappings", "/linux/gidMappings"]
    own = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    change(spec, "linux", uidMappings=own, gidMappings=[{**own[0], "hostID": os.getegid()}])
    assert pointers(linux.id_maps(spec, host)) == []


def test_a_controller_that_no_hierarchy_has(host: Observed) -> None:
    settings = [
        Setting("blkio", "blkio.weight", "1", "/a"),
        Setting("rdma", "rdma.max", "x", "/b"),
        Setting("rdma", "rdma.max", "y", "/b"),
        Setting("pids", "pids.max", "1", "/c"),
        Setting("memory", "memory.swap.max", "0", "/d", dispensable=True),
    ]
    host.controllers = frozenset({"io", "pids"})
    assert pointers(linux.controllers(settings, host)) == ["/b"]


def test_limits_of_what_the_host_has_not(spec: Spec, host: Observed) -> None:
    host.page_sizes = ["2MB"]
    sizes = [{"pageSize": "2MB", "limit": 0}, {"pageSize": "1GB", "limit": 0}]
    given = {"hugepageLimits": sizes, "cpu": {"cpus": "5", "mems": "0"}}
    change(spec, "linux", resources=given)
    found = list(linux.resources(spec, host))
    assert pointers(found) == ["/linux/resources/hugepageLimits/1", "/linux/resources/cpu/cpus"]
    assert found[0].hint == "it has 2MB"


def test_memory_nodes(spec: Spec, host: Observed) -> None:
    change(spec, "linux", memoryPolicy={"mode": "MPOL_BIND", "nodes": "1"})
    assert pointers(linux.problems(spec, host)) == ["/linux/memoryPolicy/nodes"]
    host.nodes = 0
    assert pointers(linux.problems(spec, host)) == ["/linux/memoryPolicy"]


def test_without_the_right_to_make_one_a_device_must_be_the_hosts(
    spec: Spec, host: Observed
) -> None:
    node: dict[str, Any] = {"type": "c", "major": 1, "minor": 3}
    devices = [{**node, "path": p} for p in ("/dev/null", "/dev/nosuch", "/etc/passwd")]
    change(spec, "linux", devices=[*devices, {"path": "/dev/pipe", "type": "p"}])
    assert pointers(linux.devices(spec, host)) == []
    without(host, "CAP_MKNOD")
    assert pointers(linux.devices(spec, host)) == ["/linux/devices/1", "/linux/devices/2"]


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A hostile one, beside a file of the host."""
    (tmp_path / "secret").write_text("#!/secret\n")
    (tmp_path / "secret").chmod(0o755)
    tree = tmp_path / "rootfs"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/script").write_text("#! /bin/sh -e\n")
    (tree / "bin/script").chmod(0o755)
    for name, target in {
        "up": "../../secret",
        "absolute": str(tmp_path / "secret"),
        "loop": "loop",
        "magic": "/proc/self/exe",
        "fd": "/proc/self/root/bin/true",
    }.items():
        (tree / "bin" / name).symlink_to(target)
    (tree / "up").symlink_to("..")
    (tree / "proc").symlink_to("/proc")
    os.mkfifo(tree / "bin/fifo")
    return tree


@pytest.mark.parametrize(
    "path",
    [
        *("/bin/up", "/bin/absolute", "/bin/loop", "/bin/magic", "/bin/fd", "/up/secret"),
        *("/../secret", "/bin/../../secret", "/proc/self/exe", "/bin/fifo", "/bin", "/"),
        "/" + "a" * 5000,
    ],
)
def test_nothing_outside_the_rootfs_is_found(rootfs: Path, path: str) -> None:
    tree = Rootfs(str(rootfs))
    try:
        assert tree.refusal(path) != 0
        assert tree.interpreter(path) == ""
        assert not tree.foreign(path)
    finally:
        tree.close()


def test_a_scripts_interpreter_and_an_architecture(rootfs: Path) -> None:
    with Path("/proc/self/exe").open("rb") as file:
        own = file.read(64)
    other = b"\x01\xde" if own[18:20] != b"\x01\xde" else b"\x02\xde"
    (rootfs / "bin/own").write_bytes(own)
    (rootfs / "bin/foreign").write_bytes(own[:18] + other + own[20:])
    (rootfs / "bin/short").write_bytes(b"\x7fELF")
    tree = Rootfs(str(rootfs))
    try:
        assert tree.interpreter("/bin/script") == "/bin/sh"
        names = ("own", "foreign", "short", "script")
        assert [tree.foreign(f"/bin/{n}") for n in names] == [False, True, False, False]
    finally:
        tree.close()


def test_hooks_in_the_container_are_not_looked_for_on_the_host(spec: Spec) -> None:
    spec["hooks"] = {
        "startContainer": [{"path": "/in/the/container"}],
        "poststop": [{"path": "/bin/sh"}, {"path": "/no/such"}],
    }
    assert pointers(paths.hooks(spec)) == ["/hooks/poststop/1/path"]


def test_a_problem_is_one_line_that_a_terminal_obeys_nothing_of() -> None:
    (problem,) = of_error(OrlopError("no \x1b[2J\nsuch", pointer="/a", hint="b"))
    assert str(problem) == "/a: no \\x1b[2J\\nsuch (hint: b)"
    assert check.__doc__
