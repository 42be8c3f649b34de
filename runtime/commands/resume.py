# SPDX-License-Identifier: Apache-2.0
"""Let a paused container run again."""

from __future__ import annotations

from runtime.pause import resume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "resume ID"
FLAGS = ()
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001 - no flags
    """Resume the container."""
    resume(call.root, arguments[0])
    return 0
