# SPDX-License-Identifier: Apache-2.0
"""What a container uses, as its cgroup counts it, and which processes it has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runtime.container import Container
from runtime.state import now
from spec.errors import OrlopError
from supervisor.failure import WRONG_STATE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_LIMIT = 1 << 60  # v1 has a number for it, a bit below 1 << 63
_COMMAND = 4096  # bytes of a command line: what a process calls itself is its own choice
_NANO = 1_000_000_000


def measure(runtime_root: str, runtime_id: str) -> dict[str, object]:
    """Figures of now; null where the host doesn't count. Raises NotFound, OSError, Failure.

    CPU times are in nanoseconds, memory and I/O in bytes.
    """
    container = Container.open(runtime_root, runtime_id)
    try:
        cgroup = container.cgroup()
        if cgroup is None or cgroup.mode == "none":
            text = f"container {runtime_id!r} has no cgroup that would count"
            raise Failure(WRONG_STATE, text)
        stats: dict[str, Any] = cgroup.stats()
        oom_kills = cgroup.oom_kills()
    finally:
        container.close()
    cpu, memory, pids = (stats.get(name) or {} for name in ("cpu", "memory", "pids"))
    io = (stats.get("io") or {}).get("bytes") or []
    return {
        "time": now(),
        "cpu": {
            "usage": cpu.get("usage_ns"),
            "user": cpu.get("user_ns"),
            "system": cpu.get("system_ns"),
            "throttled": cpu.get("throttled_ns"),
        },
        "memory": {
            "usage": memory.get("usage"),
            "limit": _limit(memory.get("limit")),
            "workingSet": _working_set(memory),
            "oomKills": oom_kills,
        },
        "pids": {"current": pids.get("current"), "limit": _limit(pids.get("limit"))},
        "io": {"read": _sum(io, "read"), "written": _sum(io, "write")},
    }


def oom_kills(runtime_root: str, runtime_id: str) -> int:
    """How many processes the kernel ended for want of memory; 0 where that can't be known."""
    try:
        container = Container.open(runtime_root, runtime_id)
    except OrlopError:
        return 0
    try:
        cgroup = container.cgroup()
        return cgroup.oom_kills() if cgroup is not None and cgroup.mode != "none" else 0
    except OSError:
        return 0
    finally:
        container.close()


def _limit(value: int | None) -> int | None:
    return None if value is None or not 0 <= value < _NO_LIMIT else value


def _working_set(memory: dict[str, Any]) -> int | None:
    """Without the file cache that nobody used lately, as the kubelet counts it."""
    stat, usage = memory.get("stat") or {}, memory.get("usage")
    idle = stat.get("total_inactive_file", stat.get("inactive_file", 0))
    return None if usage is None else max(0, usage - idle)


def _sum(entries: list[dict[str, Any]], operation: str) -> int:
    return sum(entry["value"] for entry in entries if entry["operation"].lower() == operation)


def processes(pids: Iterable[int]) -> list[dict[str, object]]:
    """What /proc says of these (proc(5)); those that are gone by now are left out."""
    found = []
    for pid in pids:
        try:
            found.append(_process(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _process(pid: int) -> dict[str, object]:
    fd = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        name, _, rest = _read(fd, "stat").rpartition(b")")
        fields = rest.split()  # from the third one on
        words = _read(fd, "cmdline").rstrip(b"\0").replace(b"\0", b" ")
        uid = os.stat("status", dir_fd=fd).st_uid
    finally:
        os.close(fd)
    command = words or b"[%s]" % name.partition(b"(")[2]
    return {
        "pid": pid,
        "ppid": int(fields[1]),
        "user": str(uid),
        "command": command.decode("utf-8", "replace"),
        "cpu": (int(fields[11]) + int(fields[12])) * (_NANO // os.sysconf("SC_CLK_TCK")),
        "memory": int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
    }


def _read(directory: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, _COMMAND)
    finally:
        os.close(fd)
