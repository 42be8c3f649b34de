# SPDX-License-Identifier: Apache-2.0
"""Start the process of a created container. Returns once its execve succeeded.

With NOTIFY_SOCKET, when it has said READY=1, or has ended (sd_notify(3)).
"""

from __future__ import annotations

from runtime.commands import creating
from runtime.options import TIMELINE
from runtime.start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "start ID"
FLAGS = (TIMELINE,)
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001 - no flags
    """Start the container."""
    notify = creating.notify_socket()
    start(call.root, arguments[0], notify)
    if notify is not None:
        notify.wait()
    return 0
