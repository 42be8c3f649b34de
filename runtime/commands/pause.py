# SPDX-License-Identifier: Apache-2.0
"""Freeze all processes of a running container (cgroups(7))."""

from __future__ import annotations

from runtime.pause import pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "pause ID"
FLAGS = ()
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001 - no flags
    """Pause the container."""
    pause(call.root, arguments[0])
    return 0
