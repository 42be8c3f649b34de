# SPDX-License-Identifier: Apache-2.0
"""A cgroup's usage as containerd's messages: io.containerd.cgroups.v1.Metrics and v2's.

containerd/cgroups, stats/v1/metrics.proto and cgroup2/stats/metrics.proto. What they are made from
is described in runtime.cgroups.stats_v2.
"""

from __future__ import annotations

from shim.protobuf import UINT, Field, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from shim.protobuf import Values

    Stats = Mapping[str, Any]

V1 = "io.containerd.cgroups.v1.Metrics"
V2 = "io.containerd.cgroups.v2.Metrics"
_NO_LIMIT = (1 << 64) - 1
_V1_NO_LIMIT = 0  # pids on v1: no limit is none


def _numbers(names: str) -> Table:
    """A message of numbers alone, from 1 on."""
    return Table(*(Field(n, name, UINT) for n, name in enumerate(names.split(), 1)))


_PIDS = _numbers("current limit")
_MEMORY_V1_STAT = [
    "cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout",
    "pgfault", "pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file",
    "unevictable", "hierarchical_memory_limit", "hierarchical_memsw_limit", "total_cache",
    "total_rss", "total_rss_huge", "total_mapped_file", "total_dirty", "total_writeback",
    "total_pgpgin", "total_pgpgout", "total_pgfault", "total_pgmajfault", "total_inactive_anon",
    "total_active_anon", "total_inactive_file", "total_active_file", "total_unevictable",
]  # fmt: skip
_ENTRY = _numbers("limit usage max failcnt")
_V1_MEMORY = Table(
    *(Field(n, name, UINT) for n, name in enumerate(_MEMORY_V1_STAT, 1)),
    Field(33, "usage", of=_ENTRY),
    Field(34, "swap", of=_ENTRY),
)
_BLKIO_ENTRY = Table(
    Field(1, "op"),
    Field(2, "device"),
    Field(3, "major", UINT),
    Field(4, "minor", UINT),
    Field(5, "value", UINT),
)
METRICS_V1 = Table(
    Field(
        1,
        "hugetlb",
        of=Table(
            Field(1, "usage", UINT), Field(2, "max", UINT), Field(3, "failcnt", UINT),
            Field(4, "pagesize"),
        ),
        many=True,
    ),
    Field(2, "pids", of=_PIDS),
    Field(
        3,
        "cpu",
        of=Table(
            Field(
                1,
                "usage",
                of=Table(
                    Field(1, "total", UINT), Field(2, "kernel", UINT), Field(3, "user", UINT),
                    Field(4, "per_cpu", UINT, many=True),
                ),
            ),
            Field(2, "throttling", of=_numbers("periods throttled_periods throttled_time")),
        ),
    ),
    Field(4, "memory", of=_V1_MEMORY),
    Field(
        5,
        "blkio",
        of=Table(
            Field(1, "io_service_bytes_recursive", of=_BLKIO_ENTRY, many=True),
            Field(2, "io_serviced_recursive", of=_BLKIO_ENTRY, many=True),
        ),
    ),
)  # fmt: skip
_MEMORY_V2_STAT = [
    "anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty",
    "file_writeback", "anon_thp", "inactive_anon", "active_anon", "inactive_file", "active_file",
    "unevictable", "slab_reclaimable", "slab_unreclaimable", "pgfault", "pgmajfault",
    "workingset_refault", "workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan",
    "pgsteal", "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed", "thp_fault_alloc",
    "thp_collapse_alloc",
]  # fmt: skip
_MEMORY_V2 = [*_MEMORY_V2_STAT, "usage", "usage_limit", "swap_usage", "swap_limit", "max_usage"]
METRICS_V2 = Table(
    Field(1, "pids", of=_PIDS),
    Field(
        2,
        "cpu",
        of=_numbers("usage_usec user_usec system_usec nr_periods nr_throttled throttled_usec"),
    ),
    Field(4, "memory", of=_numbers(" ".join(_MEMORY_V2))),
    Field(
        6,
        "io",
        of=Table(Field(1, "usage", of=_numbers("major minor rbytes wbytes rios wios"), many=True)),
    ),
    Field(
        7,
        "hugetlb",
        of=Table(Field(1, "current", UINT), Field(2, "max", UINT), Field(3, "pagesize")),
        many=True,
    ),
    Field(8, "memory_events", of=_numbers("low high max oom oom_kill")),
)


def encode(mode: str, stats: Stats) -> Values:
    """An Any of a cgroup's usage. mode: the cgroup's; hybrid's limits are v1's."""
    if mode == "v2":
        return {"type_url": V2, "value": METRICS_V2.encode(version_2(stats))}
    return {"type_url": V1, "value": METRICS_V1.encode(version_1(stats))}


