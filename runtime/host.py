# SPDX-License-Identifier: Apache-2.0
"""Facts about this host that decide what a plan looks like.

The compiler is a pure function of the spec and of these facts, so that `orlop plan` and the golden
files can use recorded ones.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.host import Host as CgroupHost


class Facts:
    """What is true of the machine and of the caller.

    privileged: root in the initial user namespace. uid, gid: the caller's effective ids. kcore:
    /proc/kcore exists. cgroup: hierarchies and where they are mounted. last_capability: number of
    the kernel's last one.
    """

    __slots__ = ("cgroup", "gid", "kcore", "last_capability", "privileged", "uid")

    def __init__(
        self,
        *,
        privileged: bool,
        uid: int,
        gid: int,
        kcore: bool,
        cgroup: CgroupHost,
        last_capability: int,
    ) -> None:
        self.privileged = privileged
        self.uid = uid
        self.gid = gid
        self.kcore = kcore
        self.cgroup = cgroup
        self.last_capability = last_capability


def in_initial_user_namespace() -> bool:
    """Whether ids are the machine's own (user_namespaces(7): the initial map is 0 0 4294967295)."""
    try:
        return read_small("/proc/self/uid_map").split() == ["0", "0", "4294967295"]
    except OSError:
        return True


def is_rootless() -> bool:
    """Whether the caller lacks root's power over the machine."""
    return os.geteuid() != 0 or not in_initial_user_namespace()


def gather() -> Facts:
    """The facts of this machine, now."""
    from runtime.cgroups.host import detect

    return Facts(
        privileged=not is_rootless(),
        uid=os.geteuid(),
        gid=os.getegid(),
        kcore=os.path.exists("/proc/kcore"),
        cgroup=detect(),
        last_capability=last_capability(),
    )


def last_capability() -> int:
    """Number of the last capability that the kernel knows (capabilities(7))."""
    try:
        return int(read_small("/proc/sys/kernel/cap_last_cap"))
    except (OSError, ValueError):
        return 40  # CAP_CHECKPOINT_RESTORE, Linux 5.9: older than what we need


def read_small(path: str) -> str:
    """A small file of /proc or /sys, in one read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)
