# SPDX-License-Identifier: Apache-2.0
"""`process`: what its resources and privileges need of the caller and the kernel."""

from __future__ import annotations

from runtime import number_list, rlimits
from runtime.capabilities import mask, names
from runtime.check.problem import Problem
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.check.observed import Observed
    from spec.types import Process, Spec

_REAL_TIME = ("SCHED_FIFO", "SCHED_RR", "SCHED_DEADLINE")
_NOFILE = rlimits.NUMBERS["RLIMIT_NOFILE"]


def problems(spec: Spec, host: Observed) -> Iterator[Problem]:
    """All of them."""
    process = spec["process"]
    kinds = [entry["type"] for entry in spec.get("linux", {}).get("namespaces", ())]
    yield from profile(process, host)
    yield from limits(process, host)
    yield from scheduling(process, host)
    yield from affinity(process, host)
    if "user" not in kinds and host.facts.privileged:  # else it is not started at all
        yield from capabilities(process, host)
    score = process.get("oomScoreAdj")
    if score is not None and score < host.oom_score and not host.has("CAP_SYS_RESOURCE"):
        text = f"{score} is less than the caller's own {host.oom_score}"
        yield Problem("/process/oomScoreAdj", text, "lowering it needs CAP_SYS_RESOURCE")


def profile(process: Process, host: Observed) -> Iterator[Problem]:
    """apparmor(7): a profile must be loaded; "unconfined" always is, and `//&` stacks several."""
    name = process.get("apparmorProfile", "")
    if not name or host.profiles is None:
        return
    for part in name.split("//&"):
        if part not in host.profiles | {"unconfined"}:
            text = f"AppArmor has no profile {part} loaded"
            yield Problem("/process/apparmorProfile", text, "apparmor_parser(8) loads it")


def limits(process: Process, host: Observed) -> Iterator[Problem]:
    """getrlimit(2): raising a hard limit takes CAP_SYS_RESOURCE; open files end at fs.nr_open."""
    for index, limit in enumerate(process.get("rlimits", ())):
        where, number = f"/process/rlimits/{index}", rlimits.NUMBERS[limit["type"]]
        now, hard = host.limits[number], limit["hard"]
        now = rlimits.UNLIMITED if now < 0 else now
        if number == _NOFILE and hard > host.files_max:
            text = f"{limit['type']} {hard}: the kernel allows {host.files_max} (fs.nr_open)"
            yield Problem(where, text, "ask for less, or raise the sysctl fs.nr_open")
        elif hard > now and not host.has("CAP_SYS_RESOURCE"):
            text = f"{limit['type']} {hard}: the caller's hard limit is {now}"
            yield Problem(where, text, rlimits.HINT)


def scheduling(process: Process, host: Observed) -> Iterator[Problem]:
    """sched(7), ioprio_set(2)."""
    scheduler, priority = process.get("scheduler"), process.get("ioPriority")
    privileged = host.has("CAP_SYS_NICE")
    if scheduler is not None and not privileged:
        if scheduler["policy"] in _REAL_TIME:
            yield Problem("/process/scheduler", f"{scheduler['policy']} needs CAP_SYS_NICE")
        elif scheduler.get("nice", 0) < 0:
            yield Problem("/process/scheduler/nice", "a negative value needs CAP_SYS_NICE")
    real_time = priority is not None and priority["class"] == "IOPRIO_CLASS_RT"
    if real_time and not privileged and not host.has("CAP_SYS_ADMIN"):
        yield Problem("/process/ioPriority", "IOPRIO_CLASS_RT needs CAP_SYS_NICE")


def affinity(process: Process, host: Observed) -> Iterator[Problem]:
    """sched_setaffinity(2): one at least of the CPUs must be there."""
    given = process.get("execCPUAffinity", {})
    for when, cpus in (("initial", given.get("initial")), ("final", given.get("final"))):
        if cpus:
            yield from unavailable(f"/process/execCPUAffinity/{when}", cpus, host.cpus, "CPUs")


def unavailable(pointer: str, members: str, online: int, what: str) -> Iterator[Problem]:
    """A problem where no member of a list is online."""
    try:
        wanted = int.from_bytes(number_list.bits(members, pointer), "little")
    except OrlopError as error:
        yield Problem(error.pointer, error.message)
        return
    if wanted and not wanted & online:
        yield Problem(pointer, f"none of the {what} {members} is online")


def capabilities(process: Process, host: Observed) -> Iterator[Problem]:
    """capabilities(7): nobody can give what they lack; in a user namespace, a container has all."""
    asked = process.get("capabilities", {})
    sets = (("permitted", asked.get("permitted")), ("inheritable", asked.get("inheritable")))
    for kind, given in sets:  # of the others, what is not permitted is left out with a warning
        lacking = names(mask(given or (), host.facts.last_capability) & ~host.capabilities)
        if lacking:
            text = f"the caller lacks {', '.join(lacking)}"
            hint = "leave them out, or give the container a user namespace"
            yield Problem(f"/process/capabilities/{kind}", text, hint)
