# SPDX-License-Identifier: Apache-2.0
"""The process's stdio belongs to its user, so that it can open /proc/self/fd/1 again.

The init does that (OP_STDIO_OWNER), but not from inside a user namespace: the owner of what the
caller gave has no id there. A privileged caller does it then.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from spec.types import Linux, LinuxIDMapping, Process


def give(stdio: Sequence[int], process: Process, linux: Linux) -> None:
    """Change the owner of stdio to the container's user as the host knows it.

    Terminals and /dev/null stay whose they are. What can't be changed stays too: a read-only file
    system, a socket.
    """
    mappings = linux.get("uidMappings", [])
    uid = host_id(process.get("user", {}).get("uid", 0), mappings)
    if uid is None:
        return
    for fd in stdio:
        try:
            if not stat.S_ISCHR(os.fstat(fd).st_mode):
                os.fchown(fd, uid, -1)
        except OSError:
            continue


def host_id(inside: int, mappings: Sequence[LinuxIDMapping]) -> int | None:
    """What an id of the container is outside, None where it is not mapped."""
    for mapping in mappings:
        offset = inside - mapping["containerID"]
        if 0 <= offset < mapping["size"]:
            return mapping["hostID"] + offset
    return None
