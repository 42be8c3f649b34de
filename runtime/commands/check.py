# SPDX-License-Identifier: Apache-2.0
"""Say whether a bundle can run on this host, before anything is run.

Everything that keeps it from running is named, each with the property of config.json that asks for
it: the configuration by its schema and rules, then what of the kernel, the caller's rights, the
host's files and the root file system it needs. Nothing is changed. What is accepted although the
standard is against it is a warning; with --strict it counts.
"""

from __future__ import annotations

import os
import sys

from runtime import options
from runtime.check.bundle import Check
from runtime.options import Flag
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.check.problem import Problem
    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "check [flags] [BUNDLE]"
FLAGS = (
    Flag(
        "format",
        "text (the default) or json",
        options.VALUE,
        short="f",
        metavar="FORMAT",
        choices=("text", "json"),
    ),
    Flag("id", "the container's id (default: the bundle's name)", options.VALUE, metavar="ID"),
    Flag("strict", "what the standard is against is a problem, too"),
)
ARGUMENTS = (0, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Check, and print what was found."""
    path = os.path.abspath(arguments[0] if arguments else ".")
    container_id = options.text("id") or os.path.basename(path) or "container"
    check = Check(container_id, systemd=call.systemd_cgroup, allowed=call.allowed_annotations)
    check.run(path)
    able = not check.problems and not (options.flag("strict") and check.warnings)
    text = as_json(check, able=able) if options.text("format") == "json" else as_text(check, path)
    sys.stdout.write(text)
    return 0 if able else 1


def as_text(check: Check, path: str) -> str:
    """A line for each problem and warning, and the verdict where there is none."""
    lines = [f"{problem}\n" for problem in check.problems]
    lines += [f"warning: {warning}\n" for warning in check.warnings]
    if not check.problems:
        lines.append(f"nothing keeps {path} from running here\n")
    return "".join(lines)


def as_json(check: Check, *, able: bool) -> str:
    """The same for machines."""
    shown = {
        "ok": able,
        "problems": [_members(problem) for problem in check.problems],
        "warnings": [_members(warning) for warning in check.warnings],
    }
    return jsontext.dumps(shown, indent=2) + "\n"


def _members(problem: Problem) -> dict[str, str]:
    members = {"pointer": problem.pointer, "message": problem.text}
    return {**members, "hint": problem.hint} if problem.hint else members
