# SPDX-License-Identifier: Apache-2.0
"""Cgroup settings as properties of a unit (systemd.resource-control(5)).

systemd must know the limits that it has properties for: it writes its own values to the files
whenever it touches the unit (`systemctl set-property`, daemon-reload). What it has no property
for stays in the files alone. The table is over files, not over `linux.resources`, so that what
`unified` says is told as well; a value that can't be understood is left to the kernel to judge.
"""

from __future__ import annotations

from runtime.cgroups.dbus_wire import Variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtime.cgroups.device_rules import DeviceAccess
    from runtime.cgroups.setting import Setting

    Read = Callable[[str], str | None]
    Found = dict[str, Variant]

INFINITY = (1 << 64) - 1
IDLE_VERSION = 252
"""The first systemd that takes a CPUWeight of 0 for cpu.idle."""

_DEFAULT_PERIOD = 100_000
_PERCENT = 10_000
_MAX_CPU = 1 << 13  # CONFIG_NR_CPUS is 8192 at most

LIMITS = {
    "memory.min": "MemoryMin",
    "memory.low": "MemoryLow",
    "memory.high": "MemoryHigh",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
    "cpu.weight": "CPUWeight",
    "memory.limit_in_bytes": "MemoryLimit",
    "cpu.shares": "CPUShares",
}
SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
"""On v2 only: systemd has no cpuset controller on v1."""

WEIGHTS = {
    "io.bfq.weight": "IOWeight",
    "io.weight": "IOWeight",
    "blkio.bfq.weight": "BlockIOWeight",
    "blkio.weight": "BlockIOWeight",
}

REWRITTEN = (
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "memory.min",
    "memory.low",
    "memory.high",
    "memory.max",
    "memory.swap.max",
    "memory.oom.group",
    "pids.max",
)
"""The v2 files that systemd writes when any property changes, its values being perhaps coarser."""

REWRITTEN_V1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us")


def of_settings(
    settings: Iterable[Setting], read: Read, version: Callable[[], int], *, v2: bool
) -> Found:
    """Return the properties, by name, that say what the settings do; a later setting wins.

    read: gives the content of one of the cgroup's files, None when there is none. version: gives
    systemd's, asked only where it matters. v2: whether systemd has its controllers there.
    """
    found: Found = {}
    values = {}
    for setting in settings:
        values[setting.file] = setting.value.strip()
        if setting.instead is not None:
            # BFQ's own weight is on another scale than IOWeight, which `instead` is on.
            file, value = setting.instead
            values[file] = value
            if v2:
                del values[setting.file]
    for file, value in values.items():
        try:
            _add(found, file, value, v2=v2)
        except ValueError:
            continue
    if v2:
        _add_quota_v2(found, values.get("cpu.max", ""), read)
        _add_idle(found, values.get("cpu.idle", ""), read, version)
    else:
        _add_quota_v1(found, values, read)
    return found


def _add(found: Found, file: str, value: str, *, v2: bool) -> None:
    if file in LIMITS:
        name = LIMITS[file]
        number = INFINITY if value in ("max", "-1") else int(value)
        # systemd takes no 0 for TasksMax; 1 is as strict: joining is not limited.
        found[name] = Variant("t", max(number, 1) if name == "TasksMax" else number)
    elif file in SETS and v2:
        if bits := cpu_bits(value):
            found[SETS[file]] = Variant("ay", bits)
    elif file in WEIGHTS:
        found[WEIGHTS[file]] = Variant("t", int(value.removeprefix("default ")))


def cpu_bits(text: str) -> bytes:
    """Return a list of numbers ("0-2,7") as a mask, the lowest byte first. Raises ValueError."""
    mask = 0
    for part in text.split(","):
        if not part.strip():
            continue
        first, dash, last = part.partition("-")
        low, high = int(first), int(last) if dash else int(first)
        if not 0 <= low <= high < _MAX_CPU:
            raise ValueError(f"{part!r} is not a range of processors")
        mask |= (1 << (high + 1)) - (1 << low)
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _add_quota_v2(found: Found, value: str, read: Read) -> None:
    """`cpu.max`: quota or "max", and perhaps the period, which otherwise stays."""
    words = value.split()
    if not words:
        return
    now = (read("cpu.max") or "").split()
    period = words[1] if words[1:] else ""
    kept = now[1] if now[1:] else str(_DEFAULT_PERIOD)
    _add_quota(found, "-1" if words[0] == "max" else words[0], period, kept)


def _add_quota_v1(found: Found, values: dict[str, str], read: Read) -> None:
    quota, period = values.get("cpu.cfs_quota_us", ""), values.get("cpu.cfs_period_us", "")
    if not quota and not period:
        return
    kept = (read("cpu.cfs_period_us") or str(_DEFAULT_PERIOD)).strip()
    quota = quota or (read("cpu.cfs_quota_us") or "-1").strip()
    _add_quota(found, quota, period, kept)


def _add_quota(found: Found, quota: str, period: str, kept: str) -> None:
    """The quota per second, which systemd keeps in whole percents: rounded up, never too little."""
    try:
        microseconds, length = int(quota), int(period or kept)
    except ValueError:
        return
    per_second = INFINITY
    if microseconds > 0 and length > 0:
        per_second = -(-microseconds * 1_000_000 // (length * _PERCENT)) * _PERCENT
    if period:
        found["CPUQuotaPeriodUSec"] = Variant("t", length)
    found["CPUQuotaPerSecUSec"] = Variant("t", per_second)


def _add_idle(found: Found, value: str, read: Read, version: Callable[[], int]) -> None:
    """`cpu.idle`: a weight of 0. Ending it sets the weight back to what was asked, or to none."""
    if value == "1":
        found.pop("CPUWeight", None)
        if version() >= IDLE_VERSION:
            found["CPUWeight"] = Variant("t", 0)
    elif value == "0" and (read("cpu.idle") or "").strip() == "1":
        found.setdefault("CPUWeight", Variant("t", INFINITY))


def of_devices(access: DeviceAccess) -> Found:
    """Return the properties for the list of devices of cgroup v1, which systemd owns there.

    Without them it would allow every device when it next writes the list. What it has no words
    for, exceptions from "all" and minor numbers of any major one, it denies then. (On v2 nothing
    is told: systemd leaves the driver's own eBPF program alone.)
    """
    if access.default_allow and not access.exceptions:
        return {"DevicePolicy": Variant("s", "auto"), "DeviceAllow": Variant("a(ss)", [])}
    allowed = []
    lines = () if access.default_allow else access.lines()
    for line in lines:
        kind, number, letters = line.split(" ")
        major, minor = number.split(":")
        word = "char" if kind == "c" else "block"
        if minor == "*":
            allowed.append((f"{word}-{major}", letters))
        elif major != "*":
            allowed.append((f"/dev/{word}/{number}", letters))
    return {"DevicePolicy": Variant("s", "strict"), "DeviceAllow": Variant("a(ss)", allowed)}
