# SPDX-License-Identifier: Apache-2.0
"""Print a container's state as JSON (runtime.md#state of the standard, and what runc adds)."""

from __future__ import annotations

import sys

from runtime.container import Container
from runtime.report import describe
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "state ID"
FLAGS = ()
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001 - no flags
    """Print the state; no newline behind it, as runc."""
    container = Container.open(call.root, arguments[0])
    try:
        sys.stdout.write(jsontext.dumps(describe(container), indent=2))
    finally:
        container.close()
    return 0
