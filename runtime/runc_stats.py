# SPDX-License-Identifier: Apache-2.0
"""A container's usage in the shape of `runc events` (runc's types/events.go), for what reads that.

Members come and go with their values as Go's omitempty and omitzero have it. PSI is where cgroup v2
has it, also on hybrid hosts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Stats = Mapping[str, object]

_UNLIMITED = (1 << 64) - 1
_BLKIO = {
    "bytes": "ioServiceBytesRecursive",
    "operations": "ioServicedRecursive",
    "queued": "ioQueueRecursive",
    "service_time_ns": "ioServiceTimeRecursive",
    "wait_time_ns": "ioWaitTimeRecursive",
    "merged": "ioMergedRecursive",
    "time_ms": "ioTimeRecursive",
    "sectors": "sectorsRecursive",
}
_CPUSET = (
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


def shape(stats: Stats, schemata: list[str] | None = None) -> dict[str, object]:
    """The member `data` of an event "stats".

    stats: of runtime.cgroups.cgroup.Cgroup.stats. schemata: lines of the container's resctrl group.
    """
    psi = _part(stats, "pressure")
    hugetlb = _part(stats, "hugetlb")
    return {
        "cpu": _with_psi(_cpu(_part(stats, "cpu")), psi, "cpu"),
        "cpuset": _cpuset(_part(stats, "cpuset")),
        "memory": _with_psi(_memory(_part(stats, "memory")), psi, "memory"),
        "pids": _pids(_part(stats, "pids")),
        "blkio": _with_psi(_blkio(_part(stats, "io")), psi, "io"),
        "hugetlb": {size: _hugetlb(_part(hugetlb, size)) for size in sorted(hugetlb)},
        "intel_rdt": _intel_rdt(schemata or []),
        "network_interfaces": None,  # runc has some for containers that it made veths for: never
    }


def _part(stats: Stats, name: str) -> Stats:
    value = stats.get(name)
    return value if isinstance(value, dict) else {}


def _number(stats: Stats, name: str) -> int:
    value = stats.get(name)
    return value if isinstance(value, int) else 0


def _set(members: Stats) -> dict[str, object]:
    """What omitempty leaves: no zeros, no empty lists, texts and objects."""
    return {name: value for name, value in members.items() if value}


def _cpu(stats: Stats) -> dict[str, object]:
    usage = _set(
        {
            "total": stats.get("usage_ns"),
            "percpu": stats.get("per_cpu_ns"),
            "percpu_kernel": stats.get("per_cpu_system_ns"),
            "percpu_user": stats.get("per_cpu_user_ns"),
        }
    )
    usage |= {"kernel": _number(stats, "system_ns"), "user": _number(stats, "user_ns")}
    throttling = {
        "periods": stats.get("periods"),
        "throttledPeriods": stats.get("throttled_periods"),
        "throttledTime": stats.get("throttled_ns"),
    }
    return {"usage": usage, "throttling": _set(throttling)}


def _cpuset(stats: Stats) -> dict[str, object]:
    lists = _set({"cpus": stats.get("cpus"), "mems": stats.get("mems")})
    return lists | {name: _number(stats, name) for name in _CPUSET}


def _memory(stats: Stats) -> dict[str, object]:
    raw = _part(stats, "stat")
    swap: Stats = {
        key.removeprefix("memory_swap_"): value
        for key, value in stats.items()
        if key.startswith("memory_swap_")
    }
    if "swap_usage" in stats:  # v2 counts swap alone; v1, and runc, memory and swap together
        memory_limit, swap_limit = _number(stats, "limit"), _number(stats, "swap_limit")
        unlimited = -1 in (memory_limit, swap_limit)
        swap = {
            "usage": _number(stats, "usage") + _number(stats, "swap_usage"),
            "limit": -1 if unlimited else memory_limit + swap_limit,
        }
    found = _set({"cache": raw.get("cache", raw.get("file"))})
    for name, part in (
        ("usage", stats),
        ("swap", swap),
        ("kernel", _part(stats, "kernel")),
        ("kernelTCP", _part(stats, "kernel_tcp")),
    ):
        found[name] = _memory_entry(part)
    return found | _set({"raw": {name: raw[name] for name in sorted(raw)}})


def _memory_entry(stats: Stats) -> dict[str, object]:
    limit = _number(stats, "limit")
    usage = _set({"usage": stats.get("usage"), "max": stats.get("peak")})
    return {
        "limit": _UNLIMITED if limit < 0 else limit,
        **usage,
        "failcnt": _number(stats, "failures"),
    }


def _pids(stats: Stats) -> dict[str, object]:
    return _set({"current": stats.get("current"), "limit": max(_number(stats, "limit"), 0)})


def _blkio(stats: Stats) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, name in _BLKIO.items():
        entries = stats.get(key)
        if isinstance(entries, list) and entries:
            found[name] = [_blkio_entry(entry) for entry in entries]
    return found


def _blkio_entry(entry: Stats) -> dict[str, object]:
    major, _, minor = str(entry["device"]).partition(":")
    operation = str(entry["operation"]).capitalize()
    number = {"major": int(major), "minor": int(minor)}
    return _set({**number, "op": operation, "value": entry["value"]})


def _hugetlb(stats: Stats) -> dict[str, object]:
    usage = _set({"usage": stats.get("usage"), "max": stats.get("peak")})
    return usage | {"failcnt": _number(stats, "failures")}


def _intel_rdt(schemata: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for line in schemata:
        if line.startswith("L3"):
            found.setdefault("l3_cache_schema", line)
        elif line.startswith("MB:"):
            found["mem_bw_schema"] = line
    return found | _set({"schemata": schemata})


def _with_psi(found: dict[str, object], pressure: Stats, name: str) -> dict[str, object]:
    kinds = _part(pressure, name)
    psi = {kind: _psi(_part(kinds, kind)) for kind in ("some", "full") if kind in kinds}
    return {**found, "psi": psi} if psi else found


def _psi(line: Stats) -> dict[str, object]:
    found = {name: line.get(name, 0) for name in ("avg10", "avg60", "avg300")}
    return {**found, "total": _number(line, "total_ns") // 1000}
