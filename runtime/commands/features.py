# SPDX-License-Identifier: Apache-2.0
"""Print what this host and build can do, as the standard's features document."""

from __future__ import annotations

import sys

from runtime.features import features
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "features"
FLAGS = ()
ARGUMENTS = (0, 0)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001 - none
    """Print the document."""
    sys.stdout.write(jsontext.dumps(features(), indent=2) + "\n")
    return 0
