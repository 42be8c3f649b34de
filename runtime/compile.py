# SPDX-License-Identifier: Apache-2.0
"""From a checked spec to a plan: a pure function of the spec, the host's facts and the request.

The table shows the whole of a container's start, in order. No stage hides another.
"""

from __future__ import annotations

from native import plan
from native.plan import Op
from runtime import devices, hooks, mounting, mounts, namespaces, process, sysctl
from runtime.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from native.plan import Plan
    from runtime.context import Request
    from runtime.host import Facts
    from runtime.seccomp import Filter
    from spec.types import Spec

lib = plan.lib


def _ready(context: Context) -> None:
    context.add(Op(lib.OP_READY, "status created"))
    context.add(Op(lib.OP_WAIT_START, "until `start`", fd="listener"))


def _seccomp_notify(context: Context) -> None:
    """In create, because someone must hand the descriptor on; it cannot wait for `start`."""
    if context.filter is not None and context.filter.notify:
        process.seccomp(context)


def _seccomp(context: Context) -> None:
    if context.filter is not None and not context.filter.notify:
        process.seccomp(context)


#: Marked are stages that set up a mount namespace of the container's own.
STAGES: tuple[tuple[Callable[[Context], None], bool], ...] = (
    (process.oom_score, False),
    (namespaces.enter, False),
    (process.affinity, False),
    (process.session, False),
    (namespaces.devices, False),
    (namespaces.configure, False),
    (mounts.prepare_rootfs, True),
    (mounting.operations, True),
    (devices.operations, True),
    (process.terminal, True),
    (mounts.working_directory, True),
    (hooks.of_runtime, False),
    (hooks.of_container, False),
    (sysctl.operations, False),
    (mounts.finish, True),
    (mounts.hide, True),
    (mounts.enter_rootfs, False),
    (process.home, False),
    (process.resource_limits, False),
    (process.no_new_privileges, False),
    (process.labels_and_scheduling, False),
    (process.privileges, False),
    (process.lookup, False),
    (hooks.state_at_start, False),
    (_seccomp_notify, False),
    (_ready, False),
    (hooks.at_start, False),
    (_seccomp, False),
    (process.drop_setup_capability, False),
    (process.execute, False),
)


def begin(
    spec: Spec, facts: Facts, request: Request, seccomp_filter: Filter | None = None
) -> Context:
    """A plan with what the init is cloned with, and no operation yet."""
    context = Context(spec, facts, request, seccomp_filter)
    namespaces.clone(context)
    return context


def complete(context: Context) -> Plan:
    """The same with all operations. Raises Unsupported: the spec asks for what is not there."""
    own_mounts = context.is_new("mount")
    for stage, needs_mounts in STAGES:
        if own_mounts or not needs_mounts:
            stage(context)
    return context.plan


def compile_container(
    spec: Spec, facts: Facts, request: Request, seccomp_filter: Filter | None = None
) -> Plan:
    """The plan of a container. Raises Unsupported."""
    return complete(begin(spec, facts, request, seccomp_filter))
