# SPDX-License-Identifier: Apache-2.0
"""`containerd-shim-orlop-v1`: what containerd runs to have a shim, and to clean up after one.

`start` prints the address of a shim, made now or, for a container of a group, before; `delete`
removes what a dead shim left; `-info` and `-v` tell what this is; `planner` does these for others
(shim.planner); without an action it is the shim, serving the listening socket on descriptor 3, or
with `-template` a process that forks shims (shim.template). containerd reads stdout and stderr of
`start` together as the address: not a word more may be written.

containerd docs/runtime-v2.md and core/runtime/v2/shim.go, 1.6 to 2.4.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_VALUES = (
    "namespace", "address", "publish-binary", "id", "bundle", "socket",
    "debug-socket", "socket-dir", "template",
)  # fmt: skip
_SWITCHES = ("debug", "info", "v", "version", "h", "help")
_LISTENER = 3


class Flags:
    """The words of the command line, as Go's package flag reads them."""

    __slots__ = ("action", "given", "words")

    def __init__(self, words: Sequence[str]) -> None:
        """Raises ValueError."""
        self.words = list(words)
        self.given: dict[str, str] = {}
        self.action = ""
        left = list(words)
        while left:
            word = left.pop(0)
            if not word.startswith("-") or word == "-":
                self.action = word
                break
            name, equals, value = word.lstrip("-").partition("=")
            if name in _VALUES:
                if not equals:
                    if not left:
                        raise ValueError(f"flag needs an argument: -{name}")
                    value = left.pop(0)
            elif name in _SWITCHES:
                value = value or "true"
            else:
                raise ValueError(f"flag provided but not defined: -{name}")
            self.given[name] = value

    def text(self, name: str) -> str:
        """A flag's value, or ""."""
        return self.given.get(name, "")

    def flag(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.given.get(name, "") == "true"


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    from shim.ttrpc import RpcError
    from spec.errors import OrlopError

    try:
        flags = Flags(sys.argv[1:] if words is None else words)
        if flags.flag("v") or flags.flag("version"):
            return _print_version()
        if flags.flag("info"):
            return _print_info()
        if flags.action == "start":
            from shim.launch import start

            return start(flags)
        if flags.action == "delete":
            from shim.cleanup import delete

            return delete(flags)
        if flags.action == "planner":
            from shim.planner import run as run_planner

            return run_planner(flags, main)
        if flags.text("template"):
            from shim.template import run

            return run()
        return _serve(flags)
    except (OrlopError, OSError, RpcError, ValueError) as error:
        sys.stderr.write(f"containerd-shim-orlop-v1: {error}\n")
        return 1


def _print_version() -> int:
    from runtime.version import COMMIT, VERSION

    sys.stdout.write(f"containerd-shim-orlop-v1:\n  Version:  {VERSION}\n  Revision: {COMMIT}\n")
    return 0


def _print_info() -> int:
    """RuntimeInfo, with the features that containerd 2.x looks at (idmap)."""
    from runtime.features import features
    from runtime.version import COMMIT, VERSION
    from shim.launch import given
    from shim.messages import RUNTIME_INFO
    from spec import jsontext

    given()  # options; what we can do does not depend on them
    described = jsontext.dumps(features()).encode()
    url = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
    info = {
        "name": "io.containerd.orlop.v1",
        "version": {"version": VERSION, "revision": COMMIT},
        "features": {"type_url": url, "value": described},
    }
    os.write(1, RUNTIME_INFO.encode(info))
    return 0


def _serve(flags: Flags) -> int:
    """Be the shim; whoever executes it so listens on descriptor 3 beforehand."""
    import _socket

    from shim.launch import serve

    if flags.action:
        raise ValueError(f"unknown action {flags.action!r}: start, delete or planner")
    namespace = flags.text("namespace")
    if not namespace:
        raise ValueError("-namespace is missing")
    address = flags.text("socket").removeprefix("unix://")
    serve(_socket.socket(fileno=_LISTENER), namespace, os.environ.get("TTRPC_ADDRESS", ""), address)
    return 0
