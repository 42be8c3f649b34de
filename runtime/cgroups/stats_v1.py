# SPDX-License-Identifier: Apache-2.0
"""Usage of a cgroup on v1, under the keys of stats_v2.

cpu, memory and cpuset are read through cgroupspy's typed interfaces. It has none for pids,
hugetlb, and the recursive and throttling files of blkio, which are read here. Not for the path of
a start: it imports collections.
"""

from __future__ import annotations

import os

from cgroupspy.controllers import (
    CpuAcctController,
    CpuController,
    CpuSetController,
    MemoryController,
)

from runtime.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Collector = Callable[[str], dict[str, object]]

_BLKIO_FILES = ("bfq.io_service_bytes", "throttle.io_service_bytes")
CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)
"""Files of cpuset(7) with a number, and their keys."""

_BLKIO_BFQ = {
    "queued": "io_queued",
    "service_time_ns": "io_service_time",
    "wait_time_ns": "io_wait_time",
    "merged": "io_merged",
    "time_ms": "time",
    "sectors": "sectors",
}
_BLKIO_COUNTS = ("bfq.io_serviced", "throttle.io_serviced")


class _Node:
    """What cgroupspy's controllers want of a node: the directory, as bytes like its file names."""

    def __init__(self, path: str) -> None:
        self.full_path = os.fsencode(path)


def collect(paths: Mapping[str, str]) -> dict[str, object]:
    """Return the usage of the controllers in `paths` (directories by name). Raises OSError."""
    found: dict[str, object] = {}
    if "cpu" in paths or "cpuacct" in paths:
        found["cpu"] = _cpu(paths)
    for controller, name, collector in _COLLECTORS:
        if controller in paths:
            found[name] = collector(paths[controller])
    return found


def _typed(controller: type, path: str, *names: str) -> dict[str, object]:
    """The content of a cgroupspy controller's files by name; absent ones are left out."""
    typed = controller(_Node(path))
    found = {}
    for name in names:
        try:
            value = typed.get_content(name)
        except OSError as error:
            if error.errno not in files.GONE:
                raise
            value = None
        if value not in (None, ""):
            found[name] = value
    return found


def _number(path: str) -> int | None:
    content = files.read_if_there(path)
    if content is None:
        return None
    return -1 if content.strip() == "max" else int(content)


def _cpu(paths: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    if (path := paths.get("cpuacct")) is not None:
        usage = _typed(CpuAcctController, path, "usage", "usage_percpu")
        found["usage_ns"] = usage.get("usage")
        found["per_cpu_ns"] = usage.get("usage_percpu")
        found["user_ns"] = _number(f"{path}/cpuacct.usage_user")
        found["system_ns"] = _number(f"{path}/cpuacct.usage_sys")
        found.update(_per_cpu(files.read_if_there(f"{path}/cpuacct.usage_all") or ""))
    if (path := paths.get("cpu")) is not None:
        stat = _typed(CpuController, path, "stat").get("stat")
        if isinstance(stat, dict):
            found["periods"] = stat.get("nr_periods")
            found["throttled_periods"] = stat.get("nr_throttled")
            found["throttled_ns"] = stat.get("throttled_time")
    return _known(found)


def _per_cpu(content: str) -> dict[str, object]:
    """cpuacct.usage_all: a heading, then `CPU USER SYSTEM` in nanoseconds."""
    lines = [line.split() for line in content.splitlines()[1:]]
    if not lines:
        return {}
    return {
        "per_cpu_user_ns": [int(line[1]) for line in lines],
        "per_cpu_system_ns": [int(line[2]) for line in lines],
    }


def _memory(path: str) -> dict[str, object]:
    keys = {
        "usage_in_bytes": "usage",
        "max_usage_in_bytes": "peak",
        "limit_in_bytes": "limit",
        "failcnt": "failures",
        "memsw_usage_in_bytes": "memory_swap_usage",
        "memsw_max_usage_in_bytes": "memory_swap_peak",
        "memsw_limit_in_bytes": "memory_swap_limit",
        "memsw_failcnt": "memory_swap_failures",
        "stat": "stat",
    }
    typed = _typed(MemoryController, path, *keys)
    found = {keys[name]: value for name, value in typed.items()}
    for key, prefix in (("kernel", "memory.kmem"), ("kernel_tcp", "memory.kmem.tcp")):
        if counter := _counter(f"{path}/{prefix}"):
            found[key] = counter
    return found


def _counter(prefix: str) -> dict[str, object]:
    return _known(
        {
            "usage": _number(f"{prefix}.usage_in_bytes"),
            "peak": _number(f"{prefix}.max_usage_in_bytes"),
            "limit": _number(f"{prefix}.limit_in_bytes"),
            "failures": _number(f"{prefix}.failcnt"),
        }
    )


def _cpuset(path: str) -> dict[str, object]:
    found = _typed(CpuSetController, path, "cpus", "mems")
    lists = {name: sorted(value) for name, value in found.items() if isinstance(value, set)}
    return lists | _known({name: _number(f"{path}/cpuset.{name}") for name in CPUSET_FLAGS})


def _pids(path: str) -> dict[str, object]:
    return _known(
        {"current": _number(f"{path}/pids.current"), "limit": _number(f"{path}/pids.max")}
    )


def _io(path: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, names in (("bytes", _BLKIO_FILES), ("operations", _BLKIO_COUNTS)):
        for name in names:
            content = files.read_if_there(f"{path}/blkio.{name}_recursive")
            if entries := _io_entries(content or ""):
                found[key] = entries
                break
    for key, name in _BLKIO_BFQ.items():
        content = files.read_if_there(f"{path}/blkio.bfq.{name}_recursive")
        if entries := _io_entries(content or ""):
            found[key] = entries
    return found


def _io_entries(content: str) -> list[dict[str, object]]:
    """The lines `MAJOR:MINOR [OPERATION] NUMBER`, without the sum of all devices."""
    found: list[dict[str, object]] = []
    for line in content.splitlines():
        words = line.split()
        if len(words) > 1 and ":" in words[0]:
            device, *operation, value = words
            name = operation[0].lower() if operation else ""
            found.append({"device": device, "operation": name, "value": int(value)})
    return found


def _hugetlb(path: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for size in page_sizes(path, ".limit_in_bytes"):
        prefix = f"{path}/hugetlb.{size}"
        usage = _number(f"{prefix}.usage_in_bytes")
        failures = _number(f"{prefix}.failcnt")
        peak = _number(f"{prefix}.max_usage_in_bytes")
        found[size] = _known({"usage": usage, "peak": peak, "failures": failures})
    return found


def page_sizes(path: str, suffix: str) -> list[str]:
    """Return the sizes of huge pages that a cgroup has files for: hugetlb.SIZE and `suffix`."""
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return []
    sizes = [
        name.removeprefix("hugetlb.").removesuffix(suffix)
        for name in names
        if name.startswith("hugetlb.") and name.endswith(suffix)
    ]
    return sorted(size for size in sizes if "." not in size)


def _known(found: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in found.items() if value is not None}


_COLLECTORS: tuple[tuple[str, str, Collector], ...] = (
    ("memory", "memory", _memory),
    ("cpuset", "cpuset", _cpuset),
    ("pids", "pids", _pids),
    ("blkio", "io", _io),
    ("hugetlb", "hugetlb", _hugetlb),
)
