# SPDX-License-Identifier: Apache-2.0
"""Usage of a cgroup on v2, and the keys that v1's is given under, too.

    cpu      usage_ns user_ns system_ns periods throttled_periods throttled_ns,
             per_cpu_ns per_cpu_user_ns per_cpu_system_ns (v1, lists)
    memory   usage peak limit swap_usage swap_limit failures, stat (memory.stat), events (v2),
             memory_swap_usage memory_swap_peak memory_swap_limit memory_swap_failures (v1: sums),
             kernel kernel_tcp (v1: usage peak limit failures)
    pids     current limit
    io       bytes operations (lists of {device operation value}),
             queued service_time_ns wait_time_ns merged time_ms sectors (v1 with BFQ)
    hugetlb  by page size: usage peak failures
    cpuset   cpus mems (lists), the flags of cpuset(7) (v1)
    rdma     by device: current limit (v2)
    pressure by resource: the lines of PRESSURE files by kind (v2)

Bytes and nanoseconds; a limit of -1 is none; what the kernel doesn't tell is absent.
"""

from __future__ import annotations

from runtime.cgroups import files

_IO = (
    ("rbytes", "bytes", "read"),
    ("wbytes", "bytes", "write"),
    ("dbytes", "bytes", "discard"),
    ("rios", "operations", "read"),
    ("wios", "operations", "write"),
    ("dios", "operations", "discard"),
)


def collect(path: str) -> dict[str, object]:
    """Return the usage of a cgroup by its directory. Raises OSError."""
    found = {
        "cpu": _cpu(path),
        "memory": _memory(path),
        "pids": _numbers(path, {"pids.current": "current", "pids.max": "limit"}),
        "io": io_stat(files.read_if_there(f"{path}/io.stat") or ""),
        "hugetlb": _hugetlb(path),
        "cpuset": _cpuset(path),
        "rdma": _rdma(path),
        "pressure": _pressure(path),
    }
    return {name: value for name, value in found.items() if value}


def _numbers(path: str, keys: dict[str, str]) -> dict[str, object]:
    """The numbers of single-value files, under the keys that are given by file."""
    found: dict[str, object] = {}
    for file, key in keys.items():
        content = files.read_if_there(f"{path}/{file}")
        if content is not None:
            found[key] = -1 if content.strip() == "max" else int(content)
    return found


def _cpu(path: str) -> dict[str, object]:
    stat = files.flat_keyed(files.read_if_there(f"{path}/cpu.stat") or "")
    keys = {
        "usage_usec": ("usage_ns", 1000),
        "user_usec": ("user_ns", 1000),
        "system_usec": ("system_ns", 1000),
        "nr_periods": ("periods", 1),
        "nr_throttled": ("throttled_periods", 1),
        "throttled_usec": ("throttled_ns", 1000),
    }
    return {key: stat[name] * factor for name, (key, factor) in keys.items() if name in stat}


def _memory(path: str) -> dict[str, object]:
    keys = {
        "memory.current": "usage",
        "memory.peak": "peak",
        "memory.max": "limit",
        "memory.swap.current": "swap_usage",
        "memory.swap.max": "swap_limit",
    }
    found = _numbers(path, keys)
    for file, key in (("memory.stat", "stat"), ("memory.events", "events")):
        content = files.read_if_there(f"{path}/{file}")
        if content is not None:
            found[key] = files.flat_keyed(content)
    events = found.get("events")
    if isinstance(events, dict):
        found["failures"] = events.get("max", 0)
    return found


def io_stat(content: str) -> dict[str, object]:
    """Return io.stat (`MAJOR:MINOR KEY=VALUE …`; cgroup-v2.rst, "IO Interface Files")."""
    found: dict[str, list[dict[str, object]]] = {"bytes": [], "operations": []}
    for line in content.splitlines():
        device, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        for name, key, operation in _IO:
            if name in values:
                entry = {"device": device, "operation": operation, "value": int(values[name])}
                found[key].append(entry)
    return {key: entries for key, entries in found.items() if entries}


def _hugetlb(path: str) -> dict[str, object]:
    content = files.read_if_there(f"{path}/cgroup.controllers") or ""
    if "hugetlb" not in content.split():
        return {}
    from runtime.cgroups.stats_v1 import page_sizes

    found: dict[str, object] = {}
    for size in page_sizes(path, ".current"):
        usage = _numbers(path, {f"hugetlb.{size}.current": "usage"})
        events = files.flat_keyed(files.read_if_there(f"{path}/hugetlb.{size}.events") or "")
        found[size] = {**usage, "failures": events.get("max", 0)}
    return found


def _cpuset(path: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in ("cpus", "mems"):
        content = files.read_if_there(f"{path}/cpuset.{name}.effective")
        if content is not None:
            found[name] = number_list(content)
    return found


def number_list(content: str) -> list[int]:
    """Return a list of numbers and ranges, `0-2,5` (cpuset(7), "List format")."""
    found: list[int] = []
    for part in content.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found += range(int(first), int(last or first) + 1)
    return found


def _rdma(path: str) -> dict[str, object]:
    found: dict[str, dict[str, object]] = {}
    for file, key in (("rdma.current", "current"), ("rdma.max", "limit")):
        for line in (files.read_if_there(f"{path}/{file}") or "").splitlines():
            device, *pairs = line.split()
            values = dict(pair.split("=", 1) for pair in pairs)
            found.setdefault(device, {})[key] = {
                name: -1 if value == "max" else int(value) for name, value in values.items()
            }
    return dict(found)


def _pressure(path: str) -> dict[str, object]:
    """The PSI files (Linux 4.20): shares in percent, totals in nanoseconds."""
    found: dict[str, object] = {}
    for resource in ("cpu", "memory", "io"):
        try:
            content = files.read_if_there(f"{path}/{resource}.pressure")
        except OSError:
            continue  # EOPNOTSUPP: the kernel was booted with psi=0
        if content:
            found[resource] = pressure(content)
    return found


def pressure(content: str) -> dict[str, dict[str, float]]:
    """Return a PRESSURE file: by kind ("some", "full") avg10, avg60, avg300 and total_ns."""
    found: dict[str, dict[str, float]] = {}
    for line in content.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        total = int(values.pop("total", "0")) * 1000
        averages: dict[str, float] = {name: float(value) for name, value in values.items()}
        found[kind] = {**averages, "total_ns": total}
    return found
