# SPDX-License-Identifier: Apache-2.0
"""What a shim has of the process that starts it, when it is a fork of a warm planner instead.

A cold shim is a descendant of its starter, so it has that one's cgroups, limits and much else
(execve(2), fork(2)). A planner's worker gets itself the same before it starts a shim, or leaves
the start to a cold one. Not among it: the session keyring, which can't be looked at.
"""

from __future__ import annotations

import _signal
import os

from native import syscalls
from runtime.cgroups import files, host
from shim import launch
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.cgroups.host import Hierarchy, Membership

#: Of /proc/PID/status; what other lines say is compared for all calls (runtime.warm), or no matter.
_STATUS = ("SigBlk", "THP_enabled", "Speculation_Store_Bypass", "SpeculationIndirectBranch")
#: Files that only some kernels have.
_FILES = ("personality", "coredump_filter", "timerslack_ns", "loginuid", "sessionid")
_PYTHON_IGNORES = {_signal.SIGPIPE, _signal.SIGXFSZ}
_WHO_PROCESS = 1


def adopt(pid: int, words: Sequence[str]) -> str:
    """Get what a shim would have of process `pid`; returns what can't be had, or "".

    Only `start` leaves a process behind. Raises FileNotFoundError where there is no such process.
    """
    launch.fork = os.fork
    if words[-1:] != ["start"]:
        return ""
    try:
        ours, theirs = _facts("self"), _facts(str(pid))
    except PermissionError as error:  # a user may not look at all of it (ptrace(2), Yama)
        return str(error)
    for name, value in theirs.items():
        if ours[name] != value:
            return name
    for get in (_join, _take_limits, _take_oom_score, _take_niceness, _ignore):
        try:
            different = get(pid)
        except (OSError, OrlopError, ValueError) as error:
            return f"{get.__name__.strip('_')}: {error}"
        if different:
            return different
    # After the cgroups: a cpuset changes it.
    return "" if os.sched_getaffinity(pid) == os.sched_getaffinity(0) else "affinity"


def _facts(process: str) -> dict[str, object]:
    """What has to be the same."""
    found: dict[str, object] = {}
    for line in files.read(f"/proc/{process}/status").splitlines():
        name, _, value = line.partition(":")
        if name in _STATUS:
            found[name] = value
    for name in _FILES:
        found[name] = files.read_if_there(f"/proc/{process}/{name}")
    pid = 0 if process == "self" else int(process)
    found["scheduler"] = os.sched_getscheduler(pid)
    found["io priority"] = syscalls.ioprio_get(_WHO_PROCESS, pid)
    return found


def _take_limits(pid: int) -> str:
    """Resource limits: one that is above our hard ones takes CAP_SYS_RESOURCE."""
    import resource

    if files.read(f"/proc/{pid}/limits") != files.read("/proc/self/limits"):
        for name in dir(resource):
            if name.startswith("RLIMIT_"):
                number = getattr(resource, name)
                resource.setrlimit(number, resource.prlimit(pid, number))
    return ""


def _take_oom_score(pid: int) -> str:
    """The shim sets its own, which may be below ours (proc_pid_oom_score_adj(5))."""
    theirs = files.read(f"/proc/{pid}/oom_score_adj")
    if theirs != files.read("/proc/self/oom_score_adj"):
        files.write("/proc/self/oom_score_adj", theirs)
    return ""


def _take_niceness(pid: int) -> str:
    theirs = os.getpriority(os.PRIO_PROCESS, pid)
    if theirs != os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, theirs)
    return ""


def _ignore(pid: int) -> str:
    """Signals: what is ignored goes through execve(2)."""
    theirs = _ignored(str(pid)) | _PYTHON_IGNORES
    for number in theirs ^ _ignored("self"):
        _signal.signal(number, _signal.SIG_IGN if number in theirs else _signal.SIG_DFL)
    return ""


def _ignored(process: str) -> set[int]:
    """But for the C library's own, which it lets nobody change: its posix_spawn(3) ignores them."""
    _, _, rest = files.read(f"/proc/{process}/status").partition("SigIgn:")
    mask = int(rest.split(maxsplit=1)[0], 16)
    return {number for number in _signal.valid_signals() if mask >> (number - 1) & 1}


def _memberships(process: str) -> list[Membership]:
    return host.parse_memberships(files.read(f"/proc/{process}/cgroup"))


def _other(pid: int) -> list[Membership]:
    """The process's cgroups that are not ours."""
    ours = {each.controllers: each.path for each in _memberships("self")}
    return [each for each in _memberships(str(pid)) if ours.get(each.controllers) != each.path]


def _join(pid: int) -> str:
    """Go into the cgroups of v1 now; a shim is born into that of v2 (`fork`).

    A process of one thread moves itself at once by v1's `tasks`; what is written to v2's
    cgroup.procs waits for a grace period.
    """
    other = _other(pid)
    if not other:
        return ""
    found = host.of(_memberships(str(pid)))
    where = {each.controllers: each for each in found.hierarchies}
    if found.unified is not None:
        where[found.unified.controllers] = found.unified
    for each in other:
        hierarchy = where.get(each.controllers)
        if hierarchy is None or _shown(hierarchy) != each.path:
            return f"cgroup {each.path}"  # not to be seen from here
        directory = hierarchy.mountpoint + hierarchy.own
        if hierarchy.version == 1:
            files.write(f"{directory}/tasks", "0")
        elif os.geteuid() == 0:
            launch.fork = _fork_into(directory)
        else:
            return f"cgroup {each.path}"  # whether a user may go there is for the kernel to say
    left = [each.controllers for each in _other(pid)]
    return "" if left in ([], [(host.UNIFIED,)]) else "cgroup"


def _shown(hierarchy: Hierarchy) -> str:
    """A hierarchy's `own` as /proc/PID/cgroup has it."""
    if hierarchy.root == "/":
        return hierarchy.own
    return hierarchy.root + hierarchy.own.rstrip("/")


def _fork_into(directory: str) -> Callable[[], int]:
    """A fork whose child is in a cgroup of v2."""

    def into() -> int:
        cgroup = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return syscalls.fork_into(cgroup)
        finally:
            os.close(cgroup)

    return into
