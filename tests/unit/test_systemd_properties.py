# SPDX-License-Identifier: Apache-2.0
"""Resources become the properties of a unit that runc sets, and systemd's own form of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.cgroups import device_rules, resources_v1, resources_v2
from runtime.cgroups.systemd_properties import INFINITY, cpu_bits, of_devices, of_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spec.types import LinuxDeviceCgroup, LinuxResources


def v2(
    resources: LinuxResources, files: Mapping[str, str] | None = None, version: int = 252
) -> dict[str, object]:
    read = (files or {}).get
    settings = resources_v2.settings(resources, "/r", read)
    found = of_settings(settings, read, lambda: version, v2=True)
    return {name: variant.value for name, variant in found.items()}


def v1(resources: LinuxResources, files: Mapping[str, str] | None = None) -> dict[str, object]:
    settings = []
    for _, section in resources_v1.SECTIONS:
        settings += section(resources, "/r", True)  # noqa: FBT003
    found = of_settings(settings, (files or {}).get, lambda: 252, v2=False)
    return {name: variant.value for name, variant in found.items()}


ON_V2: list[tuple[LinuxResources, dict[str, object]]] = [
    ({}, {}),
    ({"memory": {"limit": 5}}, {"MemoryMax": 5}),
    ({"memory": {"limit": -1}}, {"MemoryMax": INFINITY, "MemorySwapMax": INFINITY}),
    (
        {"memory": {"limit": 5, "swap": 8, "reservation": 3}},
        {"MemoryMax": 5, "MemorySwapMax": 3, "MemoryLow": 3},
    ),
    ({"pids": {"limit": 9}}, {"TasksMax": 9}),
    ({"pids": {"limit": 0}}, {"TasksMax": 1}),
    ({"pids": {"limit": -1}}, {"TasksMax": INFINITY}),
    ({"cpu": {"shares": 1024}}, {"CPUWeight": 100}),
    ({"cpu": {"idle": 1, "shares": 1024}}, {"CPUWeight": 0}),
    ({"cpu": {"idle": 0}}, {}),
    (
        {"cpu": {"quota": 5000, "period": 10000}},
        {"CPUQuotaPerSecUSec": 500_000, "CPUQuotaPeriodUSec": 10_000},
    ),
    ({"cpu": {"quota": 5000}}, {"CPUQuotaPerSecUSec": 50_000}),
    ({"cpu": {"quota": 5001}}, {"CPUQuotaPerSecUSec": 60_000}),
    ({"cpu": {"quota": -1}}, {"CPUQuotaPerSecUSec": INFINITY}),
    ({"cpu": {"period": 10000}}, {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": 10_000}),
    (
        {"cpu": {"cpus": "0-1,9", "mems": "0"}},
        {"AllowedCPUs": b"\3\2", "AllowedMemoryNodes": b"\1"},
    ),
    ({"blockIO": {"weight": 10}}, {"IOWeight": 1}),
    ({"blockIO": {"weight": 1000}}, {"IOWeight": 10000}),
    ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}, {}),
    (
        {"unified": {"memory.high": "7", "memory.min": "max"}},
        {"MemoryHigh": 7, "MemoryMin": INFINITY},
    ),
    ({"memory": {"limit": 5}, "unified": {"memory.max": "6"}}, {"MemoryMax": 6}),
    ({"unified": {"memory.max": "32M"}}, {}),
    (
        {"unified": {"cpu.max": "max 50000"}},
        {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": 50_000},
    ),
    ({"unified": {"cpu.max": "nonsense"}}, {}),
    ({"unified": {"cpu.weight": "42", "cpu.idle": "1"}}, {"CPUWeight": 0}),
    ({"unified": {"io.weight": "default 7"}}, {"IOWeight": 7}),
    ({"unified": {"io.weight": "8:0 7"}}, {}),
    ({"unified": {"cpuset.cpus": ""}}, {}),
    ({"unified": {"cpuset.cpus": "0-99999999"}}, {}),
    ({"unified": {"hugetlb.2MB.max": "0"}}, {}),
]


@pytest.mark.parametrize(("resources", "expected"), ON_V2)
def test_on_v2(resources: LinuxResources, expected: dict[str, object]) -> None:
    assert v2(resources) == expected


def test_quota_alone_is_of_the_period_that_is_there() -> None:
    assert v2({"cpu": {"quota": 5000}}, {"cpu.max": "max 10000\n"}) == {
        "CPUQuotaPerSecUSec": 500_000
    }


def test_period_alone_keeps_the_quota() -> None:
    assert v2({"cpu": {"period": 10000}}, {"cpu.max": "5000 100000\n"}) == {
        "CPUQuotaPerSecUSec": 500_000,
        "CPUQuotaPeriodUSec": 10_000,
    }


def test_idle_waits_for_a_systemd_that_knows_it() -> None:
    assert v2({"cpu": {"idle": 1}}, version=251) == {}


def test_the_end_of_idle_ends_its_weight() -> None:
    assert v2({"cpu": {"idle": 0}}, {"cpu.idle": "1\n"}) == {"CPUWeight": INFINITY}
    assert v2({"cpu": {"idle": 0, "shares": 1024}}, {"cpu.idle": "1\n"}) == {"CPUWeight": 100}


ON_V1: list[tuple[LinuxResources, dict[str, object]]] = [
    ({"memory": {"limit": 5, "reservation": 3}}, {"MemoryLimit": 5}),
    ({"memory": {"limit": -1}}, {"MemoryLimit": INFINITY}),
    ({"cpu": {"shares": 512}}, {"CPUShares": 512}),
    ({"cpu": {"quota": 5000}}, {"CPUQuotaPerSecUSec": 50_000}),
    (
        {"cpu": {"quota": 5000, "period": 10000}},
        {"CPUQuotaPerSecUSec": 500_000, "CPUQuotaPeriodUSec": 10_000},
    ),
    ({"cpu": {"cpus": "0"}}, {}),
    ({"pids": {"limit": 0}}, {"TasksMax": 1}),
    ({"blockIO": {"weight": 500}}, {"BlockIOWeight": 500}),
]


@pytest.mark.parametrize(("resources", "expected"), ON_V1)
def test_on_v1(resources: LinuxResources, expected: dict[str, object]) -> None:
    assert v1(resources) == expected


def test_v1_quota_and_period_complete_each_other() -> None:
    files = {"cpu.cfs_period_us": "10000\n", "cpu.cfs_quota_us": "5000\n"}
    assert v1({"cpu": {"quota": 2500}}, files) == {"CPUQuotaPerSecUSec": 250_000}
    assert v1({"cpu": {"period": 50000}}, files) == {
        "CPUQuotaPerSecUSec": 100_000,
        "CPUQuotaPeriodUSec": 50_000,
    }


@pytest.mark.parametrize(
    ("text", "bits"),
    [("", b""), ("0", b"\1"), ("8", b"\0\1"), ("1,3-5,7", b"\xba"), (" 0 , 1", b"\3")],
)
def test_cpu_bits(text: str, bits: bytes) -> None:
    assert cpu_bits(text) == bits


@pytest.mark.parametrize("text", ["x", "3-1", "-1", "1-", "8192", "0-9999999999"])
def test_what_no_processors_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        cpu_bits(text)


def devices(rules: list[LinuxDeviceCgroup]) -> dict[str, object]:
    found = of_devices(device_rules.evaluate(rules, "/r"))
    return {name: variant.value for name, variant in found.items()}


def test_devices() -> None:
    found = devices(
        [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "b", "major": 8, "access": "r"},
            {"allow": True, "type": "c", "minor": 5, "access": "w"},
        ]
    )
    assert found["DevicePolicy"] == "strict"
    allowed = found["DeviceAllow"]
    assert isinstance(allowed, list)
    assert ("block-8", "r") in allowed
    assert ("/dev/char/1:3", "rwm") in allowed
    assert ("char-136", "rwm") in allowed
    assert len(allowed) == len(set(allowed)) == 12


def test_all_devices() -> None:
    assert devices([{"allow": True}]) == {"DevicePolicy": "auto", "DeviceAllow": []}


def test_exceptions_from_all_devices_are_none_to_systemd() -> None:
    found = devices([{"allow": True}, {"allow": False, "type": "b", "major": 8, "access": "r"}])
    assert found == {"DevicePolicy": "strict", "DeviceAllow": []}
