# SPDX-License-Identifier: Apache-2.0
"""Rules for a process, the container's own and those of `exec`; `at` is its JSON pointer."""

from __future__ import annotations

from spec.capabilities import CAPABILITIES
from spec.describe import shown
from spec.errors import Violation
from spec.rules.lookup import is_new, is_number_list, namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from spec.types import Process, Spec

RLIMITS = frozenset(
    {
        "RLIMIT_AS",
        "RLIMIT_CORE",
        "RLIMIT_CPU",
        "RLIMIT_DATA",
        "RLIMIT_FSIZE",
        "RLIMIT_LOCKS",
        "RLIMIT_MEMLOCK",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_NOFILE",
        "RLIMIT_NPROC",
        "RLIMIT_RSS",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
        "RLIMIT_SIGPENDING",
        "RLIMIT_STACK",
    }
)
"""The limits of getrlimit(2)."""

_SETS: tuple[Literal["bounding", "effective", "inheritable", "permitted", "ambient"], ...] = (
    "bounding",
    "effective",
    "inheritable",
    "permitted",
    "ambient",
)
_OOM_SCORE_ADJ = 1000
_IO_PRIORITY_MAX = 7
_ID_MAX = 2**32 - 2
_WINDOW_MAX = 2**16 - 1
_NICE = range(-20, 20)
_REALTIME_PRIORITY = range(1, 100)


def process_is_given(spec: Spec) -> Iterator[Violation]:
    """config.md, "Process": required when the container is started.

    Runc wants it at create, and so do we.
    """
    if "process" not in spec:
        yield Violation("", 'no "process"', "this required member, a container runs a program")


def args_are_given(process: Process, at: str) -> Iterator[Violation]:
    """config.md, "Process": args must have at least one entry."""
    if not process.get("args"):
        found = "an empty array" if "args" in process else 'no "args"'
        yield Violation(
            f"{at}/args" if "args" in process else at, found, "the program and its arguments"
        )


def cwd_is_absolute(process: Process, at: str) -> Iterator[Violation]:
    """config.md, "Process": cwd must be absolute."""
    if not process["cwd"].startswith("/"):
        yield Violation(f"{at}/cwd", shown(process["cwd"]), "an absolute path")


def ids_are_ids(process: Process, at: str) -> Iterator[Violation]:
    """setresuid(2): the largest number means "as it is", and so root (as CVE-2026-46680)."""
    user = process.get("user", {})
    ids = [("uid", user.get("uid", 0)), ("gid", user.get("gid", 0))]
    ids += [(f"additionalGids/{n}", gid) for n, gid in enumerate(user.get("additionalGids", []))]
    for name, number in ids:
        if number > _ID_MAX:
            yield Violation(f"{at}/user/{name}", str(number), f"at most {_ID_MAX}")


def env_has_names(process: Process, at: str) -> Iterator[Violation]:
    """environ(7): `name=value`; runc refuses other entries, and so do we.

    The value isn't shown, it may be secret.
    """
    for index, entry in enumerate(process.get("env", ())):
        name, equals, _ = entry.partition("=")
        if not equals:
            yield Violation(f"{at}/env/{index}", 'an entry without "="', "NAME=VALUE")
        elif not name:
            yield Violation(f"{at}/env/{index}", "an empty name", "NAME=VALUE")


def console_size_fits(process: Process, at: str) -> Iterator[Violation]:
    """ioctl_tty(2), struct winsize: 16 bits each.

    Without a terminal the size is ignored (config.md).
    """
    size = process.get("consoleSize")
    if size and process.get("terminal"):
        for name, value in (("height", size["height"]), ("width", size["width"])):
            if value > _WINDOW_MAX:
                yield Violation(f"{at}/consoleSize/{name}", str(value), f"at most {_WINDOW_MAX}")


def rlimits_are_valid(process: Process, at: str) -> Iterator[Violation]:
    """config.md, "POSIX process": each type once and known.

    setrlimit(2): EINVAL if soft is above hard.
    """
    seen = set()
    for index, limit in enumerate(process.get("rlimits", ())):
        kind, here = limit["type"], f"{at}/rlimits/{index}"
        if kind not in RLIMITS:
            yield Violation(f"{here}/type", shown(kind), f"one of {', '.join(sorted(RLIMITS))}")
        if kind in seen:
            yield Violation(f"{here}/type", f"{kind} again", "each type once")
        seen.add(kind)
        if limit["soft"] > limit["hard"]:
            yield Violation(
                f"{here}/soft", str(limit["soft"]), f"at most the hard limit {limit['hard']}"
            )


def oom_score_is_in_range(process: Process, at: str) -> Iterator[Violation]:
    """proc_pid_oom_score_adj(5): from -1000 to 1000."""
    score = process.get("oomScoreAdj", 0)
    if not -_OOM_SCORE_ADJ <= score <= _OOM_SCORE_ADJ:
        allowed = f"an integer from {-_OOM_SCORE_ADJ} to {_OOM_SCORE_ADJ}"
        yield Violation(f"{at}/oomScoreAdj", str(score), allowed)


