# SPDX-License-Identifier: Apache-2.0
"""Stay, with everything imported, and do the calls of this user's other `orlop` commands.

With --debug, a line for each of them. They find it by its socket: /run/orlop-planner.sock, or
$XDG_RUNTIME_DIR/orlop-planner.sock for an unprivileged user; ORLOP_PLANNER in their environment
names another, or, empty, forbids it.
"""

from __future__ import annotations

import os
import sys

from runtime import options, planner
from runtime.options import Flag
from runtime.rehearsal import rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "planner [--socket PATH]"
FLAGS = (Flag("socket", "where to listen", options.VALUE, metavar="PATH"),)
ARGUMENTS = (0, 0)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001
    """Serve until SIGTERM."""
    listener = planner.passed()
    path = ""
    if listener is None:
        path = os.path.abspath(options.text("socket") or planner.default_socket())
        listener = planner.listen(path)
    try:
        planner.preload()
        rehearse()
        program = os.path.dirname(os.path.realpath(sys.argv[0]))
        planner.Planner(listener, program, call.log.debug).run(_ready)
    finally:
        if path:
            os.unlink(path)
    return 0


def _ready() -> None:
    """Tell the service manager (sd_notify(3)); the line is for people and tests."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        import _socket

        address = f"\0{path[1:]}" if path.startswith("@") else path
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        socket.sendto(b"READY=1", address)
        socket.close()
