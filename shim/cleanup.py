# SPDX-License-Identifier: Apache-2.0
"""`delete`: remove what a shim left that is gone. containerd runs it after each shim, dead or not.

What it says of the exit is what the shim kept on disk, or else that it was killed.
"""

from __future__ import annotations

import os
import stat
import time

from shim import exits, messages
from shim.exits import Exit, timestamp
from shim.launch import is_served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.bootstrap import Flags

_KILLED = 128 + 9


def delete(flags: Flags) -> int:
    """Remove the container and its mounts, and print DeleteResponse. Raises OrlopError, OSError."""
    container_id, namespace = flags.text("id"), flags.text("namespace")
    if not container_id or not namespace:
        raise ValueError("delete needs -id and -namespace")
    bundle = flags.text("bundle") or os.getcwd()
    root, _ = exits.read_record(bundle)
    # Docker takes the exit of another pid for that of an exec process.
    pid, end = exits.read(bundle) or (exits.read_pid(bundle), Exit(_KILLED, time.time_ns()))
    if root:  # else the shim itself has deleted it, as after every container that went well
        from shim.works import Place, do_delete

        do_delete(Place(container_id, bundle, root, namespace))
    else:
        exits.clear(bundle)  # of a shim that was killed just then
    _remove_socket(bundle)
    values = {"pid": pid, "exit_status": end.status, "exited_at": timestamp(end.at)}
    os.write(1, messages.DELETED.encode(values))
    return 0


def _remove_socket(bundle: str) -> None:
    """The socket of a shim that was killed; one that serves a group yet keeps its own."""
    path = exits.read_text(bundle, exits.ADDRESS).strip().removeprefix("unix://")
    if path.startswith("/") and _is_socket(path) and not is_served(path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # by the delete of another container of the group


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except (OSError, ValueError):  # not there; no path
        return False
