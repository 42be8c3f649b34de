# SPDX-License-Identifier: Apache-2.0
"""Make a container from a checkpoint's files (criu); it runs on from where it was.

In the foreground, wait for its process, remove the container, and exit with its status, or 128 and
the signal that ended it. With --detach, return when it runs.
"""

from __future__ import annotations

from runtime import options
from runtime.commands import checkpointing, creating
from runtime.delete import delete
from runtime.errors import UsageError
from runtime.options import Flag
from runtime.restore import restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

_OF_CREATE = ("bundle", "console-socket", "pid-file")
USAGE = "restore [flags] ID"
FLAGS = (
    *(flag for flag in creating.FLAGS if flag.name in _OF_CREATE),
    *checkpointing.FLAGS,
    Flag("detach", "return when the process runs", short="d"),
    Flag("tcp-close", "close TCP connections instead"),
    Flag("lsm-profile", "profile to restore with, TYPE:NAME", options.VALUE, metavar="PROFILE"),
    Flag("lsm-mount-context", "SELinux context of restored mounts", options.VALUE, metavar="LABEL"),
    Flag("no-pivot", "accepted for runc's callers; criu always pivots"),
    Flag("no-subreaper", "leave orphans of the container to the caller's subreaper"),
)
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Restore the container."""
    container_id, bundle = arguments[0], creating.bundle_path(options)
    wanted = creating.create_options(call, options)
    images = checkpointing.criu_options(call, options)
    if options.flag("detach"):
        socket = creating.console_socket(options)
        if socket is not None:
            wanted.console = socket.send
            wanted.console_required = True
        try:
            restore(call.root, container_id, bundle, wanted, images)
        finally:
            if socket is not None:
                socket.close()
        return 0
    if options.text("console-socket"):
        raise UsageError("--console-socket is for --detach; the foreground has its own terminal")
    from runtime.foreground import Foreground

    foreground = Foreground(subreaper=not options.flag("no-subreaper"))
    wanted.console = foreground.attach
    try:
        pid = restore(call.root, container_id, bundle, wanted, images)
        status = foreground.wait(pid)
    finally:
        foreground.restore()
    for warning in delete(call.root, container_id, force=True):
        call.log.warning(warning)
    return status
