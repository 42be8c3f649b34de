# SPDX-License-Identifier: Apache-2.0
"""What of this host and of the caller decides whether a container can run."""

from __future__ import annotations

import os
import resource

from native.syscalls import capget
from runtime import number_list, rlimits
from runtime.features import namespaces
from runtime.host import gather, read_small
from spec.capabilities import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.host import Facts

#: Limits of namespaces(7) in /proc/sys/user.
_LIMITS = {
    "user": "user",
    "mount": "mnt",
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "time": "time",
}


class Observed:
    """What was found.

    facts: as for a start. capabilities: effective, a set of bits. namespaces: kinds that the
    kernel has; exhausted: those of which nobody may make one. controllers: of cgroups, as the
    kernel calls them; "blkio" on v1 is "io" on v2. filesystems: type -> whether it needs a device.
    modules: directory of this kernel's modules. limits: hard ones by number. cpus, nodes: online,
    sets of bits; nodes 0 without NUMA. page_sizes: of huge pages, as cgroups name them.
    profiles: AppArmor's, None where that can't be told. oom_score, files_max: own
    oom_score_adj, fs.nr_open.
    """

    def __init__(self) -> None:
        self.facts: Facts = gather()
        self.capabilities = capget()[0]
        self.namespaces = namespaces()
        self.exhausted = [kind for kind in self.namespaces if _number(_limit(kind), 1) == 0]
        self.controllers = _controllers(self.facts)
        self.filesystems = _filesystems()
        self.modules = f"/lib/modules/{os.uname().release}"
        self.limits = {n: resource.getrlimit(n)[1] for n in rlimits.NUMBERS.values()}
        self.cpus = _members("/sys/devices/system/cpu/online")
        self.nodes = _members("/sys/devices/system/node/online")
        self.page_sizes = _page_sizes()
        self.profiles = _profiles()
        self.oom_score = _number("/proc/self/oom_score_adj", 0)
        self.files_max = _number("/proc/sys/fs/nr_open", 1 << 20)

    def has(self, capability: str) -> bool:
        """Whether the caller holds a capability, over the machine."""
        held = self.capabilities >> CAPABILITIES[capability] & 1
        return bool(held) and self.facts.privileged


def _limit(kind: str) -> str:
    return f"/proc/sys/user/max_{_LIMITS[kind]}_namespaces"


def _number(path: str, default: int) -> int:
    try:
        return int(read_small(path))
    except (OSError, ValueError):
        return default


def _members(path: str) -> int:
    """A list of cpuset(7) as a set of bits, 0 where there is none."""
    try:
        return int.from_bytes(number_list.bits(read_small(path).strip(), ""), "little")
    except OSError:
        return 0


def _controllers(facts: Facts) -> frozenset[str]:
    found = {name for hierarchy in facts.cgroup.hierarchies for name in hierarchy.controllers}
    unified = facts.cgroup.unified
    if unified is not None:
        try:
            found.update(read_small(f"{unified.mountpoint}/cgroup.controllers").split())
        except OSError:
            pass
    return frozenset(found)


def _profiles() -> set[str] | None:
    """Lines of `NAME (MODE)` in AppArmor's securityfs, which are root's to read."""
    try:
        with open("/sys/kernel/security/apparmor/profiles", encoding="utf-8") as file:
            return {line.rpartition(" (")[0] for line in file}
    except OSError:
        return None


def _page_sizes() -> list[str]:
    """/sys/kernel/mm/hugepages as hugetlb's files name them: 2MB, 1GB (hugetlb.rst)."""
    try:
        names = os.listdir("/sys/kernel/mm/hugepages")
    except OSError:
        return []
    sizes = sorted(int(name.removeprefix("hugepages-").removesuffix("kB")) for name in names)
    return [_size(size) for size in sizes]


def _size(kilobytes: int) -> str:
    for unit, factor in (("GB", 1 << 20), ("MB", 1 << 10)):
        if kilobytes >= factor:
            return f"{kilobytes // factor}{unit}"
    return f"{kilobytes}KB"


def _filesystems() -> dict[str, bool]:
    """/proc/filesystems (filesystems(5)): `nodev` before those without a device."""
    found = {}
    for line in read_small("/proc/filesystems").splitlines():
        nodev, _, name = line.partition("\t")
        found[name] = nodev != "nodev"
    return found
