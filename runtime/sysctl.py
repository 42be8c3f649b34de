# SPDX-License-Identifier: Apache-2.0
"""`linux.sysctl`: written by the init, inside the namespaces that hold them.

spec.rules.sysctl says which sysctls belong to which namespace. What only the host can tell is here:
whether a namespace that is joined is the runtime's own.
"""

from __future__ import annotations

import os

from native import plan
from native.plan import Op
from runtime.namespaces import FILES
from spec.describe import pointer_step
from spec.errors import OrlopError
from spec.rules.sysctl import dotted, namespace_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from spec.types import Spec

lib = plan.lib


def operations(context: Context) -> None:
    """After the hooks, as in runc: they may make the interface that net.ipv4.conf.NAME names."""
    for key, value in context.linux.get("sysctl", {}).items():
        path = sysctl_path(key)
        where = f"/linux/sysctl/{pointer_step(key)}"
        context.add(Op(lib.OP_SYSCTL, f"{key} = {value}", path, value, pointer=where))


def sysctl_path(key: str) -> str:
    """The path below /proc/sys. The first separator decides which is which (sysctl.d(5)).

    So an interface with a dot in its name is `net.ipv4.conf.eth0/1.x` or `net/ipv4/conf/eth0.1/x`.
    """
    dot, slash = key.find("."), key.find("/")
    if slash < 0 or 0 <= dot < slash:
        return key.translate({ord("."): "/", ord("/"): "."})
    return key


def check_joined(spec: Spec) -> None:
    """Raise OrlopError for a sysctl of a joined namespace that is the runtime's own."""
    linux = spec.get("linux", {})
    sysctls = linux.get("sysctl")
    if not sysctls:
        return
    own = {
        entry["type"]
        for entry in linux.get("namespaces", ())
        if entry.get("path") and _is_own(entry["path"], FILES[entry["type"]])
    }
    for key in sysctls:
        kind = namespace_of(dotted(key))
        if kind in own:
            text = f"sysctl {key}: the {kind} namespace to join is the runtime's own"
            hint = "it would change the whole host's"
            raise OrlopError(text, pointer=f"/linux/sysctl/{pointer_step(key)}", hint=hint)


def _is_own(path: str, file: str) -> bool:
    try:
        return os.path.samefile(path, f"/proc/self/ns/{file}")
    except OSError:
        return False  # joining it will say why
