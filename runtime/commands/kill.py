# SPDX-License-Identifier: Apache-2.0
"""Send a signal (SIGTERM, unless named) to the process of a container."""

from __future__ import annotations

from runtime import signals
from runtime.kill import kill
from runtime.options import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "kill ID [SIGNAL]"
FLAGS = (
    Flag("all", "obsolete: a container that does not run is no error", short="a", hidden=True),
)
ARGUMENTS = (1, 2)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Send the signal."""
    signal = signals.parse((arguments[1] if len(arguments) > 1 else "") or "TERM")
    kill(call.root, arguments[0], signal, all_processes=options.flag("all"))
    return 0
