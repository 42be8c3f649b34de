# SPDX-License-Identifier: Apache-2.0
"""Rules for the seccomp profile."""

from __future__ import annotations

from spec.describe import shown
from spec.errors import Violation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from spec.types import Spec

_AT = "/linux/seccomp"
_NOTIFY = "SCMP_ACT_NOTIFY"
_DATA_MAX = {"SCMP_ACT_ERRNO": 4095, "SCMP_ACT_TRACE": 2**16 - 1}
"""The actions that carry data, and its largest value.

MAX_ERRNO, and SECCOMP_RET_DATA of seccomp(2).
"""
_ARGUMENTS = 6
"""The most arguments that a system call has: syscall(2)."""


def notify_is_possible(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Seccomp": the runtime sends the descriptor to listenerPath.

    runc can notify neither on write(2) nor by default: its init lives behind its filter.
    """
    profile = spec.get("linux", {}).get("seccomp")
    if profile is None:
        return
    actions = [profile["defaultAction"], *(rule["action"] for rule in profile.get("syscalls", ()))]
    if _NOTIFY in actions and not profile.get("listenerPath"):
        yield Violation(_AT, f"{_NOTIFY} without listenerPath", "the path of the agent's socket")


def listener_is_complete(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Seccomp": metadata only with a listener.

    unix(7): an absolute path of the host.
    """
    profile = spec.get("linux", {}).get("seccomp", {"defaultAction": "SCMP_ACT_ALLOW"})
    path = profile.get("listenerPath", "")
    if profile.get("listenerMetadata") and not path:
        yield Violation(f"{_AT}/listenerMetadata", "metadata without listenerPath", "both")
    if path and not path.startswith("/"):
        yield Violation(f"{_AT}/listenerPath", shown(path), "an absolute path")


def errnos_belong_to_actions(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Seccomp": an errno for an action that has none is an error."""
    profile = spec.get("linux", {}).get("seccomp")
    if profile is None:
        return
    values = [("defaultErrnoRet", profile["defaultAction"], profile.get("defaultErrnoRet"))]
    for index, rule in enumerate(profile.get("syscalls", ())):
        if "errnoRet" in rule:
            values.append((f"syscalls/{index}/errnoRet", rule["action"], rule["errnoRet"]))
    for name, action, value in values:
        if value is None:
            continue
        if action not in _DATA_MAX:
            yield Violation(f"{_AT}/{name}", f"{value} with {action}", "none with this action")
        elif value > _DATA_MAX[action]:
            allowed = f"an integer from 0 to {_DATA_MAX[action]} with {action}"
            yield Violation(f"{_AT}/{name}", str(value), allowed)


def arguments_exist(spec: Spec) -> Iterator[Violation]:
    """syscall(2): arguments 0 to 5; an empty name is no system call."""
    for index, rule in enumerate(spec.get("linux", {}).get("seccomp", {}).get("syscalls", ())):
        at = f"{_AT}/syscalls/{index}"
        if "" in rule["names"]:
            yield Violation(
                f"{at}/names/{rule['names'].index('')}", '""', "the name of a system call"
            )
        for number, argument in enumerate(rule.get("args", ())):
            if argument["index"] >= _ARGUMENTS:
                where = f"{at}/args/{number}/index"
                allowed = f"an integer from 0 to {_ARGUMENTS - 1}"
                yield Violation(where, str(argument["index"]), allowed)


RULES = (notify_is_possible, listener_is_complete, errnos_belong_to_actions, arguments_exist)
