# SPDX-License-Identifier: Apache-2.0
"""`planner`: stay, with everything imported, and do this user's `start` and `delete`.

A shim that is started so is a fork of it, and shares its memory. What is started finds it by its
socket: /run/orlop-shim-planner.sock, or $XDG_RUNTIME_DIR/orlop-shim-planner.sock for an
unprivileged user; ORLOP_SHIM_PLANNER in its environment names another, or, empty, forbids it.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import sys

from runtime import planner, warm
from runtime.rehearsal import rehearse
from shim import inherited, launch, memory, pool
from shim.preload import preload
from shim.rehearsal import rehearse as shim_rehearse
from shim.title import ROOM, Title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.bootstrap import Flags

_SOCKET = "orlop-shim-planner.sock"
_IMPORTED = (
    "prctl", "resource", "runtime.features", "runtime.version", "shim.cleanup", "shim.daemon",
    "shim.works",
)  # fmt: skip


def run(flags: Flags, main: Callable[[Sequence[str]], int]) -> int:
    """Serve until SIGTERM. main: what a command line does. Raises OrlopError, OSError."""
    if ROOM not in sys.argv:
        # Arguments have the room that they had when the process was executed.
        os.execv(sys.argv[0], [*sys.argv, ROOM])  # noqa: S606 - this very program
    for name in _IMPORTED:
        __import__(name)
    preload()
    rehearse()
    launch.title = Title()
    shim_rehearse()
    memory.share()
    if os.geteuid() == 0:  # a user's tools are found by a PATH, which may not be ours
        launch.pool = _out_of_the_way(pool.start(launch.title))
    program = warm.Program(planner.called(), main, inherited.adopt)

    def tell(text: str) -> None:
        if flags.flag("debug"):
            sys.stderr.write(f"{text}\n")

    planner.run(lambda: flags.text("socket") or planner.default_socket(_SOCKET), program, tell)
    return 0


def _out_of_the_way(socket: _socket.socket) -> _socket.socket:
    """A copy with a number that no caller's descriptor has (runtime.warm)."""
    copy = fcntl.fcntl(socket, fcntl.F_DUPFD_CLOEXEC, warm.OUT_OF_THE_WAY)
    socket.close()
    return _socket.socket(fileno=copy)