def _limit(value: int, none: int = _NO_LIMIT) -> int:
    return none if value < 0 else value


def version_1(stats: Stats) -> Values:
    """The fields of v1's message."""
    cpu, pids, io = stats.get("cpu", {}), stats.get("pids", {}), stats.get("io", {})
    return {
        "hugetlb": [
            {
                "pagesize": size,
                "usage": of.get("usage", 0),
                "max": of.get("peak", 0),
                "failcnt": of.get("failures", 0),
            }
            for size, of in stats.get("hugetlb", {}).items()
        ],
        "pids": {
            "current": pids.get("current", 0),
            "limit": _limit(pids.get("limit", -1), _V1_NO_LIMIT),
        },
        "cpu": {
            "usage": {
                "total": cpu.get("usage_ns", 0),
                "kernel": cpu.get("system_ns", 0),
                "user": cpu.get("user_ns", 0),
                "per_cpu": cpu.get("per_cpu_ns", []),
            },
            "throttling": {
                "periods": cpu.get("periods", 0),
                "throttled_periods": cpu.get("throttled_periods", 0),
                "throttled_time": cpu.get("throttled_ns", 0),
            },
        },
        "memory": _memory_v1(stats.get("memory", {})),
        "blkio": {
            "io_service_bytes_recursive": _blkio(io.get("bytes", [])),
            "io_serviced_recursive": _blkio(io.get("operations", [])),
        },
    }


def _memory_v1(memory: Stats) -> Values:
    stat = memory.get("stat") or {}
    found: Values = {name: stat[name] for name in _MEMORY_V1_STAT if name in stat}
    for field, prefix in (("usage", ""), ("swap", "memory_swap_")):
        found[field] = {
            "limit": _limit(memory.get(f"{prefix}limit") or 0),
            "usage": memory.get(f"{prefix}usage") or 0,
            "max": memory.get(f"{prefix}peak") or 0,
            "failcnt": memory.get(f"{prefix}failures") or 0,
        }
    return found


def _blkio(entries: list[Stats]) -> list[Values]:
    found = []
    for entry in entries:
        major, _, minor = entry["device"].partition(":")
        found.append(
            {
                "op": entry["operation"].capitalize(),
                "major": int(major),
                "minor": int(minor),
                "value": entry["value"],
            }
        )
    return found


def version_2(stats: Stats) -> Values:
    """The fields of v2's message."""
    cpu, pids, memory = stats.get("cpu", {}), stats.get("pids", {}), stats.get("memory", {})
    stat, events = memory.get("stat", {}), memory.get("events", {})
    return {
        "pids": {"current": pids.get("current", 0), "limit": _limit(pids.get("limit", -1), 0)},
        "cpu": {
            "usage_usec": cpu.get("usage_ns", 0) // 1000,
            "user_usec": cpu.get("user_ns", 0) // 1000,
            "system_usec": cpu.get("system_ns", 0) // 1000,
            "nr_periods": cpu.get("periods", 0),
            "nr_throttled": cpu.get("throttled_periods", 0),
            "throttled_usec": cpu.get("throttled_ns", 0) // 1000,
        },
        "memory": {
            **{name: stat[name] for name in _MEMORY_V2_STAT if name in stat},
            "usage": memory.get("usage", 0),
            "usage_limit": _limit(memory.get("limit", -1)),
            "swap_usage": memory.get("swap_usage", 0),
            "swap_limit": _limit(memory.get("swap_limit", -1)),
            "max_usage": memory.get("peak", 0),
        },
        "io": {"usage": _io_v2(stats.get("io", {}))},
        "hugetlb": [
            {"pagesize": size, "current": of.get("usage", 0), "max": of.get("peak", 0)}
            for size, of in stats.get("hugetlb", {}).items()
        ],
        "memory_events": {
            name: events.get(name, 0) for name in ("low", "high", "max", "oom", "oom_kill")
        },
    }


def _io_v2(io: Stats) -> list[Values]:
    found: dict[str, Values] = {}
    names = {("bytes", "read"): "rbytes", ("bytes", "write"): "wbytes",
             ("operations", "read"): "rios", ("operations", "write"): "wios"}  # fmt: skip
    for kind in ("bytes", "operations"):
        for entry in io.get(kind, []):
            name = names.get((kind, entry["operation"]))
            if name is None:
                continue
            major, _, minor = entry["device"].partition(":")
            usage = found.setdefault(entry["device"], {"major": int(major), "minor": int(minor)})
            usage[name] = entry["value"]
    return list(found.values())
