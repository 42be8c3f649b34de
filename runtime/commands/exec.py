# SPDX-License-Identifier: Apache-2.0
"""Run a further process in a running container.

In the foreground, exit with its status, or 128 and the signal that ended it; 255 if it could not be
run. What is not said on the command line is as in the container's configuration.
"""

from __future__ import annotations

from runtime import caller, exec_cgroup, exec_process, execute, options, steps
from runtime.commands import creating
from runtime.descriptors import preserved_fds
from runtime.errors import UsageError
from runtime.options import TIMELINE, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.execute import ExecOptions
    from runtime.options import Options

USAGE = "exec [flags] ID COMMAND [ARGUMENT ...]  |  exec --process FILE [flags] ID"
FLAGS = (
    Flag("process", "process.json to run", options.VALUE, short="p", metavar="FILE"),
    Flag("cwd", "working directory", options.VALUE, metavar="DIR"),
    Flag("env", "set a variable (repeatable)", options.LIST, short="e", metavar="NAME=VALUE"),
    Flag("tty", "give it a terminal", short="t"),
    Flag("user", "as this user", options.VALUE, short="u", metavar="UID[:GID]"),
    Flag("additional-gids", "a further group (repeatable)", options.LIST, short="g", metavar="GID"),
    Flag("cap", "add a capability (repeatable)", options.LIST, short="c", metavar="CAP"),
    Flag("no-new-privs", "set no_new_privs"),
    Flag("detach", "return when it runs", short="d"),
    Flag("console-socket", "unix socket for the terminal", options.VALUE, metavar="PATH"),
    Flag("pidfd-socket", "unix socket for a pidfd of it", options.VALUE, metavar="PATH"),
    Flag("pid-file", "write its pid to FILE", options.VALUE, metavar="FILE"),
    Flag("preserve-fds", "pass N further descriptors, from 3 on", options.COUNT),
    Flag(
        "cgroup",
        "a cgroup below the container's; on v1 also one for some controllers (repeatable)",
        options.LIST,
        metavar="[CONTROLLER,...:]PATH",
    ),
    TIMELINE,
    Flag("ignore-paused", "also into a paused container, where it waits"),
    Flag("process-label", "SELinux label", options.VALUE, metavar="LABEL"),
    Flag("apparmor", "AppArmor profile", options.VALUE, metavar="PROFILE"),
)
ARGUMENTS = (1, None)
OTHERS_WORDS = True  # behind the ID: no flags of ours
FAILURE = 255  # runc's; 1 would look like the process's own


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Run the process."""
    container_id, *words = arguments
    given = execute.ExecOptions()
    given.pid_file = options.text("pid-file")
    given.preserved = preserved_fds(options.number("preserve-fds"))
    wanted = exec_process.build(options, words)
    for warning in exec_process.unknown_capabilities(options) if options.given("cap") else ():
        call.log.warning(warning)
    given.pidfd = creating.pidfd_receiver(options, b"setns")
    given.ignore_paused = options.flag("ignore-paused")
    given.sub_cgroup = exec_cgroup.parse(options.texts("cgroup"))
    if options.flag("detach"):
        return _detached(call, options, container_id, wanted, given)
    if options.text("console-socket"):
        raise UsageError("--console-socket is for --detach; the foreground has its own terminal")
    foreground = caller.current.foreground(subreaper=False)
    given.console = foreground.attach
    try:
        pid = execute.execute(call.root, container_id, wanted, given)
        steps.end()
        return foreground.wait(pid)
    finally:
        foreground.restore()


def _detached(
    call: Globals,
    options: Options,
    container_id: str,
    wanted: exec_process.Wanted,
    given: ExecOptions,
) -> int:
    if options.text("console-socket") and not wanted.terminal:
        raise UsageError("--console-socket is for a terminal, which is not asked for")
    socket = creating.console_socket(options)
    if socket is not None:
        given.console = socket.send
    try:
        execute.execute(call.root, container_id, wanted, given)
    finally:
        if socket is not None:
            socket.close()
    return 0
