# SPDX-License-Identifier: Apache-2.0
"""Remove a stopped or created container: its processes, cgroup and state."""

from __future__ import annotations

from runtime.delete import delete
from runtime.options import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "delete [flags] ID"
FLAGS = (
    Flag("force", "end the container first if need be; it may also be gone already", short="f"),
)
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Delete the container."""
    for warning in delete(call.root, arguments[0], force=options.flag("force")):
        call.log.warning(warning)
    return 0
