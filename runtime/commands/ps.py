# SPDX-License-Identifier: Apache-2.0
"""List the processes of a container, as ps(1) shows them; its options may follow the id."""

from __future__ import annotations

import os
import sys

from runtime import options, ps
from runtime.errors import UsageError
from runtime.options import Flag
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "ps [flags] ID [ps options]"
FLAGS = (
    Flag(
        "format",
        "table (the default) or json: the pids",
        options.VALUE,
        short="f",
        metavar="FORMAT",
    ),
)
ARGUMENTS = (1, None)
OTHERS_WORDS = True  # behind the ID: no flags of ours


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Print the processes."""
    form = options.text("format", "table")
    if form not in ("table", "json"):
        raise UsageError(f"invalid format option {form!r}: table or json")
    container_id, *words = arguments
    found = ps.pids(call.root, container_id)
    if form == "json":
        # runc prints null for none
        sys.stdout.write(jsontext.dumps(found or None) + "\n")
        return 0
    text = "".join(f"{line}\n" for line in ps.table(found, words))
    sys.stdout.buffer.write(os.fsencode(text))  # a command line's bytes are whatever they are
    return 0
