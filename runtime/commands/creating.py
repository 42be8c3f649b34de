# SPDX-License-Identifier: Apache-2.0
"""Flags that create and run share, and what they mean."""

from __future__ import annotations

import os

from runtime import caller, options
from runtime.options import TIMELINE, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cli import Globals
    from runtime.console import ConsoleSocket
    from runtime.create import CreateOptions
    from runtime.notify_socket import NotifySocket

FLAGS = (
    Flag("bundle", "bundle directory (default: .)", options.VALUE, short="b", metavar="DIR"),
    Flag(
        "console-socket",
        "unix socket that the terminal is sent to",
        options.VALUE,
        metavar="PATH",
    ),
    Flag(
        "pidfd-socket",
        "unix socket that a pidfd of the process is sent to",
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
    from runtime.create import CreateOptions  # which an exec does without
    from runtime.descriptors import preserved_fds

    result = CreateOptions()
    result.no_pivot = given.flag("no-pivot")
    result.new_keyring = not given.flag("no-new-keyring")
    result.pid_file = given.text("pid-file")
    result.listen_fds = listen_fds()
    result.preserved = preserved_fds(given.number("preserve-fds") + listen_fds())
    result.rootless = call.rootless
    result.systemd_cgroup = call.systemd_cgroup
    result.on_warning = call.log.warning
    result.allowed_annotations = call.allowed_annotations
    result.notify = bool(os.environ.get("NOTIFY_SOCKET"))
    result.pidfd = pidfd_receiver(given, b"standard")
    if call.log.debugging:
        result.on_plan = call.log.plan
    return result


def bundle_path(given: options.Options) -> str:
    """--bundle, or the working directory."""
    return os.path.abspath(given.text("bundle") or ".")


def listen_fds() -> int:
    """How many sockets the caller passes on, to this process and no other (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(caller.current.pid):
        return 0
    text = os.environ.get("LISTEN_FDS", "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def pidfd_receiver(given: options.Options, kind: bytes) -> Callable[[int], None] | None:
    """What takes the process's pidfd to --pidfd-socket, None where it was not given.

    kind: what the socket is told that it gets, "standard", or "setns" for exec. Raises OrlopError.
    """
    path = given.text("pidfd-socket")
    if not path:
        return None
    from runtime.descriptor_socket import DescriptorSocket

    return DescriptorSocket(path, "pidfd socket", kind).send


def notify_socket() -> NotifySocket | None:
    """For the service manager that NOTIFY_SOCKET names, None without."""
    manager = os.environ.get("NOTIFY_SOCKET")
    if not manager:
        return None
    from runtime.notify_socket import NotifySocket

    return NotifySocket(manager)


def console_socket(given: options.Options) -> ConsoleSocket | None:
    """A connection to --console-socket, None where it was not given."""
    path = given.text("console-socket")
    if not path:
        return None
    from runtime.console import ConsoleSocket

    return ConsoleSocket(path)
