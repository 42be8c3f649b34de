# SPDX-License-Identifier: Apache-2.0
"""Print the plan of a bundle's container: every operation, in order, with where it comes from.

Nothing is made or changed, and no privilege is needed.
"""

from __future__ import annotations

import os
import sys

from runtime import host, options, prepare
from runtime.compile import compile_container
from runtime.options import Flag
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from native.plan import Plan
    from runtime.cli import Globals
    from runtime.options import Options

USAGE = "plan [flags] [BUNDLE]"
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
)
ARGUMENTS = (0, 1)


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:
    """Compile and print."""
    form = options.text("format", "text")
    bundle = prepare.load_bundle(os.path.abspath(arguments[0] if arguments else "."))
    container_id = options.text("id") or os.path.basename(bundle.path) or "container"
    facts = host.gather()
    cgroup = prepare.resolve_cgroup(
        bundle.spec,
        container_id,
        facts,
        systemd=call.systemd_cgroup,
        rootless=call.rootless,
        allowed=call.allowed_annotations,
    )
    resctrl = prepare.resolve_resctrl(bundle.spec, container_id)
    request = prepare.request_for(container_id, bundle.rootfs, cgroup, resctrl)
    request.bundle = bundle.path
    filter_ = prepare.seccomp_filter(bundle.spec, cached=False)
    plan = compile_container(bundle.spec, facts, request, filter_)
    sys.stdout.write(as_json(plan) if form == "json" else as_text(plan))
    return 0


def as_text(plan: Plan) -> str:
    """One line an operation: number, what it does, and the pointer that asked for it."""
    lines = [f"      clone{_clone_text(plan)}"]
    for number, op in enumerate(plan.ops, 1):
        line = f"{number:4d}  {op.describe()}"
        lines.append(f"{line:<78}  {op.pointer}".rstrip())
    return "\n".join(lines) + "\n"


def _clone_text(plan: Plan) -> str:
    from runtime.namespaces import FLAGS as NAMESPACES

    names = [name for name, flag in NAMESPACES.items() if plan.clone_flags & flag]
    return " new: " + ", ".join(names) if names else ""


def as_json(plan: Plan) -> str:
    """The same for machines. Values of environment variables are in neither."""
    from runtime.namespaces import FLAGS as NAMESPACES

    shown = {
        "clone": [name for name, flag in NAMESPACES.items() if plan.clone_flags & flag],
        "operations": [
            {"operation": op.name, "text": op.text, "pointer": op.pointer} for op in plan.ops
        ],
    }
    return jsontext.dumps(shown, indent=2) + "\n"
