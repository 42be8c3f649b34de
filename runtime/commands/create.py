# SPDX-License-Identifier: Apache-2.0
"""Make a container from a bundle. Its process is there, and waits for `orlop start`."""

from __future__ import annotations

from runtime.commands import creating
from runtime.create import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "create [flags] ID"
FLAGS = creating.FLAGS
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Create the container."""
    wanted = creating.create_options(call, options)
    socket = creating.console_socket(options)
    if socket is not None:
        wanted.console = socket.send
        wanted.console_required = True
    try:
        create(call.root, arguments[0], creating.bundle_path(options), wanted)
    finally:
        if socket is not None:
            socket.close()
    return 0
