# SPDX-License-Identifier: Apache-2.0
"""Flags that checkpoint and restore share, and what they mean."""

from __future__ import annotations

import os

from runtime import options
from runtime.criu_options import CGROUP_MODES, CriuOptions
from runtime.errors import UsageError
from runtime.options import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli import Globals

FLAGS = (
    Flag("image-path", "directory of images (default: checkpoint)", options.VALUE, metavar="DIR"),
    Flag("work-path", "directory of the log (default: the images')", options.VALUE, metavar="DIR"),
    Flag("tcp-established", "keep established TCP connections"),
    Flag("ext-unix-sk", "allow unix sockets whose other end is outside"),
    Flag("shell-job", "allow a terminal that is the caller's"),
    Flag("file-locks", "keep file locks"),
    Flag(
        "manage-cgroups-mode", "soft (the default), full, strict or ignore",
        options.VALUE, metavar="MODE",
    ),
    Flag("empty-ns", "namespace whose content is not kept: network", options.LIST, metavar="TYPE"),
    Flag("auto-dedup", "remove pages from parent images that are in newer ones"),
    Flag("lazy-pages", "move memory pages on demand (userfaultfd)"),
)  # fmt: skip
_SWITCHES = (
    "auto-dedup",
    "ext-unix-sk",
    "file-locks",
    "lazy-pages",
    "leave-running",
    "link-remap",
    "pre-dump",
    "shell-job",
    "tcp-close",
    "tcp-established",
    "tcp-skip-in-flight",
)
_TEXTS = ("lsm-mount-context", "lsm-profile", "manage-cgroups-mode", "parent-path")
_PORT_MAX = 65535


def criu_options(call: Globals, given: options.Options) -> CriuOptions:
    """The library's options for these flags. Raises UsageError."""
    result = CriuOptions(os.path.abspath(given.text("image-path") or "checkpoint"))
    result.allowed_annotations = call.allowed_annotations
    for name in _SWITCHES:
        setattr(result, name.replace("-", "_"), given.flag(name))
    for name in _TEXTS:
        setattr(result, name.replace("-", "_"), given.text(name))
    if given.text("work-path"):
        result.work_path = os.path.abspath(given.text("work-path"))
    if result.manage_cgroups_mode not in CGROUP_MODES:
        raise UsageError(f"invalid manage-cgroups-mode value {result.manage_cgroups_mode!r}")
    for kind in given.texts("empty-ns"):
        if kind != "network":
            raise UsageError(f"--empty-ns: namespace {kind!r} is not supported")
    if given.text("page-server"):
        result.page_server = page_server(given.text("page-server"))
    if given.text("status-fd") not in ("", "-1"):
        result.status_fd = _number("--status-fd", given.text("status-fd"))
    return result


def page_server(text: str) -> tuple[str, int]:
    """ADDRESS:PORT, with an IPv6 address in brackets. Raises UsageError."""
    address, colon, port = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        address = ""
    if not colon or not address or not port:
        raise UsageError("use --page-server ADDRESS:PORT to specify page server")
    number = _number("--page-server", port)
    if not 0 < number <= _PORT_MAX:
        raise UsageError(f"--page-server: invalid port number {port}")
    return address, number


def _number(flag: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(1 << 31)):
        raise UsageError(f"invalid value {text!r} of {flag}: a number")
    return int(text)
