# SPDX-License-Identifier: Apache-2.0
"""What only cgroup v2 has: controllers shared out down the path, threaded cgroups, `unified`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import cgroups
from runtime.cgroups import unified
from spec.errors import OrlopError
from tests.support import hierarchies
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.cgroups.cgroup import Cgroup
    from spec.types import LinuxResources, LinuxThrottleDevice

pytestmark = [requires("root", "cgroup2"), pytest.mark.v2]


@pytest.fixture
def box(cgroup: str) -> Iterator[Cgroup]:
    """A cgroup three levels below the root, not made yet."""
    made = cgroups.resolve(f"{cgroup}/outer/box", "box")
    path = made.paths()[""]
    yield made
    made.kill()
    made.remove()
    assert not Path(path).exists()


def content(cgroup: Cgroup, file: str) -> str:
    return Path(cgroup.paths()[""], file).read_text().strip()


def root() -> Path:
    return hierarchies.mountpoints()["v2"]


def controllers(directory: Path) -> set[str]:
    return set((directory / "cgroup.controllers").read_text().split())


def test_all_controllers_are_shared_out(box: Cgroup) -> None:
    box.create({})
    assert set(content(box, "cgroup.controllers").split()) == controllers(root())
    assert box.hierarchies() == ["unified"]


def test_unified(box: Cgroup) -> None:
    box.create(
        {
            "memory": {"limit": 64 << 20},
            "unified": {"memory.max": "33554432", "memory.high": "max", "cgroup.max.depth": "3"},
        }
    )
    assert content(box, "memory.max") == "33554432"
    assert content(box, "cgroup.max.depth") == "3"


REFUSED: list[tuple[LinuxResources, str, str]] = [
    ({"unified": {"memory.none": "1"}}, "/unified/memory.none", "this kernel has no memory.none"),
    ({"unified": {"none.max": "1"}}, "/unified/none.max", '"none" is not available on this host'),
    ({"unified": {"cpu.max": "x"}}, "/unified/cpu.max", "Invalid argument"),
    ({"unified": {"pids.current": "1"}}, "/unified/pids.current", "(Permission denied|Invalid)"),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "/hugepageLimits/0", "hugetlb"),
    ({"rdma": {"none": {"hcaObjects": 1}}}, "/rdma/none", "rdma"),
    ({"network": {"classID": 1}}, "/network/classID", "no network classes"),
]


@pytest.mark.parametrize(("resources", "pointer", "text"), REFUSED)
def test_refused(
    box: Cgroup, cgroup: str, resources: LinuxResources, pointer: str, text: str
) -> None:
    with pytest.raises(OrlopError, match=text) as caught:
        box.create(resources)
    assert caught.value.pointer == f"/linux/resources{pointer}"
    assert hierarchies.below(cgroup) == []


@pytest.fixture
def populated(cgroup: str) -> Iterator[Path]:
    """The test's own cgroup, with a process in it."""
    outer = root() / cgroup.lstrip("/")
    outer.mkdir()
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        (outer / "cgroup.procs").write_text(str(process.pid))
        yield outer
    finally:
        process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"limit": 64 << 20}}, "/memory/limit"),
        ({"cpu": {"shares": 1024}}, "/cpu/shares"),
    ],
)
def test_cgroup_with_processes_shares_nothing_out(
    populated: Path, cgroup: str, resources: LinuxResources, pointer: str
) -> None:
    with pytest.raises(OrlopError, match="enable controller") as caught:
        cgroups.resolve(f"{cgroup}/inner", "inner").create(resources)
    assert caught.value.pointer == f"/linux/resources{pointer}"
    assert "no internal processes" in caught.value.hint
    assert not (populated / "inner").exists()
    assert (populated / "cgroup.type").read_text() == "domain\n"


