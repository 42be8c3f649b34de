# SPDX-License-Identifier: Apache-2.0
"""Stay, with everything imported, and do the calls of this user's other `orlop` commands.

With --debug, a line for each of them. They find it by its socket: /run/orlop-planner.sock, or
$XDG_RUNTIME_DIR/orlop-planner.sock for an unprivileged user; ORLOP_PLANNER in their environment
names another, or, empty, forbids it.
"""

from __future__ import annotations

from runtime import options, planner, warm
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
    from runtime import cli

    planner.preload()
    rehearse()
    program = warm.Program(planner.called(), cli.main)
    planner.run(lambda: options.text("socket") or planner.default_socket(), program, call.log.debug)
    return 0
