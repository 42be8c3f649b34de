# SPDX-License-Identifier: Apache-2.0
"""What only cgroup v1 has: inherited cpusets, lists of devices, controllers found one by one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import cgroups
from spec.errors import OrlopError
from tests.support import hierarchies
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.cgroups.cgroup import Cgroup
    from spec.types import LinuxDeviceCgroup, LinuxThrottleDevice

pytestmark = [requires("root", "cgroup1")]


@pytest.fixture
def box(cgroup: str) -> Iterator[Cgroup]:
    """A cgroup two levels below what the test may make, not made yet."""
    made = cgroups.resolve(f"{cgroup}/outer/box", "box")
    paths = set(made.paths().values())
    yield made
    made.kill()
    made.remove()
    assert not [path for path in paths if Path(path).exists()]


def content(cgroup: Cgroup, controller: str, file: str) -> str:
    return Path(cgroup.paths()[controller], file).read_text().strip()


def test_every_hierarchy_is_joined(box: Cgroup) -> None:
    box.create({})
    expected = {"unified" if name == "v2" else name for name in hierarchies.mountpoints()}
    assert set(box.hierarchies()) == expected
    assert all(Path(path).is_dir() for path in box.paths().values())


def test_cpuset_is_inherited_all_the_way_down(box: Cgroup, cgroup: str) -> None:
    box.create({})
    root = hierarchies.directory("cpuset", "/")
    for file in ("cpuset.cpus", "cpuset.mems"):
        whole = (root / file).read_text().strip()
        assert content(box, "cpuset", file) == whole
        assert (hierarchies.directory("cpuset", cgroup) / file).read_text().strip() == whole


def test_cpuset_that_is_asked_for(box: Cgroup) -> None:
    box.create({"cpu": {"cpus": "0"}})
    assert content(box, "cpuset", "cpuset.cpus") == "0"
    assert content(box, "cpuset", "cpuset.mems")
    box.apply({"cpu": {"mems": "0"}})
    assert content(box, "cpuset", "cpuset.mems") == "0"


def test_cpuset_that_the_machine_lacks(box: Cgroup) -> None:
    with pytest.raises(OrlopError, match=r"cpuset\.cpus") as caught:
        box.create({"cpu": {"cpus": "0-4000"}})
    assert caught.value.pointer == "/linux/resources/cpu/cpus"
    assert caught.value.hint.startswith("the parent cgroup has 0")


def devices(box: Cgroup, *rules: LinuxDeviceCgroup) -> list[str]:
    box.create({"devices": list(rules)})
    return content(box, "devices", "devices.list").splitlines()


def test_only_the_default_devices(box: Cgroup) -> None:
    found = devices(box, {"allow": False, "access": "rwm"})
    assert sorted(found) == sorted(
        [
            *("c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm"),
            *("c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm", "c 10:200 rwm"),
        ]
    )


def test_rules_for_devices(box: Cgroup) -> None:
    found = devices(
        box,
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
    )
    assert {"c 10:229 rwm", "b 8:* r"} <= set(found)
    assert "a *:* rwm" not in found


def test_all_devices(box: Cgroup) -> None:
    assert devices(box, {"allow": True, "access": "rwm"}) == ["a *:* rwm"]


def test_update_leaves_devices_alone(box: Cgroup) -> None:
    before = devices(box)
    box.apply({"devices": [{"allow": True, "access": "rwm"}], "pids": {"limit": 9}})
    assert content(box, "devices", "devices.list").splitlines() == before


def test_unified_is_refused(box: Cgroup, cgroup: str) -> None:
    with pytest.raises(OrlopError, match="on cgroup v1") as caught:
        box.create({"unified": {"memory.max": "1"}})
    assert caught.value.pointer == "/linux/resources/unified"
    assert hierarchies.below(cgroup) == []


def test_missing_controller_is_named(box: Cgroup) -> None:
    names = {name for names in hierarchies.mountpoints() for name in names.split(",")}
    if "net_cls" in names:
        box.create({"network": {"classID": 1}})
        assert content(box, "net_cls", "net_cls.classid") == "1"
    else:
        with pytest.raises(OrlopError, match='"net_cls" is not available on this host') as caught:
            box.create({"network": {"classID": 1}})
        assert caught.value.pointer == "/linux/resources/network/classID"


def test_throttling_of_a_block_device(box: Cgroup) -> None:
    major, minor = (Path("/sys/block/loop0/dev").read_text().strip()).split(":")
    throttle: LinuxThrottleDevice = {"major": int(major), "minor": int(minor), "rate": 1 << 20}
    box.create({"blockIO": {"throttleReadBpsDevice": [throttle]}})
    assert content(box, "blkio", "blkio.throttle.read_bps_device") == f"{major}:{minor} 1048576"
    box.apply({"blockIO": {"throttleReadBpsDevice": [{**throttle, "rate": 0}]}})
    assert content(box, "blkio", "blkio.throttle.read_bps_device") == ""


@pytest.fixture
def unified_controllers() -> Iterator[list[str]]:
    """The controllers of the unified hierarchy; what a test enables is disabled again."""
    top = hierarchies.mountpoints().get("v2")
    if top is None:
        yield []
        return
    control = top / "cgroup.subtree_control"
    before = control.read_text().split()
    yield (top / "cgroup.controllers").read_text().split()
    for controller in set(control.read_text().split()) - set(before):
        with contextlib.suppress(OSError):  # EBUSY: in use by another by now
            control.write_text(f"-{controller}")


def test_controller_on_the_unified_hierarchy(
    unified_controllers: list[str], box: Cgroup, cgroup: str
) -> None:
    sizes = sorted(Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB"))
    if "hugetlb" not in unified_controllers or not sizes:
        with pytest.raises(OrlopError, match=r"hugetlb"):
            box.create({"hugepageLimits": [{"pageSize": "3KB", "limit": 0}]})
        return
    box.create({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]})
    assert content(box, "", "hugetlb.2MB.max") == str(4 << 20)
    assert content(box, "", "hugetlb.2MB.rsvd.max") == str(4 << 20)
    assert "hugetlb" in box.stats()
    with pytest.raises(OrlopError, match=r"this kernel has no hugetlb\.3MB\.max") as caught:
        box.apply({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]})
    assert caught.value.pointer == "/linux/resources/hugepageLimits/0"
    box.remove()
    assert hierarchies.below(cgroup) == []


def test_realtime_period_and_runtime_go_together(box: Cgroup) -> None:
    # A child's share of realtime comes out of its parent's, and that of a new cgroup is nothing.
    with pytest.raises(OrlopError, match=r"cpu\.rt_runtime_us") as caught:
        box.create({"cpu": {"realtimePeriod": 500000, "realtimeRuntime": 10000}})
    assert caught.value.pointer == "/linux/resources/cpu/realtimeRuntime"
    assert caught.value.hint
