# SPDX-License-Identifier: Apache-2.0
"""Which sysctls a container may set.

Only those that a namespace of its own holds, since all others are the host's.
"""

from __future__ import annotations

from spec.describe import pointer_step, shown
from spec.errors import Violation
from spec.rules.lookup import namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from spec.types import NamespaceType, Spec

_IPC = {
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
}
"""sysvipc(7), ipc_namespaces(7)."""


def sysctls_are_namespaced(spec: Spec) -> Iterator[Violation]:
    """namespaces(7), and what runc allows.

    Net with a network namespace, System V and mqueue limits with an ipc one.

    `user.*` needs a user namespace, `kernel.domainname` a uts one. `kernel.hostname` has its own
    place in the spec. Whether a joined network namespace is the host's own, the runtime finds out.
    """
    for key in spec.get("linux", {}).get("sysctl", {}):
        at = f"/linux/sysctl/{pointer_step(key)}"
        name = dotted(key)
        if name == "kernel.hostname":
            yield Violation(at, "kernel.hostname", "the host name in /hostname")
            continue
        kind = namespace_of(name)
        if kind is None:
            yield Violation(
                at, f"{shown(name)}, which is the whole host's", "one that a namespace holds"
            )
        elif namespace(spec, kind) is None:
            article = "an" if kind == "ipc" else "a"
            yield Violation(
                at,
                f"{shown(name)} without {article} {kind} namespace",
                f"{article} {kind} namespace, new or joined",
            )


def dotted(key: str) -> str:
    """Return a sysctl's name with dots between its parts.

    sysctl.d(5): whichever of `.` and `/` comes first separates; then the other one stands for
    itself, as in net/ipv4/conf/eth0.5/forwarding, whose dotted form is
    net.ipv4.conf.eth0/5.forwarding.
    """
    for character in key:
        if character == ".":
            break
        if character == "/":
            return key.translate({ord("/"): ".", ord("."): "/"})
    return key


def namespace_of(name: str) -> NamespaceType | None:
    """Return the kind of namespace that holds a sysctl, given with dots, or None for the host's."""
    if any(not part.strip("/") for part in name.split(".")):
        return (
            None  # a part "//" is the path's "..": net.//.kernel.core_pattern would be the host's
        )
    if name.startswith("net."):
        return "network"
    if name in _IPC or name.startswith("fs.mqueue."):
        return "ipc"
    if name.startswith("user."):
        return "user"
    return "uts" if name == "kernel.domainname" else None


RULES = (sysctls_are_namespaced,)
