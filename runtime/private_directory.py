# SPDX-License-Identifier: Apache-2.0
"""Directories for sockets and records: who else could write there could put others in their place.

In /tmp anybody may make a directory first whose name is known.
"""

from __future__ import annotations

import os

from spec.errors import OrlopError

_OTHERS_WRITE = 0o022


def make(path: str) -> None:
    """Make a directory with mode 0700, or take one that only this user and root can change.

    A link that leads there is looked at, too. Raises OrlopError, OSError.
    """
    os.makedirs(path, mode=0o700, exist_ok=True)
    owners = {os.lstat(path).st_uid, os.stat(path).st_uid}
    mode = os.stat(path).st_mode
    if owners - {0, os.geteuid()} or mode & _OTHERS_WRITE:
        owner = ", ".join(str(uid) for uid in sorted(owners))
        raise OrlopError(
            f"directory {path}: of user {owner}, mode {mode & 0o7777:04o}: others may write to it",
            hint="take one of your own, that neither group nor others may write",
        )
