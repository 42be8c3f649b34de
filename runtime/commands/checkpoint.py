# SPDX-License-Identifier: Apache-2.0
"""Write the processes of a running container to files (criu), and delete the container.

With --leave-running or --pre-dump it runs on. `orlop restore` makes it run again from the files.
"""

from __future__ import annotations

from runtime import options
from runtime.checkpoint import checkpoint
from runtime.commands import checkpointing
from runtime.options import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "checkpoint [flags] ID"
FLAGS = (
    *checkpointing.FLAGS,
    Flag("parent-path", "images before, relative to --image-path", options.VALUE, metavar="DIR"),
    Flag("leave-running", "let the container run on"),
    Flag("pre-dump", "write memory alone, and let the container run on"),
    Flag("tcp-skip-in-flight", "leave out TCP connections that are being made"),
    Flag("link-remap", "link files again that were unlinked, where possible"),
    Flag("page-server", "send pages to ADDRESS:PORT", options.VALUE, metavar="ADDRESS"),
    Flag("status-fd", "gets a zero byte when pages can be had", options.VALUE, metavar="FD"),
)  # fmt: skip
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Checkpoint the container."""
    wanted = checkpointing.criu_options(call, options)
    for warning in checkpoint(call.root, arguments[0], wanted):
        call.log.warning(warning)
    return 0
