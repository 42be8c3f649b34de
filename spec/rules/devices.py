# SPDX-License-Identifier: Apache-2.0
"""Rules for device nodes, and for the few Linux settings with only a rule each.

NUMA policy, resctrl, personality.
"""

from __future__ import annotations

from spec.describe import shown
from spec.errors import Violation
from spec.rules.lookup import is_number_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from spec.types import Spec

_NUMBERS = {"major": 2**12, "minor": 2**20}
"""How many there are of each: MINORBITS is 20 in the kernel's 32-bit dev_t."""
_WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
_WITH_NODES = ("MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE")


def device_paths_are_absolute(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Devices": the full path inside the container."""
    for index, device in enumerate(spec.get("linux", {}).get("devices", ())):
        if not device["path"].startswith("/"):
            at = f"/linux/devices/{index}/path"
            yield Violation(at, shown(device["path"]), "an absolute path")


def devices_have_numbers(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Devices": major and minor are required except for a fifo.

    makedev(3) for their ranges.
    """
    for index, device in enumerate(spec.get("linux", {}).get("devices", ())):
        if device["type"] == "p":
            continue
        at = f"/linux/devices/{index}"
        for name, number in (("major", device.get("major")), ("minor", device.get("minor"))):
            if number is None:
                yield Violation(at, f'no "{name}"', f"this member for type {shown(device['type'])}")
            elif not 0 <= number < _NUMBERS[name]:
                allowed = f"an integer from 0 to {_NUMBERS[name] - 1}"
                yield Violation(f"{at}/{name}", str(number), allowed)


def memory_policy_is_consistent(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Memory policy", and set_mempolicy(2).

    Some modes have nodes, some must not.
    """
    policy = spec.get("linux", {}).get("memoryPolicy")
    if policy is None:
        return
    mode, nodes, at = policy.get("mode"), policy.get("nodes", ""), "/linux/memoryPolicy"
    if mode is None:
        yield Violation(at, 'no "mode"', "this required member")
    if not is_number_list(nodes):
        yield Violation(f"{at}/nodes", shown(nodes), "a list of nodes such as 0-3,7")
    if mode in _WITHOUT_NODES and nodes:
        yield Violation(f"{at}/nodes", shown(nodes), f"none with {mode}")
    if mode in _WITH_NODES and not nodes:
        yield Violation(at, f"{mode} without nodes", "at least one node")
    if {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"} <= set(policy.get("flags", ())):
        found = "both MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES"
        yield Violation(f"{at}/flags", found, "one of them")


def rdt_settings_are_lines(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "IntelRdt".

    ClosID names one directory, a schema is one line of `schemata`.
    """
    rdt = spec.get("linux", {}).get("intelRdt", {})
    group = rdt.get("closID", "")
    if group in (".", "..") or ("/" in group and group != "/"):
        yield Violation("/linux/intelRdt/closID", shown(group), 'the name of a directory, or "/"')
    lines = [(f"schemata/{index}", line) for index, line in enumerate(rdt.get("schemata", ()))]
    for name, line in [("l3CacheSchema", rdt.get("l3CacheSchema", "")), *lines]:
        if "\n" in line:
            yield Violation(f"/linux/intelRdt/{name}", shown(line), "one line")


def personality_has_domain(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Linux Personality": domain is required."""
    personality = spec.get("linux", {}).get("personality")
    if personality is not None and "domain" not in personality:
        yield Violation("/linux/personality", 'no "domain"', "this required member")


def personality_flags_are_ignored(spec: Spec) -> Iterator[Violation]:
    """A warning: config-linux.md, "Linux Personality": no flag is defined yet."""
    if flags := spec.get("linux", {}).get("personality", {}).get("flags"):
        found = f"{len(flags)} flags"
        yield Violation("/linux/personality/flags", found, "none, they are ignored")


RULES = (
    device_paths_are_absolute,
    devices_have_numbers,
    memory_policy_is_consistent,
    rdt_settings_are_lines,
    personality_has_domain,
)
WARNINGS = (personality_flags_are_ignored,)
