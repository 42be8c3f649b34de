# SPDX-License-Identifier: Apache-2.0
"""`linux.resources` as settings of cgroup v2 files (config-linux.md; cgroup-v2.rst).

Zero, -1 and what is ignored: as in resources_v1. What v2 has no counterpart for is an error when
it is asked for ("If the runtime cannot apply a property … it MUST generate an error",
runtime.md): swappiness, disableOOMKiller, realtime scheduling, leaf weights, network.
"""

from __future__ import annotations

from runtime.cgroups import conversion
from runtime.cgroups.resources_v1 import (
    SWAPPINESS_UNSET,
    THROTTLES,
    cpuset,
    escaped,
    hugetlb,
    pids,
    rdma,
    throttles,
)
from runtime.cgroups.setting import Setting
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from spec.types import LinuxMemory, LinuxResources

    Read = Callable[[str], str | None]
    Section = Callable[[LinuxResources, str, Read], list[Setting]]
    V1Section = Callable[[LinuxResources, str, bool], list[Setting]]


def nothing_there(_: str) -> str | None:
    """Stand for reading the files of a cgroup that is yet to be made."""
    return None


def settings(resources: LinuxResources, pointer: str, read: Read) -> list[Setting]:
    """Return all settings of a cgroup on a v2 host.

    read: gives the content of one of the cgroup's files, None when there is no such file; for
    properties that share a file or depend on one another. Raises OrlopError.
    """
    refuse_network(resources, pointer)
    found = []
    for _, section in SECTIONS:
        found += section(resources, pointer, read)
    return found + unified(resources, pointer)


def memory(resources: LinuxResources, pointer: str, read: Read) -> list[Setting]:
    """Return the settings of `memory`; swap first: lowering both must not swap out the excess."""
    section = resources.get("memory") or {}
    at = f"{pointer}/memory"
    _refuse_memory(section, at)
    limit, swap = int(section.get("limit", 0)), int(section.get("swap", 0))
    _check_usage(section, limit, swap, at, read)
    if limit > 0 and swap == 0:
        swap = _memory_and_swap(read)
    found = []
    try:
        base = limit or (_memory_max(read) if swap > 0 else 0)
        swap_max = conversion.swap_max(swap, base)
    except ValueError as error:
        raise OrlopError(str(error), pointer=f"{at}/swap") from error
    if swap_max is not None:
        # Without swap accounting nothing is swapped on the cgroup's behalf that could be limited.
        found.append(
            Setting(
                "memory",
                "memory.swap.max",
                _limit(swap_max),
                f"{at}/swap" if swap else f"{at}/limit",
                dispensable=swap_max <= 0,
            )
        )
    if limit:
        found.append(Setting("memory", "memory.max", _limit(limit), f"{at}/limit"))
    if reservation := int(section.get("reservation", 0)):
        value = _limit(reservation)
        found.append(Setting("memory", "memory.low", value, f"{at}/reservation"))
    return found


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)


def _memory_max(read: Read) -> int:
    """The limit that the cgroup has, -1 for none; 0 when it is only to be made."""
    content = (read("memory.max") or "0").strip()
    return -1 if content == "max" else int(content)


def _memory_and_swap(read: Read) -> int:
    """The limit of memory and swap together that the cgroup has, which a new one of memory keeps.

    0 where there is none, or no swap accounting.
    """
    memory_max, swap_max = _memory_max(read), (read("memory.swap.max") or "max").strip()
    return 0 if memory_max <= 0 or swap_max == "max" else memory_max + int(swap_max)


def _refuse_memory(section: LinuxMemory, at: str) -> None:
    if section.get("disableOOMKiller"):
        where = f"{at}/disableOOMKiller"
        raise OrlopError("cgroup v2 can't disable the OOM killer", pointer=where)
    if int(section.get("swappiness", -1)) not in SWAPPINESS_UNSET:
        text = "cgroup v2 has no swappiness of its own for a cgroup"
        raise OrlopError(text, pointer=f"{at}/swappiness", hint="limit swap instead")


def _check_usage(section: LinuxMemory, limit: int, swap: int, at: str, read: Read) -> None:
    """`checkBeforeUpdate`: v2 would kill to get below the new limit."""
    if not section.get("checkBeforeUpdate"):
        return
    usage = int(read("memory.current") or 0)
    for name, value in (("limit", limit), ("swap", swap)):
        if 0 < value <= usage:
            text = f"{value} is not above the current usage of {usage} bytes"
            raise OrlopError(text, pointer=f"{at}/{name}")


