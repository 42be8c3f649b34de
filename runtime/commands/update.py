# SPDX-License-Identifier: Apache-2.0
"""Change the limits of a container; what no flag names, and zeros, leave them as they are.

With --resources all other flags for limits are ignored, and the file is an object like
linux.resources in config.json: {"memory": {"limit": 1048576}, "cpu": {"quota": 50000}}.
"""

from __future__ import annotations

import sys

from runtime import options, update
from runtime.options import Flag
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "update [flags] ID"
_OBSOLETE = ("kernel-memory", "kernel-memory-tcp")
_HELP = (
    ("blkio-weight", "N", "share of block I/O, 10 to 1000"),
    ("cpu-period", "US", "length of a period, in microseconds"),
    ("cpu-quota", "US", "processor time in a period, in microseconds; -1: no limit"),
    ("cpu-burst", "US", "unused quota that may be saved up, in microseconds"),
    ("cpu-share", "N", "share of the processors, 2 to 262144"),
    ("cpu-rt-period", "US", "period of realtime scheduling, in microseconds"),
    ("cpu-rt-runtime", "US", "time of realtime scheduling in its period"),
    ("cpu-idle", "0|1", "1: run only when nobody else wants to (SCHED_IDLE)"),
    ("cpuset-cpus", "LIST", "processors to use: 0-2,5"),
    ("cpuset-mems", "LIST", "memory nodes to use"),
    ("memory", "BYTES", "limit of memory: 512m, 1.5g; -1: none"),
    ("memory-reservation", "BYTES", "memory that is left to it when memory is short"),
    ("memory-swap", "BYTES", "limit of memory and swap together; -1: none"),
    ("pids-limit", "N", "how many processes and threads there may be; -1: no limit"),
    ("l3-cache-schema", "SCHEMA", "share of the L3 cache (Intel RDT)"),
    ("mem-bw-schema", "SCHEMA", "share of the memory's bandwidth (Intel RDT)"),
)
FLAGS = (
    Flag(
        "resources",
        "read the limits from FILE, or - (stdin)",
        options.VALUE,
        short="r",
        metavar="FILE|-",
    ),
    *(Flag(name, text, options.VALUE, metavar=metavar) for name, metavar, text in _HELP),
    *(Flag(name, "obsolete", options.VALUE, hidden=True) for name in _OBSOLETE),
)
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Update the container."""
    given = {name: options.text(name) for name, _, _ in _HELP}
    resources, rdt = update.of_flags(given)
    if source := options.text("resources"):
        resources = update.parse(_read(source), "standard input" if source == "-" else source)
    memory = resources.get("memory", {})
    if any(map(options.given, _OBSOLETE)) or memory.keys() & {"kernel", "kernelTCP"}:
        call.log.warning("kernel memory settings are ignored: Linux has them no more")
    update.update(call.root, arguments[0], resources, rdt)
    return 0


def _read(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        with open(source, "rb") as file:
            return file.read()
    except OSError as error:
        raise OrlopError(f"{source}: {(error.strerror or str(error)).lower()}") from error
