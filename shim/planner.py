# SPDX-License-Identifier: Apache-2.0
"""`planner`: stay, with everything imported, and do this user's `start` and `delete`.

A shim that is started so is a fork of it, and shares its memory. What is started finds it by its
socket: /run/orlop-shim-planner.sock, or $XDG_RUNTIME_DIR/orlop-shim-planner.sock for an
unprivileged user; ORLOP_SHIM_PLANNER in its environment names another, or, empty, forbids it.
"""

from __future__ import annotations

import os
import sys

from runtime import planner, warm
from runtime.rehearsal import rehearse
from shim import inherited, launch
from shim.preload import preload
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
    program = warm.Program(planner.called(), main, inherited.adopt)

    def tell(text: str) -> None:
        if flags.flag("debug"):
            sys.stderr.write(f"{text}\n")

    planner.run(lambda: flags.text("socket") or planner.default_socket(_SOCKET), program, tell)
    return 0
