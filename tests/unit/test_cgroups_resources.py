# SPDX-License-Identifier: Apache-2.0
"""Resources become the files and values that runc writes, each with the pointer that asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.cgroups import conversion, device_rules, resources_v1, resources_v2
from spec.errors import OrlopError

if TYPE_CHECKING:
    from runtime.cgroups.setting import Setting
    from spec.types import LinuxDeviceCgroup, LinuxResources

AT = "/linux/resources"
UNSET = (1 << 64) - 1


def v1(resources: LinuxResources, *, fresh: bool = True) -> list[Setting]:
    return [s for _, section in resources_v1.SECTIONS for s in section(resources, AT, fresh)]


def v2(resources: LinuxResources, **there: str) -> list[Setting]:
    files = {name.replace("_", "."): content for name, content in there.items()}
    return resources_v2.settings(resources, AT, files.get)


def written(settings: list[Setting]) -> dict[str, str]:
    return {setting.file: setting.value for setting in settings}


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (0, 0),
        (1, 1),
        (2, 1),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262144, 10000),
        (1 << 20, 10000),
    ],
)
def test_cpu_weight(shares: int, weight: int) -> None:
    assert conversion.cpu_weight(shares) == weight


@pytest.mark.parametrize(
    ("weight", "io"), [(0, 0), (10, 1), (100, 910), (500, 4950), (1000, 10000)]
)
def test_io_weight(weight: int, io: int) -> None:
    assert conversion.io_weight(weight) == io


@pytest.mark.parametrize(
    ("swap", "memory", "expected"),
    [(0, 0, None), (0, 100, None), (0, -1, -1), (-1, 100, -1), (300, 100, 200), (100, 100, 0)],
)
def test_swap_max(swap: int, memory: int, expected: int | None) -> None:
    assert conversion.swap_max(swap, memory) == expected


@pytest.mark.parametrize(("swap", "memory"), [(100, 0), (50, 100)])
def test_swap_that_makes_no_sense(swap: int, memory: int) -> None:
    with pytest.raises(ValueError, match="memory"):
        conversion.swap_max(swap, memory)


def test_nothing_asked_nothing_written() -> None:
    zeros: LinuxResources = {
        "memory": {"limit": 0, "swap": 0, "reservation": 0, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": []},
        "hugepageLimits": [],
        "network": {"classID": 0, "priorities": []},
        "rdma": {},
        "unified": {},
    }
    assert v1({}) == v2({}) == []
    assert v1(zeros) == v2(zeros) == []


def test_v1_files() -> None:
    resources: LinuxResources = {
        "memory": {"limit": 1 << 20, "swap": 1 << 21, "reservation": 4096, "swappiness": 0},
        "cpu": {"shares": 2, "period": 100000, "quota": -1, "burst": 5, "idle": 0, "cpus": "0-1"},
        "pids": {"limit": 32},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 9223372036854771712}],
        "network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}]},
        "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
    }
    assert written(v1(resources)) == {
        "cpuset.cpus": "0-1",
        "memory.limit_in_bytes": "1048576",
        "memory.memsw.limit_in_bytes": "2097152",
        "memory.soft_limit_in_bytes": "4096",
        "memory.swappiness": "0",
        "cpu.shares": "2",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_burst_us": "5",
        "cpu.idle": "0",
        "pids.max": "32",
        "hugetlb.2MB.rsvd.limit_in_bytes": "9223372036854771712",
        "hugetlb.2MB.limit_in_bytes": "9223372036854771712",
        "net_cls.classid": "1048577",
        "net_prio.ifpriomap": "lo 5",
        "rdma.max": "mlx5_1 hca_handle=3 hca_object=10000",
    }


def test_v2_files() -> None:
    resources: LinuxResources = {
        "memory": {"limit": 1 << 20, "swap": 3 << 20, "reservation": 4096},
        "cpu": {"shares": 1024, "period": 50000, "quota": 10000, "burst": 5, "mems": "0"},
        "pids": {"limit": -1},
        "blockIO": {
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
        },
        "hugepageLimits": [{"pageSize": "1GB", "limit": 0}],
        "unified": {"memory.high": "4096", "cgroup.max.depth": ""},
    }
    found = [(setting.file, setting.value) for setting in v2(resources)]
    assert found == [
        ("pids.max", "max"),
        ("memory.swap.max", "2097152"),
        ("memory.max", "1048576"),
        ("memory.low", "4096"),
        ("io.max", "8:0 rbps=600"),
        ("io.max", "8:16 wiops=max"),
        ("cpu.weight", "100"),
        ("cpu.max", "10000 50000"),
        ("cpu.max.burst", "5"),
        ("cpuset.mems", "0"),
        ("hugetlb.1GB.rsvd.max", "0"),
        ("hugetlb.1GB.max", "0"),
        ("memory.high", "4096"),
        ("cgroup.max.depth", "\n"),
    ]


def test_pointers_name_the_property() -> None:
    resources: LinuxResources = {
        "blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 100}]},
        "rdma": {"a/b~c": {"hcaHandles": 1}},
        "pids": {"limit": 1},
    }
    assert {setting.pointer for setting in v1(resources)} == {
        "/linux/resources/blockIO/weightDevice/0/weight",
        "/linux/resources/rdma/a~1b~0c",
        "/linux/resources/pids/limit",
    }


def test_pids_limit_of_zero_is_a_limit() -> None:
    for settings in (v1({"pids": {"limit": 0}}), v2({"pids": {"limit": 0}})):
        assert written(settings) == {"pids.max": "1"}


def test_unlimited_memory_means_unlimited_swap() -> None:
    (limit, swap) = v1({"memory": {"limit": -1}})
    assert (limit.value, swap.value, swap.dispensable) == ("-1", "-1", True)
    assert written(v2({"memory": {"limit": -1}})) == {"memory.swap.max": "max", "memory.max": "max"}


def test_limit_equal_to_swap_disables_swap() -> None:
    swap, _ = v2({"memory": {"limit": 100, "swap": 100}})
    assert (swap.value, swap.dispensable) == ("0", True)


def test_v2_swap_is_relative_to_the_limit_that_is_there() -> None:
    assert written(v2({"memory": {"swap": 300}}, memory_max="100\n")) == {"memory.swap.max": "200"}
    with pytest.raises(OrlopError, match="a swap limit needs a memory limit"):
        v2({"memory": {"swap": 300}})


def test_v2_period_alone_keeps_the_quota() -> None:
    resources: LinuxResources = {"cpu": {"period": 20000}}
    assert written(v2(resources)) == {"cpu.max": "max 20000"}
    assert written(v2(resources, cpu_max="5000 100000\n")) == {"cpu.max": "5000 20000"}
    assert written(v2({"cpu": {"quota": 7000}}, cpu_max="5000 20000\n")) == {"cpu.max": "7000"}


def test_v2_weights_are_for_bfq_or_converted() -> None:
    resources: LinuxResources = {
        "blockIO": {"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}]}
    }
    found = [(s.file, s.value, s.instead) for s in v2(resources)]
    assert found == [
        ("io.bfq.weight", "100", ("io.weight", "910")),
        ("io.bfq.weight", "8:0 1000", ("io.weight", "8:0 10000")),
    ]


def test_oom_killer_can_be_enabled_again() -> None:
    assert written(v1({"memory": {"disableOOMKiller": True}})) == {"memory.oom_control": "1"}
    off: LinuxResources = {"memory": {"disableOOMKiller": False}}
    assert written(v1(off, fresh=False)) == {"memory.oom_control": "0"}


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"swappiness": 10}}, "/memory/swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "/memory/disableOOMKiller"),
        ({"cpu": {"realtimeRuntime": 1}}, "/cpu/realtimeRuntime"),
        ({"blockIO": {"leafWeight": 10}}, "/blockIO"),
        ({"network": {"classID": 1}}, "/network/classID"),
        ({"network": {"priorities": [{"name": "lo", "priority": 1}]}}, "/network/priorities"),
        ({"memory": {"limit": 100, "swap": 50}}, "/memory/swap"),
        ({"unified": {"a/b": "1"}}, "/unified/a~1b"),
        ({"unified": {"memory": "1"}}, "/unified/memory"),
        ({"unified": {".max": "1"}}, "/unified/.max"),
        ({"hugepageLimits": [{"pageSize": "2MB/../x", "limit": 1}]}, "/hugepageLimits/0/pageSize"),
    ],
)
def test_v2_refuses_what_it_cannot_do(resources: LinuxResources, pointer: str) -> None:
    with pytest.raises(OrlopError) as caught:
        v2(resources)
    assert caught.value.pointer == AT + pointer


@pytest.mark.parametrize("value", [-1, UNSET])
def test_swappiness_of_minus_one_is_unset(value: int) -> None:
    assert v2({"memory": {"swappiness": value}}) == []
    assert v1({"memory": {"swappiness": value}}) == []


@pytest.mark.parametrize(("shares", "bound"), [(1, "minimum"), (262145, "maximum")])
def test_v1_shares_that_the_kernel_would_change(shares: int, bound: str) -> None:
    with pytest.raises(OrlopError, match=f"the {bound} allowed cpu-shares"):
        v1({"cpu": {"shares": shares}})


def test_v2_check_before_update() -> None:
    resources: LinuxResources = {"memory": {"limit": 4096, "checkBeforeUpdate": True}}
    with pytest.raises(OrlopError, match="not above the current usage of 8192 bytes"):
        v2(resources, memory_current="8192\n")
    assert written(v2(resources, memory_current="4000\n")) == {"memory.max": "4096"}


def test_hugetlb_name_survives_v1_too() -> None:
    with pytest.raises(OrlopError, match="is not a page size"):
        v1({"hugepageLimits": [{"pageSize": "a/b", "limit": 1}]})


def devices(*rules: LinuxDeviceCgroup) -> device_rules.DeviceAccess:
    return device_rules.evaluate(rules, "/d")


DEFAULTS = [
    *("c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm"),
    *("c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm", "c 10:200 rwm"),
]


def test_default_devices_survive_a_rule_that_denies_all() -> None:
    for access in (devices(), devices({"allow": False, "access": "rwm"})):
        assert not access.default_allow
        assert access.lines() == DEFAULTS


def test_rules_apply_in_order() -> None:
    access = devices(
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
        {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "w"},
        {"allow": True, "type": "a", "major": 7, "minor": 1, "access": "r"},
    )
    expected = ["c 10:229 r", "b 8:* r", "b 7:1 r", "c 7:1 r"]
    assert access.lines() == [*expected, *DEFAULTS]


def test_allow_all() -> None:
    access = devices(
        {"allow": True, "type": "a", "access": "rwm"},
        {"allow": False, "type": "b", "major": 8, "minor": 0, "access": "rwm"},
    )
    assert access.default_allow
    assert access.lines() == ["b 8:0 rw"]  # making the node is allowed to every container


def test_wider_denial_takes_narrower_permissions_with_it() -> None:
    access = devices(
        {"allow": True, "type": "c", "major": 10, "minor": 1, "access": "rw"},
        {"allow": True, "type": "c", "major": 10, "minor": 2, "access": "rw"},
        {"allow": False, "type": "c", "major": 10, "access": "w"},
    )
    assert access.lines() == ["c 10:1 r", "c 10:2 r", *DEFAULTS]


def test_hole_in_a_wider_rule_is_refused() -> None:
    with pytest.raises(
        OrlopError, match=r"exception within 'c 10:\* rw', allowed before"
    ) as caught:
        devices(
            {"allow": True, "type": "c", "major": 10, "access": "rw"},
            {"allow": False, "type": "c", "major": 10, "minor": 1, "access": "w"},
        )
    assert caught.value.pointer == "/d/1"


def test_denying_what_every_container_has_is_refused_in_allow_mode() -> None:
    with pytest.raises(OrlopError, match="a device that every container has") as caught:
        devices(
            {"allow": True, "access": "rwm"},
            {"allow": False, "type": "c", "major": 1, "access": "rwm"},
        )
    assert caught.value.pointer == "/d"