def scheduler_is_consistent(process: Process, at: str) -> Iterator[Violation]:
    """sched_setattr(2), sched(7): each policy has its own parameters."""
    scheduler = process.get("scheduler")
    if scheduler is None:
        return
    policy, here = scheduler["policy"], f"{at}/scheduler"
    nice, priority = scheduler.get("nice", 0), scheduler.get("priority", 0)
    if policy in ("SCHED_OTHER", "SCHED_BATCH") and nice not in _NICE:
        yield Violation(f"{here}/nice", str(nice), "an integer from -20 to 19")
    if policy in ("SCHED_FIFO", "SCHED_RR"):
        if priority not in _REALTIME_PRIORITY:
            yield Violation(
                f"{here}/priority", str(priority), f"an integer from 1 to 99 for {policy}"
            )
    elif priority:
        yield Violation(f"{here}/priority", f"{priority} with {policy}", "SCHED_FIFO or SCHED_RR")
    yield from _deadline_violations(process, here)


def _deadline_violations(process: Process, here: str) -> Iterator[Violation]:
    """sched_setattr(2).

    SCHED_DEADLINE needs runtime <= deadline <= period, no other policy has them.
    """
    scheduler = process["scheduler"]
    runtime, deadline = scheduler.get("runtime", 0), scheduler.get("deadline", 0)
    period = scheduler.get("period", 0)
    if scheduler["policy"] != "SCHED_DEADLINE":
        for name, value in (("runtime", runtime), ("deadline", deadline), ("period", period)):
            if value:
                yield Violation(
                    f"{here}/{name}", f"{value} with {scheduler['policy']}", "SCHED_DEADLINE"
                )
    elif not 0 < runtime <= deadline or (period and period < deadline):
        found = f"runtime {runtime}, deadline {deadline}, period {period}"
        yield Violation(here, found, "0 < runtime <= deadline <= period")


def io_priority_is_in_range(process: Process, at: str) -> Iterator[Violation]:
    """ioprio_set(2): levels 0 to 7."""
    priority = process.get("ioPriority", {}).get("priority", 0)
    if isinstance(priority, int) and not 0 <= priority <= _IO_PRIORITY_MAX:
        allowed = f"an integer from 0 to {_IO_PRIORITY_MAX}"
        yield Violation(f"{at}/ioPriority/priority", str(priority), allowed)


def affinity_is_a_list(process: Process, at: str) -> Iterator[Violation]:
    """config.md, "Linux Process": CPU lists; the schema's pattern lets more through than a list."""
    affinity = process.get("execCPUAffinity", {})
    for name, cpus in (
        ("initial", affinity.get("initial", "")),
        ("final", affinity.get("final", "")),
    ):
        if not is_number_list(cpus):
            yield Violation(
                f"{at}/execCPUAffinity/{name}", shown(cpus), "a list of CPUs such as 0-3,7"
            )


def ids_are_mapped(spec: Spec) -> Iterator[Violation]:
    """setresuid(2), setgroups(2): EINVAL for an id that the user namespace doesn't map.

    A joined one's maps aren't known here.
    """
    if not is_new(namespace(spec, "user")):
        return
    linux = spec.get("linux", {})
    user = spec["process"].get("user", {})
    gids = [("gid", user.get("gid", 0))]
    gids += [(f"additionalGids/{n}", gid) for n, gid in enumerate(user.get("additionalGids", ()))]
    for kind, wanted, mappings in (
        ("uid", [("uid", user.get("uid", 0))], linux.get("uidMappings", ())),
        ("gid", gids, linux.get("gidMappings", ())),
    ):
        ranges = [(m["containerID"], m["containerID"] + m["size"]) for m in mappings]
        for name, value in wanted if ranges else ():
            if not any(first <= value < end for first, end in ranges):
                allowed = f"an id that {kind}Mappings maps"
                yield Violation(f"/process/user/{name}", str(value), allowed)


def capabilities_are_known(process: Process, at: str) -> Iterator[Violation]:
    """A warning: config.md, "Linux Process".

    Names that can't be mapped to the kernel are logged and ignored.
    """
    sets = process.get("capabilities", {})
    for kind in _SETS:
        for index, name in enumerate(sets.get(kind, ())):
            if name not in CAPABILITIES:
                here = f"{at}/capabilities/{kind}/{index}"
                yield Violation(here, shown(name), "a name from capabilities(7), it is ignored")


def capabilities_can_be_granted(process: Process, at: str) -> Iterator[Violation]:
    """A warning: capset(2), PR_CAP_AMBIENT(2const).

    Effective is part of permitted, ambient of permitted and inheritable.
    """
    sets = process.get("capabilities", {})
    permitted, inheritable = set(sets.get("permitted", ())), set(sets.get("inheritable", ()))
    for kind, part, bound, name in (
        ("effective", sets.get("effective", ()), permitted, "permitted"),
        ("ambient", sets.get("ambient", ()), permitted & inheritable, "permitted and inheritable"),
    ):
        if beyond := sorted(set(part) - bound):
            found = f"{', '.join(map(shown, beyond))} beyond {name}"
            yield Violation(f"{at}/capabilities/{kind}", found, f"only what is {name} too")


RULES = (
    args_are_given,
    cwd_is_absolute,
    ids_are_ids,
    env_has_names,
    console_size_fits,
    rlimits_are_valid,
    oom_score_is_in_range,
    scheduler_is_consistent,
    io_priority_is_in_range,
    affinity_is_a_list,
)
WARNINGS = (capabilities_are_known, capabilities_can_be_granted)


def violations(process: Process, at: str) -> list[Violation]:
    """Return what the rules find wrong with a process.

    `at` is its JSON pointer, "" for a process file.
    """
    return [violation for rule in RULES for violation in rule(process, at)]


def warnings(process: Process, at: str) -> list[Violation]:
    """Return what of a process will have no effect.

    `at` is its JSON pointer, "" for a process file.
    """
    return [violation for rule in WARNINGS for violation in rule(process, at)]
