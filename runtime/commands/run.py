# SPDX-License-Identifier: Apache-2.0
"""Create and start a container.

In the foreground, wait for its process, forward signals and the terminal, remove the container, and
exit with its status, or 128 and the signal that ended it. With --detach, return when it runs.
"""

from __future__ import annotations

from runtime import caller, steps
from runtime.commands import creating
from runtime.create import create
from runtime.delete import delete
from runtime.errors import UsageError
from runtime.options import Flag
from runtime.start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.create import CreateOptions
    from runtime.options import Options

USAGE = "run [flags] ID"
FLAGS = (
    *creating.FLAGS,
    Flag("detach", "return when the process runs", short="d"),
    Flag("keep", "keep the container after its process has ended"),
    Flag("no-subreaper", "leave orphans of the container to the caller's subreaper"),
)
ARGUMENTS = (1, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Run the container."""
    container_id = arguments[0]
    wanted = creating.create_options(call, options)
    bundle = creating.bundle_path(options)
    if options.flag("detach"):
        return _detached(call, options, container_id, bundle, wanted)
    if options.text("console-socket"):
        raise UsageError("--console-socket is for --detach; the foreground has its own terminal")
    foreground = caller.current.foreground(subreaper=not options.flag("no-subreaper"))
    wanted.console = foreground.attach
    try:
        pid = create(call.root, container_id, bundle, wanted)
        try:
            notify = creating.notify_socket()
            start(call.root, container_id, notify)
            steps.end()
            keeps = options.flag("keep")
            removal = () if keeps else _removal(call, container_id)
            status = foreground.wait(pid, notify, removal)
        except BaseException:
            _remove(call, container_id)
            raise
    finally:
        foreground.restore()
    if not keeps:
        _remove(call, container_id)
    return status


def _removal(call: Globals, container_id: str) -> list[str]:
    """The call that does the same as `_remove`."""
    log = call.log
    logs = ["--log", log.path, "--log-format", "json" if log.json else "text"] if log.path else []
    return ["--root", call.root, *logs, "delete", "--force", container_id]


def _remove(call: Globals, container_id: str) -> None:
    for warning in delete(call.root, container_id, force=True):
        call.log.warning(warning)


def _detached(
    call: Globals, options: Options, container_id: str, bundle: str, wanted: CreateOptions
) -> int:
    socket = creating.console_socket(options)
    if socket is not None:
        wanted.console = socket.send
        wanted.console_required = True
    try:
        create(call.root, container_id, bundle, wanted)
        try:
            notify = creating.notify_socket()
            start(call.root, container_id, notify)
            if notify is not None:
                notify.wait()
        except BaseException:
            _remove(call, container_id)
            raise
    finally:
        if socket is not None:
            socket.close()
    return 0
