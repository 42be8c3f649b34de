# SPDX-License-Identifier: Apache-2.0
"""Flags that create and run share, and what they mean."""

from __future__ import annotations

import os

from runtime import options
from runtime.create import CreateOptions
from runtime.descriptors import preserved_fds
from runtime.options import TIMELINE, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli import Globals
    from runtime.console import ConsoleSocket

FLAGS = (
    Flag("bundle", "bundle directory (default: .)", options.VALUE, short="b", metavar="DIR"),
    Flag(
        "console-socket",
        "unix socket that the terminal is sent to",
        options.VALUE,
        metavar="PATH",
    ),
    Flag("pid-file", "write the process's pid to FILE", options.VALUE, metavar="FILE"),
    Flag("no-pivot", "move the root instead of pivot_root, for a root on a ramfs"),
    Flag("no-new-keyring", "keep the caller's session keyring"),
    Flag("preserve-fds", "pass N further descriptors, from 3 on", options.COUNT),
    TIMELINE,
)


def create_options(call: Globals, given: options.Options) -> CreateOptions:
    """The library's options for these flags. Raises OrlopError."""
    result = CreateOptions()
    result.no_pivot = given.flag("no-pivot")
    result.new_keyring = not given.flag("no-new-keyring")
    result.pid_file = given.text("pid-file")
    result.listen_fds = listen_fds()
    result.preserved = preserved_fds(given.number("preserve-fds") + listen_fds())
    result.systemd_cgroup = call.systemd_cgroup
    result.on_warning = call.log.warning
    result.allowed_annotations = call.allowed_annotations
    if call.log.debugging:
        result.on_plan = call.log.plan
    return result


def bundle_path(given: options.Options) -> str:
    """--bundle, or the working directory."""
    return os.path.abspath(given.text("bundle") or ".")


def listen_fds() -> int:
    """How many sockets the caller passes on, to this process and no other (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    text = os.environ.get("LISTEN_FDS", "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def console_socket(given: options.Options) -> ConsoleSocket | None:
    """A connection to --console-socket, None where it was not given."""
    path = given.text("console-socket")
    if not path:
        return None
    from runtime.console import ConsoleSocket

    return ConsoleSocket(path)
