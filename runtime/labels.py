# SPDX-License-Identifier: Apache-2.0
"""Labels of security modules: of AppArmor for the process, of SELinux for it and its mounts.

Imported only where a spec has one of them. A label that nobody enforces is an error, never ignored.
"""

from __future__ import annotations

import os

from native import plan
from native.plan import Op
from runtime.errors import Unsupported
from runtime.host import read_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from spec.types import Linux, Process

lib = plan.lib
#: The name of the table's descriptor: the host's /proc, whatever is mounted on the image's.
PROC = "proc"
#: SELinux labels nothing there (security/selinux of the kernel: genfscon), or not by an option.
_UNLABELED = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "mqueue"})


def apparmor_enabled() -> bool:
    """Whether the kernel has AppArmor and uses it (admin-guide/LSM/apparmor.rst)."""
    try:
        return read_small("/sys/module/apparmor/parameters/enabled").startswith("Y")
    except OSError:
        return False


def selinux_enabled() -> bool:
    """Whether SELinux has a policy: without one every label is "kernel" (selinux(8))."""
    if not os.path.exists("/sys/fs/selinux/enforce"):
        return False
    try:
        return read_small("/proc/self/attr/current").rstrip("\0\n") not in ("", "kernel")
    except OSError:
        return False


def require(process: Process, linux: Linux) -> None:
    """Raise Unsupported, with the label's pointer, where this host does not enforce it."""
    selinux = [
        ("/process/selinuxLabel", process.get("selinuxLabel")),
        ("/linux/mountLabel", linux.get("mountLabel")),
    ]
    if process.get("apparmorProfile") and not apparmor_enabled():
        message = "AppArmor is not enabled on this host"
        raise Unsupported(message, pointer="/process/apparmorProfile")
    for pointer, label in selinux:
        if label and not selinux_enabled():
            raise Unsupported("SELinux is not enabled on this host", pointer=pointer)


def of_process(context: Context) -> None:
    """What takes effect with execve, while create can still say that there is no such label."""
    profile = context.process.get("apparmorProfile")
    label = context.process.get("selinuxLabel")
    if profile:
        _write(
            context,
            "/process/apparmorProfile",
            f"AppArmor profile {profile} at execve",
            # apparmor/ where several modules share attr/ (Linux 5.8)
            ("self/attr/apparmor/exec", "self/attr/exec", f"exec {profile}"),
        )
    if label:
        _write(
            context,
            "/process/selinuxLabel",
            f"SELinux {label} at execve",
            ("self/attr/exec", "", label),
        )


def of_keyring(context: Context) -> None:
    """Keys that are made from here on have the process's label, until execve."""
    label = context.process.get("selinuxLabel")
    if label:
        text = f"SELinux {label} for keys"
        _write(context, "/process/selinuxLabel", text, ("self/attr/keycreate", "", label))


def _write(context: Context, pointer: str, text: str, words: tuple[str, str, str]) -> None:
    context.add(Op(lib.OP_LABEL, text, *words, pointer=pointer, fd=PROC))


def mount_data(context: Context, kind: str) -> list[str]:
    """The option that labels a new file system of this kind (mount(8), "context=")."""
    label = context.linux.get("mountLabel", "")
    return [f"context={label}"] if label and kind not in _UNLABELED else []


def of_mount(context: Context, kind: str) -> None:
    """Label the mount made last, where no option does."""
    label = context.linux.get("mountLabel", "")
    if label and kind == "mqueue":
        context.add(Op(lib.OP_FILE_LABEL, f"SELinux {label}", label, pointer="/linux/mountLabel"))
