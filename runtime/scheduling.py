# SPDX-License-Identifier: Apache-2.0
"""Where and how the process runs: scheduler, I/O priority, affinity, memory policy, personality.

Imported only where a spec has one of them.
"""

from __future__ import annotations

from _struct import pack

from native import plan
from native.plan import Op
from runtime import number_list
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from spec.types import IOPriority, LinuxMemoryPolicy, Process, Scheduler

lib = plan.lib

#: linux/sched.h; sched_setattr(2)
POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
#: struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, and the
#: bounds of utilization, for which the standard has no values (linux/sched/types.h, Linux 5.3)
_ATTRIBUTES = "=IIQiIQQQII"
_ATTRIBUTES_SIZE = 56
#: linux/ioprio.h
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IO_CLASS_SHIFT = 13
_WHO_PROCESS = 1
#: linux/mempolicy.h; set_mempolicy(2)
MEMORY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}
#: linux/personality.h
_DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}


def attributes(scheduler: Scheduler) -> bytes:
    """`process.scheduler` as a struct sched_attr."""
    flags = 0
    for name in scheduler.get("flags", ()):
        flags |= SCHEDULER_FLAGS[name]
    return pack(
        _ATTRIBUTES,
        _ATTRIBUTES_SIZE,
        POLICIES[scheduler["policy"]],
        flags,
        scheduler.get("nice", 0),
        scheduler.get("priority", 0),
        scheduler.get("runtime", 0),
        scheduler.get("deadline", 0),
        scheduler.get("period", 0),
        0,
        0,
    )


def io_priority(priority: IOPriority) -> int:
    """`process.ioPriority` as the number of ioprio_set(2)."""
    return IO_CLASSES[priority["class"]] << _IO_CLASS_SHIFT | priority.get("priority", 0)


def operations(context: Context) -> None:
    """While the init still is root: real-time policies and a negative nice need CAP_SYS_NICE.

    In a user namespace that capability counts for nothing here (sched(7), ioprio_set(2)): there
    the parent sets both (`apply`), in the sync of process.resource_limits.
    """
    process = context.process
    if "user" not in context.namespaces:
        if "scheduler" in process:
            _scheduler(context, process["scheduler"])
        if "ioPriority" in process:
            _io_priority(context, process["ioPriority"])
    if "personality" in context.linux:
        _personality(context)
    if "memoryPolicy" in context.linux:
        _memory_policy(context, context.linux["memoryPolicy"])


def _scheduler(context: Context, scheduler: Scheduler) -> None:
    data = attributes(scheduler)
    names = ("nice", "priority", "runtime", "deadline", "period")
    words = [f"{name} {scheduler[name]}" for name in names if scheduler.get(name)]  # type: ignore[literal-required]
    text = " ".join([scheduler["policy"], *words, *scheduler.get("flags", ())])
    where = "/process/scheduler"
    context.add(Op(lib.OP_SCHEDULER, text, "", data, pointer=where, numbers=[len(data)]))


def _io_priority(context: Context, priority: IOPriority) -> None:
    text = f"{priority['class']} {priority.get('priority', 0)}"
    where, numbers = "/process/ioPriority", [io_priority(priority)]
    context.add(Op(lib.OP_IO_PRIORITY, text, pointer=where, numbers=numbers))


def _personality(context: Context) -> None:
    """`linux.personality`; its flags have no value yet (config-linux.md), and were warned of."""
    domain = context.linux["personality"]["domain"]
    where, numbers = "/linux/personality", [_DOMAINS[domain]]
    context.add(Op(lib.OP_PERSONALITY, domain, pointer=where, numbers=numbers))


def _memory_policy(context: Context, policy: LinuxMemoryPolicy) -> None:
    where = "/linux/memoryPolicy"
    nodes = number_list.bits(policy.get("nodes", ""), f"{where}/nodes")
    mode = MEMORY_MODES[policy["mode"]]
    for name in policy.get("flags", ()):
        mode |= MEMORY_FLAGS[name]
    text = " ".join(filter(None, [policy["mode"], policy.get("nodes"), *policy.get("flags", ())]))
    numbers = [mode, len(nodes)]
    context.add(Op(lib.OP_MEMORY_POLICY, text, "", nodes, pointer=where, numbers=numbers))


def affinity(context: Context, when: str) -> None:
    """`process.execCPUAffinity`, "initial" or "final"; nothing where that is not given."""
    given = context.process.get("execCPUAffinity", {})
    cpus = given.get("initial", "") if when == "initial" else given.get("final", "")
    if not cpus:
        return
    where = f"/process/execCPUAffinity/{when}"
    data = number_list.bits(cpus, where)
    text = f"{cpus} ({when})"
    context.add(Op(lib.OP_AFFINITY, text, "", data, pointer=where, numbers=[len(data)]))


def apply(pid: int, process: Process) -> None:
    """From outside: what a process in a user namespace may not do. Raises OrlopError."""
    from native import syscalls

    where = "/process/scheduler"
    try:
        if "scheduler" in process:
            syscalls.sched_setattr(pid, attributes(process["scheduler"]))
        where = "/process/ioPriority"
        if "ioPriority" in process:
            syscalls.ioprio_set(_WHO_PROCESS, pid, io_priority(process["ioPriority"]))
    except OSError as error:
        from runtime import explain

        code = lib.OP_SCHEDULER if where == "/process/scheduler" else lib.OP_IO_PRIORITY
        advice = explain.WELL_KNOWN.get((code, error.errno or 0), "")
        raise OrlopError(str(error.strerror), pointer=where, hint=advice) from error
