# SPDX-License-Identifier: Apache-2.0
"""Print a container's usage at intervals and each visit of the OOM killer, until it stops.

A line of JSON for each, in runc's form.
"""

from __future__ import annotations

import sys

from runtime import duration, events, options
from runtime.errors import UsageError
from runtime.options import Flag
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "events [flags] ID"
FLAGS = (
    Flag(
        "interval",
        "time between two lines of usage: 5s (the default), 1m30s",
        options.VALUE,
        metavar="DUR",
    ),
    Flag("stats", "print the usage now, once"),
)
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Print the events."""
    interval = duration.parse(options.text("interval", "5s"), "interval")
    if not interval:
        raise UsageError("duration interval must be greater than 0")
    if options.flag("stats"):
        _print(events.stats(call.root, arguments[0]))
        return 0
    for event in events.events(call.root, arguments[0], interval):
        _print(event)
    return 0


def _print(event: dict[str, object]) -> None:
    sys.stdout.write(jsontext.dumps(event) + "\n")
    sys.stdout.flush()