def cpu(resources: LinuxResources, pointer: str, read: Read) -> list[Setting]:
    """Return the settings of `cpu` without cpus and mems."""
    section = resources.get("cpu") or {}
    at = f"{pointer}/cpu"
    for name in ("realtimeRuntime", "realtimePeriod"):
        if section.get(name):
            text = "cgroup v2 has no realtime scheduling"
            raise OrlopError(text, pointer=f"{at}/{name}")
    found = []
    if shares := int(section.get("shares", 0)):
        weight = str(conversion.cpu_weight(shares))
        found.append(Setting("cpu", "cpu.weight", weight, f"{at}/shares", coupled=True))
    quota, period = int(section.get("quota", 0)), int(section.get("period", 0))
    if quota or period:
        where = f"{at}/quota" if quota else f"{at}/period"
        value = _cpu_max(quota, period, read)
        found.append(Setting("cpu", "cpu.max", value, where, coupled=True))
    if (burst := section.get("burst")) is not None:
        found.append(
            Setting(
                "cpu",
                "cpu.max.burst",
                str(int(burst)),
                f"{at}/burst",
                coupled=True,
                dispensable=int(burst) == 0,
            )
        )
    if (idle := section.get("idle")) is not None:
        found.append(Setting("cpu", "cpu.idle", str(int(idle)), f"{at}/idle", coupled=True))
    return found


def _cpu_max(quota: int, period: int, read: Read) -> str:
    """The value for cpu.max: a quota alone keeps the period (in the kernel), a period the quota."""
    if quota:
        return f"{_limit(quota)} {period}" if period else _limit(quota)
    kept = (read("cpu.max") or "max").split()[0]
    return f"{kept} {period}"


def block_io(resources: LinuxResources, pointer: str, read: Read) -> list[Setting]:  # noqa: ARG001
    """Return the settings of `blockIO`."""
    section = resources.get("blockIO") or {}
    at = f"{pointer}/blockIO"
    items = section.get("weightDevice") or ()
    if section.get("leafWeight") or any(item.get("leafWeight") for item in items):
        raise OrlopError("cgroup v2 has no leaf weights", pointer=at)
    found = []
    if weight := int(section.get("weight", 0)):
        found.append(_weight("", weight, f"{at}/weight"))
    for index, item in enumerate(items):
        if weight := int(item.get("weight", 0)):
            device = f"{int(item['major'])}:{int(item['minor'])} "
            found.append(_weight(device, weight, f"{at}/weightDevice/{index}/weight"))
    for name, key, _ in THROTTLES:
        for index, throttle in enumerate(throttles(section, name)):
            device = f"{int(throttle['major'])}:{int(throttle['minor'])}"
            value = f"{device} {key}={int(throttle.get('rate', 0)) or 'max'}"
            found.append(Setting("io", "io.max", value, f"{at}/{name}/{index}"))
    return found


def _weight(device: str, weight: int, pointer: str) -> Setting:
    """A weight for the BFQ scheduler as it is, or converted for iocost (io.weight)."""
    converted = f"{device}{conversion.io_weight(weight)}"
    return Setting(
        "io", "io.bfq.weight", f"{device}{weight}", pointer, instead=("io.weight", converted)
    )


def hugepage_limits(resources: LinuxResources, pointer: str, read: Read) -> list[Setting]:  # noqa: ARG001
    """Return the settings of `hugepageLimits`: reservations (Linux 5.7) first, then usage."""
    return hugetlb(resources, pointer, "max")


def refuse_network(resources: LinuxResources, pointer: str) -> None:
    """Raise OrlopError when `network` asks for something: v2 leaves that to eBPF and netfilter."""
    section = resources.get("network") or {}
    if section.get("classID"):
        text = "cgroup v2 has no network classes"
        raise OrlopError(text, pointer=f"{pointer}/network/classID")
    if section.get("priorities"):
        text = "cgroup v2 has no network priorities"
        raise OrlopError(text, pointer=f"{pointer}/network/priorities")


def unified(resources: LinuxResources, pointer: str) -> list[Setting]:
    """Return the settings of `unified`: file names and what to write, a line at a time."""
    found = []
    for file, content in (resources.get("unified") or {}).items():
        where = f"{pointer}/unified/{escaped(file)}"
        controller, dot, _ = file.partition(".")
        if "/" in file:
            raise OrlopError(f"{file!r} must be a file name, without slashes", pointer=where)
        if not dot or not controller:
            raise OrlopError(f"{file!r} must be of the form CONTROLLER.PARAMETER", pointer=where)
        # An empty value resets some files; a write of no bytes would not reach the kernel's parser.
        found += [Setting(controller, file, line, where) for line in content.splitlines() or ["\n"]]
    return found


def _same_as_v1(section: V1Section) -> Section:
    return lambda resources, pointer, _: section(resources, pointer, False)  # noqa: FBT003


SECTIONS: tuple[tuple[str, Section], ...] = (
    ("pids", _same_as_v1(pids)),
    ("memory", memory),
    ("io", block_io),
    ("cpu", cpu),
    ("cpuset", _same_as_v1(cpuset)),
    ("hugetlb", hugepage_limits),
    ("rdma", _same_as_v1(rdma)),
)
"""The controller of each section."""