def test_cgroup_with_processes_can_hold_an_unlimited_one(populated: Path, cgroup: str) -> None:
    inner = cgroups.resolve(f"{cgroup}/inner", "inner")
    inner.create({})
    assert (populated / "inner" / "cgroup.type").read_text() == "domain\n"
    inner.remove()


def test_threaded_controllers_alone_do_not_make_a_threaded_subtree(
    populated: Path, cgroup: str
) -> None:
    inner = cgroups.resolve(f"{cgroup}/inner", "inner")
    inner.create({})
    with pytest.raises(OrlopError, match='enable controller "pids"'):
        inner.apply({"pids": {"limit": 3}})
    assert (populated / "cgroup.type").read_text() == "domain\n"
    inner.remove()


def test_threaded_subtree_is_refused(cgroup: str) -> None:
    outer = root() / cgroup.lstrip("/")
    (outer / "threads").mkdir(parents=True)
    (outer / "threads" / "cgroup.type").write_text("threaded")
    for name in ("threads/inner", "other"):
        inner = cgroups.resolve(f"{cgroup}/{name}", "inner")
        with pytest.raises(OrlopError, match="is in a threaded subtree") as caught:
            inner.create({})
        assert caught.value.pointer == "/linux/cgroupsPath"
        assert not (outer / name).exists()


def test_events_are_waited_for(box: Cgroup) -> None:
    box.create({})
    path = box.paths()[""]
    assert unified.wait_for(path, "populated", 0, 0.0)
    assert not unified.wait_for(path, "populated", 1, 0.01)
    box.remove()
    assert unified.wait_for(path, "populated", 1, 1.0)


def test_cpuset(box: Cgroup) -> None:
    if "cpuset" not in controllers(root()):
        with pytest.raises(OrlopError, match='"cpuset" is not available on this host'):
            box.create({"cpu": {"cpus": "0"}})
        return
    box.create({"cpu": {"cpus": "0", "mems": "0"}})
    assert content(box, "cpuset.cpus.effective") == "0"
    assert box.stats()["cpuset"] == {"cpus": [0], "mems": [0]}


def test_throttling_of_a_block_device(box: Cgroup) -> None:
    found = next(Path("/sys/block").iterdir(), None)
    if found is None:
        device: LinuxThrottleDevice = {"major": 4095, "minor": 9}
        with pytest.raises(OrlopError, match="No such device") as caught:
            box.create({"blockIO": {"throttleReadBpsDevice": [device]}})
        assert caught.value.hint == "there is no such block device"
        return
    major, minor = map(int, (found / "dev").read_text().split(":"))
    rate: LinuxThrottleDevice = {"major": major, "minor": minor, "rate": 1 << 20}
    box.create({"blockIO": {"throttleReadBpsDevice": [rate], "throttleWriteIOPSDevice": [rate]}})
    line = f"{major}:{minor} rbps=1048576 wbps=max riops=max wiops=1048576"
    assert content(box, "io.max") == line
    box.apply({"blockIO": {"throttleReadBpsDevice": [{**rate, "rate": 0}]}})
    assert content(box, "io.max") == line.replace("rbps=1048576", "rbps=max")


def test_relative_path_is_beside_the_own_cgroup(cgroup: str) -> None:
    own = Path("/proc/self/cgroup").read_text().strip().removeprefix("0::")
    beside = cgroups.resolve(cgroup.lstrip("/"), "box")
    assert beside.paths()[""] == f"{root()}{os.path.dirname(own).rstrip('/')}{cgroup}"


def test_check_before_update(box: Cgroup) -> None:
    box.create({"memory": {"limit": 64 << 20}})
    Path(box.paths()[""], "inner").mkdir()
    usage = int(content(box, "memory.current"))
    check: LinuxResources = {"memory": {"limit": max(usage, 1), "checkBeforeUpdate": True}}
    if usage:
        with pytest.raises(OrlopError, match="not above the current usage"):
            box.apply(check)
    else:
        box.apply(check)
