# SPDX-License-Identifier: Apache-2.0
"""Rules for `linux.resources`.

What the kernel's cgroup files would refuse, said before anything is created.

Zero means "not set" to the engines that always write every number (Go without pointers), so it is
never a violation.
"""

from __future__ import annotations

from spec.describe import pointer_step, shown
from spec.errors import Violation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from spec.types import LinuxResources, Spec

_AT = "/linux/resources"
_PERIOD = range(1_000, 1_000_001)
"""Microseconds of a period: min and max_cfs_runtime of the kernel's scheduler, 1 ms to 1 s."""
_QUOTA_MIN = 1_000
_SWAPPINESS_MAX = 100
_WEIGHT = range(10, 1_001)
_THROTTLES: tuple[
    Literal[
        "throttleReadBpsDevice",
        "throttleWriteBpsDevice",
        "throttleReadIOPSDevice",
        "throttleWriteIOPSDevice",
    ],
    ...,
] = (
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
)


def _resources(spec: Spec) -> LinuxResources:
    return spec.get("linux", {}).get("resources", {})


def device_rules_are_valid(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Allowed Device list": types a, b, c; access of r, w, m.

    -1 or nothing is every number.
    """
    for index, rule in enumerate(_resources(spec).get("devices", ())):
        at = f"{_AT}/devices/{index}"
        if rule.get("type", "a") not in ("", "a", "b", "c"):
            yield Violation(f"{at}/type", shown(rule.get("type")), '"a", "b" or "c"')
        if access := rule.get("access", "").strip("rwm"):
            yield Violation(f"{at}/access", shown(access), 'letters of "rwm"')
        for name, number in (("major", rule.get("major", -1)), ("minor", rule.get("minor", -1))):
            if number < -1:
                yield Violation(f"{at}/{name}", str(number), "a number, or -1 for all")


def memory_limits_are_valid(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Memory": bytes, or -1 for no limit."""
    memory = _resources(spec).get("memory", {})
    for name, value in (
        ("limit", memory.get("limit", 0)),
        ("reservation", memory.get("reservation", 0)),
        ("swap", memory.get("swap", 0)),
    ):
        if value < -1:
            yield Violation(f"{_AT}/memory/{name}", str(value), "bytes, or -1 for no limit")


def swap_includes_memory(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Memory".

    Swap is memory plus swap, so it needs a memory limit and is no smaller.

    memory.memsw.limit_in_bytes of v1 refuses it; on v2 memory.swap.max would be negative.
    """
    memory = _resources(spec).get("memory", {})
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if swap > 0 and limit <= 0:
        yield Violation(
            f"{_AT}/memory/swap", f"{swap} without a memory limit", "a memory limit too"
        )
    elif 0 < swap < limit:
        allowed = f"at least the memory limit {limit}, which it includes"
        yield Violation(f"{_AT}/memory/swap", str(swap), allowed)


def swappiness_is_in_range(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Memory": from 0 to 100."""
    swappiness = _resources(spec).get("memory", {}).get("swappiness", 0)
    if swappiness > _SWAPPINESS_MAX:
        allowed = f"an integer from 0 to {_SWAPPINESS_MAX}"
        yield Violation(f"{_AT}/memory/swappiness", str(swappiness), allowed)


def cpu_bandwidth_is_valid(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "CPU".

    Documentation/scheduler/sched-bwc.rst: period 1 ms to 1 s, quota from 1 ms, burst <= quota.
    """
    cpu = _resources(spec).get("cpu", {})
    period, quota, burst = cpu.get("period", 0), cpu.get("quota", 0), cpu.get("burst", 0)
    if period and period not in _PERIOD:
        allowed = f"microseconds from {_PERIOD[0]} to {_PERIOD[-1]}"
        yield Violation(f"{_AT}/cpu/period", str(period), allowed)
    if 0 < quota < _QUOTA_MIN:
        yield Violation(f"{_AT}/cpu/quota", str(quota), f"at least {_QUOTA_MIN} microseconds")
    if burst > quota > 0:
        yield Violation(f"{_AT}/cpu/burst", str(burst), f"at most the quota {quota}")


def realtime_fits_period(spec: Spec) -> Iterator[Violation]:
    """Documentation/scheduler/sched-rt-group.rst: the runtime is a part of the period."""
    cpu = _resources(spec).get("cpu", {})
    runtime, period = cpu.get("realtimeRuntime", 0), cpu.get("realtimePeriod", 0)
    if runtime > period > 0:
        yield Violation(f"{_AT}/cpu/realtimeRuntime", str(runtime), f"at most the period {period}")


def cpu_idle_is_a_switch(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "CPU": cpu.idle of cgroup v2 is 0 or 1."""
    idle = _resources(spec).get("cpu", {}).get("idle", 0)
    if idle not in (0, 1):
        yield Violation(f"{_AT}/cpu/idle", str(idle), "0 or 1")


def io_weights_are_valid(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Block IO": weights from 10 to 1000, and at least one for a device."""
    block = _resources(spec).get("blockIO", {})
    at = f"{_AT}/blockIO"
    weights = [
        (f"{at}/weight", block.get("weight", 0)),
        (f"{at}/leafWeight", block.get("leafWeight", 0)),
    ]
    for index, device in enumerate(block.get("weightDevice", ())):
        here = f"{at}/weightDevice/{index}"
        if "weight" not in device and "leafWeight" not in device:
            yield Violation(here, "neither weight nor leafWeight", "at least one of them")
        weights.append((f"{here}/weight", device.get("weight", 0)))
        weights.append((f"{here}/leafWeight", device.get("leafWeight", 0)))
    for pointer, weight in weights:
        if weight and weight not in _WEIGHT:
            allowed = f"an integer from {_WEIGHT[0]} to {_WEIGHT[-1]}"
            yield Violation(pointer, str(weight), allowed)


def throttles_have_rates(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Block IO": rate is required."""
    block = _resources(spec).get("blockIO", {})
    for kind in _THROTTLES:
        for index, device in enumerate(block.get(kind, ())):
            if "rate" not in device:
                yield Violation(
                    f"{_AT}/blockIO/{kind}/{index}", 'no "rate"', "this required member"
                )


def rdma_has_limits(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "RDMA": at least one of the two limits."""
    for device, limits in _resources(spec).get("rdma", {}).items():
        if "hcaHandles" not in limits and "hcaObjects" not in limits:
            at = f"{_AT}/rdma/{pointer_step(device)}"
            yield Violation(at, "neither hcaHandles nor hcaObjects", "at least one of them")


def unified_names_files(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Unified": file names of cgroup v2, CONTROLLER.PARAMETER.

    A slash would leave the cgroup.
    """
    for name in _resources(spec).get("unified", {}):
        controller, dot, parameter = name.partition(".")
        if "/" in name or not (controller and dot and parameter):
            at = f"{_AT}/unified/{pointer_step(name)}"
            yield Violation(at, f"the name {shown(name)}", "a file name CONTROLLER.PARAMETER")


RULES = (
    device_rules_are_valid,
    memory_limits_are_valid,
    swap_includes_memory,
    swappiness_is_in_range,
    cpu_bandwidth_is_valid,
    realtime_fits_period,
    cpu_idle_is_a_switch,
    io_weights_are_valid,
    throttles_have_rates,
    rdma_has_limits,
    unified_names_files,
)
