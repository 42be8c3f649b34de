# SPDX-License-Identifier: Apache-2.0
"""What only cgroup v2 can do, on v2 and hybrid hosts: share out controllers, kill, freeze, tell."""

from __future__ import annotations

import errno
import os

from runtime.cgroups import files, tree
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.cgroups.paths import Directory

THREADED = frozenset({"cpu", "cpuset", "perf_event", "pids"})
"""The controllers that threaded cgroups can have (cgroup-v2.rst, "Threads")."""

CORE = ("cgroup",)
"""What `unified` may name beside controllers: the files that every cgroup has."""


def available(directory: str) -> frozenset[str]:
    """Return the controllers that a cgroup has; none when it is gone. Raises OSError."""
    return frozenset((files.read_if_there(f"{directory}/cgroup.controllers") or "").split())


def enable(directory: Directory, needed: Mapping[str, str], *, others: bool) -> None:
    """Enable controllers for a cgroup that exists, in all those above it.

    needed: JSON pointer by controller. others: also those that nobody asked for, as far as
    possible, because engines read their statistics. Raises OrlopError when a needed one can't be
    enabled.
    """
    there = available(directory.path)
    offered = available(directory.mountpoint) if others or not there.issuperset(needed) else there
    for controller, pointer in needed.items():
        if controller not in offered:
            raise OrlopError(unavailable(controller), pointer=pointer)
    wanted = offered if others else frozenset(needed)
    if there >= wanted:
        return
    refusals: dict[str, tuple[str, OSError]] = {}
    for ancestor in _ancestors(directory):
        _enable_children(ancestor, wanted, refusals)
    there = available(directory.path)
    for controller, pointer in needed.items():
        if controller not in there:
            raise _refused(controller, refusals.get(controller), pointer)


def settle(directory: str) -> None:
    """Wait until the files of all the controllers in cgroup.controllers are there.

    While another process enables controllers above, that file names them before their own files
    appear. Who does so holds the kernel's cgroup lock, as does this write, which changes nothing.
    Raises OSError.
    """
    path = f"{directory}/cgroup.max.depth"
    depth = files.read_if_there(path)
    if depth is not None:
        files.write(path, depth.strip())


def unavailable(controller: str) -> str:
    """Return the words for a controller that this host doesn't have."""
    return f'controller "{controller}" is not available on this host'


def _ancestors(directory: Directory) -> list[str]:
    """The cgroups above one, from the mount point down."""
    found = []
    path = directory.path
    while path != directory.mountpoint:
        path = os.path.dirname(path)
        found.append(path)
    return found[::-1]


def _enable_children(
    ancestor: str, wanted: frozenset[str], refusals: dict[str, tuple[str, OSError]]
) -> None:
    path = f"{ancestor}/cgroup.subtree_control"
    try:
        if wanted <= THREADED:
            _require_no_processes(ancestor)
        files.write(path, " ".join(f"+{controller}" for controller in sorted(wanted)))
        return
    except OSError as error:
        if error.errno == errno.EBUSY:
            refusals.update((each, (ancestor, error)) for each in wanted - refusals.keys())
            return
    # All or nothing: one of them isn't available there, or not permitted. So one by one.
    for controller in sorted(wanted, key=lambda name: (name in THREADED, name)):
        try:
            if controller in THREADED:
                _require_no_processes(ancestor)
            files.write(path, f"+{controller}")
        except OSError as error:
            refusals.setdefault(controller, (ancestor, error))


def _require_no_processes(directory: str) -> None:
    """Raise OSError EBUSY when a cgroup, not the root, has processes.

    The kernel takes threaded controllers there, and makes it the root of a threaded subtree whose
    cgroups can have threads only, no processes: nobody asked for that.
    """
    if os.path.exists(f"{directory}/cgroup.type") and tree.process_ids(directory, recursive=False):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), directory)


def _refused(controller: str, refusal: tuple[str, OSError] | None, pointer: str) -> OrlopError:
    if refusal is None:
        return OrlopError(f'controller "{controller}" was not enabled', pointer=pointer)
    ancestor, error = refusal
    hint = ""
    if error.errno == errno.EBUSY:
        hint = (
            "that cgroup has processes, and only one without them can share out controllers"
            ' (cgroups(7), "no internal processes"); choose another cgroupsPath'
        )
    elif error.errno == errno.EOPNOTSUPP:
        hint = "that cgroup is threaded; choose a cgroupsPath elsewhere"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "the controller is not delegated to this user"
    text = f'enable controller "{controller}" in {ancestor}: {os.strerror(error.errno or 0)}'
    return OrlopError(text, pointer=pointer, hint=hint)


def require_domain(directory: str) -> None:
    """Raise OrlopError when a cgroup is in a threaded subtree, and so can't have processes."""
    kind = (files.read_if_there(f"{directory}/cgroup.type") or "domain").strip()
    if kind not in ("domain", "domain threaded"):
        raise OrlopError(
            f"cgroup {directory} is in a threaded subtree (cgroup.type: {kind})",
            pointer="/linux/cgroupsPath",
            hint="choose a cgroupsPath outside of it",
        )


def kill(directory: str) -> bool:
    """Send SIGKILL to all here and below; False when the kernel can't (before Linux 5.14)."""
    try:
        files.write(f"{directory}/cgroup.kill", "1")
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # threaded: kill the processes one by one
            return False
        if error.errno not in files.GONE:
            raise
        return not os.path.exists(directory)
    return True


def events(directory: str) -> dict[str, int]:
    """Return cgroup.events; nothing when the cgroup is gone. Raises OSError."""
    return files.flat_keyed(files.read_if_there(f"{directory}/cgroup.events") or "")


def wait_for(directory: str, key: str, value: int, seconds: float) -> bool:
    """Wait until `key` in cgroup.events is `value` or the cgroup is gone; False after `seconds`.

    The kernel reports a change of the file as POLLPRI (cgroup-v2.rst, "[Un]populated
    Notification").
    """
    import select
    import time

    try:
        fd = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    deadline = time.monotonic() + seconds
    poll = select.poll()
    poll.register(fd, select.POLLPRI)
    try:
        while files.flat_keyed(os.pread(fd, 4096, 0).decode()).get(key) != value:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poll.poll(left * 1000)
        return True
    except OSError as error:
        if error.errno in files.GONE:
            return True
        raise
    finally:
        os.close(fd)


def freeze(directory: str, seconds: float) -> bool:
    """Stop all here and below (Linux 5.2); False, and thawed again, when that takes longer."""
    files.write(f"{directory}/cgroup.freeze", "1")
    if wait_for(directory, "frozen", 1, seconds):
        return True
    thaw(directory)
    return False


def thaw(directory: str) -> None:
    """Let a cgroup run. Raises OSError."""
    try:
        files.write(f"{directory}/cgroup.freeze", "0")
    except OSError as error:
        if error.errno not in files.GONE:
            raise


def frozen(directory: str) -> bool:
    """Whether a cgroup was frozen by itself, not with one above it."""
    return (files.read_if_there(f"{directory}/cgroup.freeze") or "0").strip() == "1"
