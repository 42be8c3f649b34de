# SPDX-License-Identifier: Apache-2.0
"""Write config.json with a configuration to start from: a shell in the folder rootfs."""

from __future__ import annotations

import os

from runtime import options
from runtime.options import Flag
from spec import jsontext
from spec.errors import OrlopError
from spec.template import default_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "spec [flags]"
FLAGS = (
    Flag("bundle", "bundle directory (default: .)", options.VALUE, short="b", metavar="DIR"),
    Flag("rootless", "for an unprivileged user"),
)
ARGUMENTS = (0, 0)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001 - none
    """Write the file; one that is there stays as it is."""
    path = os.path.join(options.text("bundle") or ".", "config.json")
    rootless = options.flag("rootless")
    template = default_spec(rootless=rootless, uid=os.geteuid(), gid=os.getegid())
    text = jsontext.dumps(template, indent=2) + "\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise OrlopError(f"{path} is there already", hint="remove it first") from None
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
    return 0
