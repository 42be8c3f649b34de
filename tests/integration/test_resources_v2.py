# SPDX-License-Identifier: Apache-2.0
"""`linux.resources` of containers on cgroup v2: each is in force, or refused with a reason."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime import cgroups
from tests.support import hierarchies
from tests.support.features import requires
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.container import Container

pytestmark = [requires("root", "cgroup2"), pytest.mark.root, pytest.mark.v2]

CONTROLLERS = (
    (hierarchies.mountpoints()["v2"] / "cgroup.controllers").read_text().split()
    if hierarchies.mode() == "v2"
    else []
)
MIB = 1 << 20


def content(container: Container, file: str) -> str:
    top = hierarchies.mountpoints()["v2"] / container.bundle.cgroup.lstrip("/")
    return (top / file).read_text().strip()


FILES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    (
        "memory",
        {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB}},
        {
            "memory.max": str(64 * MIB),
            "memory.swap.max": str(32 * MIB),
            "memory.low": str(16 * MIB),
        },
    ),
    (
        "memory",
        {"memory": {"limit": -1}},
        {"memory.max": "max", "memory.swap.max": "max"},
    ),
    (
        "cpu",
        {"cpu": {"shares": 512, "quota": 50000, "period": 200000, "burst": 10000}},
        {"cpu.weight": "59", "cpu.max": "50000 200000", "cpu.max.burst": "10000"},
    ),
    ("cpu", {"cpu": {"idle": 1}}, {"cpu.idle": "1"}),
    ("cpuset", {"cpu": {"cpus": "0", "mems": "0"}}, {"cpuset.cpus": "0", "cpuset.mems": "0"}),
    ("pids", {"pids": {"limit": 12}}, {"pids.max": "12"}),
    (
        "hugetlb",
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
        {"hugetlb.2MB.max": str(4 * MIB), "hugetlb.2MB.rsvd.max": str(4 * MIB)},
    ),
    (
        "memory",
        {"unified": {"memory.high": str(48 * MIB), "memory.oom.group": "1", "pids.max": "9"}},
        {"memory.high": str(48 * MIB), "memory.oom.group": "1", "pids.max": "9"},
    ),
]


@pytest.mark.parametrize(
    ("controller", "resources", "files"), FILES, ids=[f"{f[0]}-{'-'.join(f[1])}" for f in FILES]
)
def test_files(
    container: Container, controller: str, resources: dict[str, Any], files: dict[str, str]
) -> None:
    container.bundle.resources.update(resources)
    if controller not in CONTROLLERS:
        done = container.create(check=False)
        assert done.returncode == 1
        assert f'controller "{controller}" is not available on this host' in done.stderr
        return
    container.create()
    assert {file: content(container, file) for file in files} == files


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"memory": {"swappiness": 10}}, "/memory/swappiness", "no swappiness of its own"),
    ({"memory": {"limit": MIB, "disableOOMKiller": True}}, "/memory/disableOOMKiller", "OOM"),
    ({"cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 1000}}, "/cpu/realtime", "realtime"),
    ({"blockIO": {"leafWeight": 100}}, "/blockIO", "leaf weights"),
    ({"network": {"classID": 1}}, "/network/classID", "no network classes"),
    (
        {"network": {"priorities": [{"name": "lo", "priority": 1}]}},
        "/network/priorities",
        "no network priorities",
    ),
    ({"rdma": {"mlx5_1": {"hcaHandles": 1}}}, "/rdma/mlx5_1", "rdma"),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, "/hugepageLimits/0", "hugetlb"),
    (
        {
            "blockIO": {
                "throttleWriteIOPSDevice": [{"major": 4095, "minor": 1, "rate": 5}],
            }
        },
        "/blockIO/throttleWriteIOPSDevice/0",
        "No such device (hint: there is no such block device",
    ),
    ({"unified": {"memory.nothing": "1"}}, "/unified/memory.nothing", "this kernel has no"),
    ({"unified": {"cpu.max": "nothing"}}, "/unified/cpu.max", "Invalid argument"),
]


@pytest.mark.parametrize(
    ("resources", "pointer", "text"), REFUSED, ids=[case[1].strip("/") for case in REFUSED]
)
def test_refused(container: Container, resources: dict[str, Any], pointer: str, text: str) -> None:
    container.bundle.resources.update(resources)
    done = container.create(check=False)
    assert done.returncode == 1
    assert f"/linux/resources{pointer}" in done.stderr
    assert text in done.stderr


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A block device: its major and minor number."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(MIB)
    command = ["losetup", "--find", "--show", str(image)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    major, minor = (Path("/sys/block") / Path(name).name / "dev").read_text().strip().split(":")
    yield int(major), int(minor)
    subprocess.run(["losetup", "--detach", name], check=True)


def test_block_device(container: Container, loop: tuple[int, int]) -> None:
    major, minor = loop

    def rate(value: int) -> list[dict[str, int]]:
        return [{"major": major, "minor": minor, "rate": value}]

    container.bundle.resources["blockIO"] = {
        "throttleReadBpsDevice": rate(1048576),
        "throttleWriteBpsDevice": rate(2097152),
        "throttleReadIOPSDevice": rate(100),
        "throttleWriteIOPSDevice": rate(200),
    }
    container.create()
    expected = f"{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200"
    assert content(container, "io.max") == expected


def test_block_weights_are_in_force_or_refused(container: Container) -> None:
    container.bundle.resources["blockIO"] = {"weight": 100}
    done = container.create(check=False)
    if done.returncode == 0:
        top = hierarchies.mountpoints()["v2"] / container.bundle.cgroup.lstrip("/")
        file, value = (
            ("io.bfq.weight", "100") if (top / "io.bfq.weight").exists() else ("io.weight", "910")
        )
        assert content(container, file).splitlines()[0] == f"default {value}"
    else:
        assert "/linux/resources/blockIO/weight" in done.stderr
        assert "no I/O controller with weights is there" in done.stderr


def test_processes_are_limited(container: Container) -> None:
    container.bundle.resources["pids"] = {"limit": 5}
    container.bundle.args("fork", "10")
    assert container.run().stdout == "forked 4 EAGAIN\n"


def test_memory_is_limited_and_the_end_is_counted(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 16 * MIB, "swap": 16 * MIB}
    started(container)
    cgroup = cgroups.resolve(container.bundle.cgroup, container.id)
    assert cgroup.oom_kills() == 0
    done = container.exec("mem", "65536", check=False, seconds=60)
    assert done.returncode == 137
    assert cgroup.oom_kills() >= 1


def test_a_container_starts_in_512_kib(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 512 << 10, "swap": 512 << 10}
    container.bundle.args("exit", "7")
    done = container.run(check=False)
    assert (done.returncode, done.stderr) == (7, "")


def test_memory_that_is_not_enough_to_start_is_named(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 4096, "swap": 4096}
    done = container.run(check=False)
    assert done.returncode == 1
    assert "/linux/resources/memory/limit: out of memory" in done.stderr
