# SPDX-License-Identifier: Apache-2.0
"""A container's cgroup, given to the container's user (config-linux.md, "Cgroup ownership").

On cgroup v2 only, where it is safe: the new owner can make cgroups below, and move its processes
among them, but not raise its own limits, whose files stay root's (cgroups(7), "Cgroup delegation:
delegating a hierarchy to a less privileged user").
"""

from __future__ import annotations

import errno
import os

from runtime.cgroups import files
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.cgroup import Cgroup
    from runtime.host import Facts
    from spec.types import Spec

LIST = "/sys/kernel/cgroup/delegate"  # Linux 4.15
WITHOUT_LIST = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
"""What the standard names for kernels that have no list."""

MOUNTPOINT = "/sys/fs/cgroup"
USER = "/process/user/uid"


def owner(spec: Spec) -> int | None:
    """Return the host's uid of the process's user, if the cgroup is to be given to it, else None.

    It is when the container gets a new cgroup namespace, and mounts its cgroup to write to it.
    """
    linux = spec.get("linux", {})
    kinds = {each["type"]: each.get("path", "") for each in linux.get("namespaces", ())}
    if kinds.get("cgroup") != "" or not _is_mounted_writable(spec):
        return None
    uid = spec["process"].get("user", {}).get("uid", 0)
    if "user" not in kinds:
        return uid
    from runtime.stdio import host_id

    return host_id(uid, linux.get("uidMappings", ()))


def _is_mounted_writable(spec: Spec) -> bool:
    for mount in spec.get("mounts", ()):
        here = os.path.normpath(mount["destination"]) == MOUNTPOINT
        if here and mount.get("source") == "cgroup":
            last = [word for word in mount.get("options", ()) if word in ("ro", "rw")][-1:]
            return last != ["ro"]
    return False


def give(cgroup: Cgroup, spec: Spec, facts: Facts) -> None:
    """Give a cgroup of cgroup v2, which has been made, to its owner, if it is to have one.

    Raises OrlopError; not when the caller isn't root, who can give nothing away: "MAY", says the
    standard, and the cgroup is the caller's then.
    """
    uid = owner(spec)
    if uid is None:
        return
    directory = cgroup.paths()[""]
    try:
        os.chown(directory, uid, -1, follow_symlinks=False)
        for name in _names():
            _give_file(f"{directory}/{name}", uid)
    except OSError as error:
        if not facts.privileged and error.errno in (errno.EPERM, errno.EINVAL):
            return
        text = f"give cgroup {directory} to uid {uid}: {os.strerror(error.errno or 0)}"
        raise OrlopError(text, pointer=USER) from error


def _names() -> list[str]:
    content = files.read_if_there(LIST)
    return list(WITHOUT_LIST) if content is None else content.split()


def _give_file(path: str, uid: int) -> None:
    """Not every cgroup has all that is on the list: it depends on the controllers."""
    try:
        os.chown(path, uid, -1, follow_symlinks=False)
    except FileNotFoundError:
        return
