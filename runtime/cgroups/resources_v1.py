# SPDX-License-Identifier: Apache-2.0
"""`linux.resources` as settings of cgroup v1 files (config-linux.md, "Control groups").

Zero means unset for what runc treats so: memory, shares, quota, period, realtime values, weights,
classID. A pids limit of 0 becomes 1, which is as strict: joining is not limited. -1 is no limit.
Ignored, as runc does: memory.kernel and kernelTCP (gone from Linux), useHierarchy (Linux 5.11
knows nothing else), checkBeforeUpdate (the v1 kernel refuses a limit below the usage anyhow).
"""

from __future__ import annotations

from runtime.cgroups.setting import Setting
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spec.types import LinuxBlockIO, LinuxResources, LinuxThrottleDevice

    Section = Callable[[LinuxResources, str, bool], list[Setting]]

SWAPPINESS_UNSET = (-1, (1 << 64) - 1)
"""-1, also as the unsigned number that the standard's type makes of it."""

_MIN_SHARES, _MAX_SHARES = 2, 1 << 18


def memory(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001
    """Return the settings of `memory`; fresh: of a new cgroup, where defaults need no write."""
    section = resources.get("memory") or {}
    at = f"{pointer}/memory"
    limit, swap = int(section.get("limit", 0)), int(section.get("swap", 0))
    if limit == -1 and swap == 0:
        swap = -1  # unlimited memory means unlimited swap, unless it is said otherwise
    settings = []
    if limit:
        name = "memory.limit_in_bytes"
        settings.append(Setting("memory", name, str(limit), f"{at}/limit", coupled=True))
    if swap:
        settings.append(
            Setting(
                "memory",
                "memory.memsw.limit_in_bytes",
                str(swap),
                f"{at}/swap" if section.get("swap") else f"{at}/limit",
                coupled=True,
                dispensable=swap == -1,
            )
        )
    if reservation := int(section.get("reservation", 0)):
        name = "memory.soft_limit_in_bytes"
        settings.append(Setting("memory", name, str(reservation), f"{at}/reservation"))
    disable = section.get("disableOOMKiller")
    if disable or (disable is not None and not fresh):
        value = "1" if disable else "0"
        where = f"{at}/disableOOMKiller"
        settings.append(Setting("memory", "memory.oom_control", value, where))
    swappiness = int(section.get("swappiness", -1))
    if swappiness not in SWAPPINESS_UNSET:
        where = f"{at}/swappiness"
        settings.append(Setting("memory", "memory.swappiness", str(swappiness), where))
    return settings


def cpu(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the settings of `cpu` without cpus and mems."""
    section = resources.get("cpu") or {}
    at = f"{pointer}/cpu"
    settings = []

    def add(file: str, value: int, name: str) -> None:
        dispensable = name == "burst" and value == 0
        where = f"{at}/{name}"
        settings.append(
            Setting("cpu", file, str(value), where, coupled=True, dispensable=dispensable)
        )

    if shares := int(section.get("shares", 0)):
        _check_shares(shares, f"{at}/shares")
        add("cpu.shares", shares, "shares")
    if period := int(section.get("period", 0)):
        add("cpu.cfs_period_us", period, "period")
    if quota := int(section.get("quota", 0)):
        add("cpu.cfs_quota_us", quota, "quota")
    if (burst := section.get("burst")) is not None:
        add("cpu.cfs_burst_us", int(burst), "burst")
    if (idle := section.get("idle")) is not None:
        add("cpu.idle", int(idle), "idle")
    if period := int(section.get("realtimePeriod", 0)):
        add("cpu.rt_period_us", period, "realtimePeriod")
    if runtime := int(section.get("realtimeRuntime", 0)):
        add("cpu.rt_runtime_us", runtime, "realtimeRuntime")
    return settings


def _check_shares(shares: int, pointer: str) -> None:
    """Refuse what the kernel would change to the nearest value that it has, silently."""
    if shares < _MIN_SHARES:
        raise OrlopError(f"the minimum allowed cpu-shares is {_MIN_SHARES}", pointer=pointer)
    if shares > _MAX_SHARES:
        raise OrlopError(f"the maximum allowed cpu-shares is {_MAX_SHARES}", pointer=pointer)


def cpuset(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the settings of `cpu.cpus` and `cpu.mems`, which v2 has under the same names."""
    section = resources.get("cpu") or {}
    settings = []
    if cpus := section.get("cpus", ""):
        settings.append(Setting("cpuset", "cpuset.cpus", cpus, f"{pointer}/cpu/cpus"))
    if mems := section.get("mems", ""):
        settings.append(Setting("cpuset", "cpuset.mems", mems, f"{pointer}/cpu/mems"))
    return settings


def pids(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the setting of `pids.limit`, which v2 has under the same name."""
    section = resources.get("pids")
    if section is None or section.get("limit") is None:
        return []
    limit = int(section["limit"])
    value = "max" if limit < 0 else str(limit or 1)
    return [Setting("pids", "pids.max", value, f"{pointer}/pids/limit")]


def block_io(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the settings of `blockIO`: of the BFQ scheduler (Linux 5.0 on), or of CFQ."""
    section = resources.get("blockIO") or {}
    at = f"{pointer}/blockIO"
    settings = []

    def add(file: str, value: str, where: str, *, bfq: bool = False) -> None:
        first = file.replace("blkio.", "blkio.bfq.") if bfq else file
        instead = (file, value) if bfq else None
        settings.append(Setting("blkio", first, value, f"{at}/{where}", instead=instead))

    if weight := int(section.get("weight", 0)):
        add("blkio.weight", str(weight), "weight", bfq=True)
    if weight := int(section.get("leafWeight", 0)):
        add("blkio.leaf_weight", str(weight), "leafWeight")
    for index, item in enumerate(section.get("weightDevice") or ()):
        device = f"{int(item['major'])}:{int(item['minor'])}"
        if weight := int(item.get("weight", 0)):
            value, where = f"{device} {weight}", f"weightDevice/{index}/weight"
            add("blkio.weight_device", value, where, bfq=True)
        if weight := int(item.get("leafWeight", 0)):
            value, where = f"{device} {weight}", f"weightDevice/{index}/leafWeight"
            add("blkio.leaf_weight_device", value, where)
    for name, _, file in THROTTLES:
        for index, throttle in enumerate(throttles(section, name)):
            value = (
                f"{int(throttle['major'])}:{int(throttle['minor'])} {int(throttle.get('rate', 0))}"
            )
            add(file, value, f"{name}/{index}")
    return settings


def throttles(section: LinuxBlockIO, name: str) -> Sequence[LinuxThrottleDevice]:
    """Return one of the `throttle…Device` lists."""
    return section.get(name) or ()  # type: ignore[return-value] # a key of the table below


THROTTLES = (
    ("throttleReadBpsDevice", "rbps", "blkio.throttle.read_bps_device"),
    ("throttleWriteBpsDevice", "wbps", "blkio.throttle.write_bps_device"),
    ("throttleReadIOPSDevice", "riops", "blkio.throttle.read_iops_device"),
    ("throttleWriteIOPSDevice", "wiops", "blkio.throttle.write_iops_device"),
)
"""The standard's name, the key in v2's io.max, and v1's file; a rate of 0 ends a limit."""


def hugepage_limits(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the settings of `hugepageLimits`: reservations (Linux 5.7) first, then usage."""
    return hugetlb(resources, pointer, "limit_in_bytes")


def hugetlb(resources: LinuxResources, pointer: str, suffix: str) -> list[Setting]:
    """Return the hugetlb settings of either version: the last part of their names differs."""
    settings = []
    for index, item in enumerate(resources.get("hugepageLimits") or ()):
        size, value = item["pageSize"], str(int(item["limit"]))
        where = f"{pointer}/hugepageLimits/{index}"
        if "/" in size:
            raise OrlopError(f"{size!r} is not a page size", pointer=f"{where}/pageSize")
        settings += [
            Setting("hugetlb", f"hugetlb.{size}.rsvd.{suffix}", value, where, dispensable=True),
            Setting("hugetlb", f"hugetlb.{size}.{suffix}", value, where),
        ]
    return settings


def network_class(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the setting of `network.classID`."""
    section = resources.get("network") or {}
    if class_id := int(section.get("classID", 0)):
        where = f"{pointer}/network/classID"
        return [Setting("net_cls", "net_cls.classid", str(class_id), where)]
    return []


def network_priorities(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the settings of `network.priorities`."""
    section = resources.get("network") or {}
    settings = []
    for index, item in enumerate(section.get("priorities") or ()):
        value = f"{item['name']} {int(item['priority'])}"
        where = f"{pointer}/network/priorities/{index}"
        settings.append(Setting("net_prio", "net_prio.ifpriomap", value, where))
    return settings


def rdma(resources: LinuxResources, pointer: str, fresh: bool) -> list[Setting]:  # noqa: FBT001, ARG001
    """Return the settings of `rdma`, which v2 has under the same name."""
    settings = []
    for device, limits in (resources.get("rdma") or {}).items():
        value = device
        if (handles := limits.get("hcaHandles")) is not None:
            value += f" hca_handle={int(handles)}"
        if (objects := limits.get("hcaObjects")) is not None:
            value += f" hca_object={int(objects)}"
        where = f"{pointer}/rdma/{escaped(device)}"
        settings.append(Setting("rdma", "rdma.max", value, where))
    return settings


def escaped(key: str) -> str:
    """Return an object's key as a token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


SECTIONS: tuple[tuple[str, Section], ...] = (
    ("cpuset", cpuset),
    ("memory", memory),
    ("cpu", cpu),
    ("pids", pids),
    ("blkio", block_io),
    ("hugetlb", hugepage_limits),
    ("net_cls", network_class),
    ("net_prio", network_priorities),
    ("rdma", rdma),
)
"""The controller of each section."""
