# SPDX-License-Identifier: Apache-2.0
"""Rules for the namespaces and for what lives in one of them.

Id maps, clocks, network interfaces.
"""

from __future__ import annotations

from spec.describe import pointer_step, shown
from spec.errors import Violation
from spec.rules.lookup import is_new, namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from spec.types import LinuxIDMapping, Spec

_MAPS: tuple[Literal["uidMappings", "gidMappings"], ...] = ("uidMappings", "gidMappings")
_CLOCKS: tuple[Literal["monotonic", "boottime"], ...] = ("monotonic", "boottime")
_MAP_LINES = 340
"""user_namespaces(7), "Defining user and group ID mappings": the longest map since Linux 4.15."""
_ID_MAX = 2**32 - 2
"""The largest id: (uid_t) -1 means "no change" to setresuid(2), and no map may hold it."""
_INTERFACE_NAME_MAX = 15
"""IFNAMSIZ of netdevice(7) without the final null byte."""
_NANOSECONDS = 1_000_000_000


def namespaces_are_unique(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Namespaces": the same type twice is an error."""
    seen = set()
    for index, entry in enumerate(spec.get("linux", {}).get("namespaces", ())):
        kind = entry["type"]
        if kind in seen:
            yield Violation(
                f"/linux/namespaces/{index}/type", f"{shown(kind)} again", "each type once"
            )
        seen.add(kind)


def namespace_paths_are_absolute(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Namespaces": the path must be absolute in the runtime's mount namespace."""
    for index, entry in enumerate(spec.get("linux", {}).get("namespaces", ())):
        path = entry.get("path")
        if path and not path.startswith("/"):
            yield Violation(f"/linux/namespaces/{index}/path", shown(path), "an absolute path")


def user_namespace_has_maps(spec: Spec) -> Iterator[Violation]:
    """user_namespaces(7).

    A new namespace is of no use without maps, and maps are nothing without a new namespace.

    Maps next to a joined namespace are only worth a warning: containerd and CRI-O write them.
    """
    entry = namespace(spec, "user")
    linux = spec.get("linux", {})
    for name in _MAPS:
        mappings = linux.get(name)
        if entry is None and mappings:
            yield Violation(f"/linux/{name}", "a map without a user namespace", "a user namespace")
        if is_new(entry) and not mappings:
            yield Violation("/linux", f"a new user namespace without {name}", "both maps")


def user_maps_are_valid(spec: Spec) -> Iterator[Violation]:
    """user_namespaces(7), as `map_violations` has it."""
    linux = spec.get("linux", {})
    yield from map_violations(linux.get("uidMappings", ()), "/linux/uidMappings")
    yield from map_violations(linux.get("gidMappings", ()), "/linux/gidMappings")


def map_violations(mappings: Sequence[LinuxIDMapping], at: str) -> Iterator[Violation]:
    """Yield what write(2) to uid_map or gid_map would refuse (user_namespaces(7)).

    That is more than 340 lines, empty ranges, ranges beyond the last id, and ranges that overlap on
    either side.
    """
    if len(mappings) > _MAP_LINES:
        yield Violation(at, f"{len(mappings)} mappings", f"at most {_MAP_LINES}")
    for index, mapping in enumerate(mappings):
        if mapping["size"] == 0:
            yield Violation(f"{at}/{index}/size", "0", "at least one id")
    yield from _range_violations(mappings, at, "containerID")
    yield from _range_violations(mappings, at, "hostID")


def _range_violations(
    mappings: Sequence[LinuxIDMapping], at: str, side: str
) -> Iterator[Violation]:
    """Yield the ranges of one side that go too far or overlap."""
    ranges = []
    for index, mapping in enumerate(mappings):
        first = mapping["hostID"] if side == "hostID" else mapping["containerID"]
        last = first + mapping["size"] - 1
        if last > _ID_MAX:
            yield Violation(f"{at}/{index}", f"{side}s {first} to {last}", f"ids up to {_ID_MAX}")
        if mapping["size"]:
            ranges.append((first, last, index))
    ranges.sort()
    for position in range(1, len(ranges)):
        (_, before, other), (first, last, index) = ranges[position - 1 : position + 1]
        if first <= before:
            where = f"{at}/{max(index, other)}/{side}"
            clash = f"ids {first} to {min(before, last)} also in {at}/{min(index, other)}"
            yield Violation(where, clash, "ranges that don't overlap")


def time_offsets_need_new_namespace(spec: Spec) -> Iterator[Violation]:
    """time_namespaces(7): offsets are written before the first process enters.

    A joined namespace has its own.
    """
    if spec.get("linux", {}).get("timeOffsets") and not is_new(namespace(spec, "time")):
        joined = namespace(spec, "time") is not None
        found = (
            "offsets for a joined time namespace" if joined else "offsets without a time namespace"
        )
        yield Violation("/linux/timeOffsets", found, "a new time namespace")


def nanoseconds_are_fractions(spec: Spec) -> Iterator[Violation]:
    """time_namespaces(7): EINVAL unless nanosecs is below a second."""
    offsets = spec.get("linux", {}).get("timeOffsets", {})
    for clock in _CLOCKS:
        nanoseconds = offsets.get(clock, {}).get("nanosecs", 0)
        if nanoseconds >= _NANOSECONDS:
            at = f"/linux/timeOffsets/{clock}/nanosecs"
            yield Violation(at, str(nanoseconds), f"less than {_NANOSECONDS}")


def net_devices_need_namespace(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Network Devices": they are moved to the container's network namespace."""
    if spec.get("linux", {}).get("netDevices") and namespace(spec, "network") is None:
        yield Violation(
            "/linux/netDevices",
            "devices without a network namespace",
            "a network namespace, new or joined",
        )


def net_device_names_are_valid(spec: Spec) -> Iterator[Violation]:
    """netdevice(7), and dev_valid_name() of the kernel.

    1 to 15 bytes, not `.` or `..`, no slash, colon or blank.

    config-linux.md, "Network Devices": a name in the container may have one `%d`, and may occur
    once.
    """
    targets: dict[str, str] = {}
    for name, device in spec.get("linux", {}).get("netDevices", {}).items():
        at = f"/linux/netDevices/{pointer_step(name)}"
        if not _is_interface_name(name):
            yield Violation(at, f"the name {shown(name)}", "a name of a network interface")
        target = device.get("name") or name
        if target != name and not _is_interface_name(target):
            yield Violation(f"{at}/name", shown(target), "a name of a network interface")
        if target in targets and "%d" not in target:
            yield Violation(
                at, f"{shown(target)}, the name of {targets[target]}", "different names"
            )
        targets[target] = at


def _is_interface_name(name: str) -> bool:
    return (
        0 < len(name.encode("utf-8", "surrogateescape")) <= _INTERFACE_NAME_MAX
        and name not in (".", "..")
        and not any(character in "/:" or character.isspace() for character in name)
    )


def joined_user_namespace_keeps_maps(spec: Spec) -> Iterator[Violation]:
    """A warning: user_namespaces(7).

    The maps of a namespace are written once, those of a joined one stand.
    """
    entry = namespace(spec, "user")
    linux = spec.get("linux", {})
    if entry is not None and not is_new(entry):
        for name in _MAPS:
            if linux.get(name):
                yield Violation(
                    f"/linux/{name}", "a map for a joined user namespace", "none, it isn't applied"
                )


def propagation_is_standard(spec: Spec) -> Iterator[Violation]:
    """A warning: config-linux.md, "Rootfs Mount Propagation": the recursive forms are runc's."""
    propagation = spec.get("linux", {}).get("rootfsPropagation", "")
    if propagation.startswith("r"):
        allowed = "private, shared, slave or unbindable by the standard"
        yield Violation("/linux/rootfsPropagation", shown(propagation), allowed)


RULES = (
    namespaces_are_unique,
    namespace_paths_are_absolute,
    user_namespace_has_maps,
    user_maps_are_valid,
    time_offsets_need_new_namespace,
    nanoseconds_are_fractions,
    net_devices_need_namespace,
    net_device_names_are_valid,
)
WARNINGS = (joined_user_namespace_keeps_maps, propagation_is_standard)
