# SPDX-License-Identifier: Apache-2.0
"""exec: a further process in a running container.

It joins the init's namespaces by pidfd (setns(2), Linux 5.8), so that no path of a container is
looked at, and forks once inside: the child is in the pid namespace, and the caller's child too.
"""

from __future__ import annotations

import os

from native import plan, syscalls
from native.plan import Op
from runtime import devices, host, namespaces, pid_file, process, rlimits, state, stdio
from runtime.container import Container
from runtime.context import Context, Request
from runtime.errors import UsageError
from runtime.launch import Handlers, Launch
from runtime.namespaces import FILES, FLAGS
from runtime.prepare import seccomp_filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from native.plan import Plan
    from runtime.cgroups.cgroup import Cgroup
    from runtime.seccomp import Filter
    from spec.types import Process, Spec

lib = plan.lib


class ExecOptions:
    """What an exec may be told beside the process, as CreateOptions.

    sub_cgroup: below the container's. ignore_paused: also into a frozen container.
    """

    __slots__ = (
        "console",
        "ignore_paused",
        "listen_fds",
        "pid_file",
        "preserved",
        "stdio",
        "sub_cgroup",
    )

    def __init__(self) -> None:
        self.console: Callable[[int], None] | None = None
        self.ignore_paused = False
        self.listen_fds = 0
        self.pid_file = ""
        self.preserved: Sequence[int] = ()
        self.stdio: Sequence[int] = (0, 1, 2)
        self.sub_cgroup = ""


def joined_namespaces(pid: int) -> list[str]:
    """Types of namespaces that the process has and we do not: joining one's own is refused."""
    found = []
    for name, file in FILES.items():
        try:
            theirs, ours = os.stat(f"/proc/{pid}/ns/{file}"), os.stat(f"/proc/self/ns/{file}")
        except FileNotFoundError:
            continue  # a kernel without this kind
        if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino):
            found.append(name)
    return found


def compile_exec(context: Context, joined: Sequence[str], cgroups: Sequence[str]) -> Plan:
    """The plan of an exec: a container's without what makes the container."""
    process.oom_score(context)
    context.add(Op(lib.OP_NON_DUMPABLE, ""))
    if context.request.scope:
        namespaces.join_scope(context)
    for name in cgroups:
        context.add(Op(lib.OP_CGROUP, f"join {name}", fd=f"cgroup/{name}"))
    if joined:
        flags = sum(FLAGS[name] for name in joined)
        text = "those of the container's init: " + ", ".join(joined)
        context.add(Op(lib.OP_SETNS, text, numbers=[flags], fd="init"))
    if "pid" in joined:
        context.add(Op(lib.OP_FORK, "into the pid namespace"))
        context.plan.stages = 2
    if "user" in joined:
        flags = 0 if context.facts.privileged else lib.FLAG_NO_SETGROUPS
        context.add(Op(lib.OP_BECOME_ROOT, "of the user namespace", flags=flags))
    context.add(Op(lib.OP_SETSID, ""))
    devices.console(context, bind=False)
    process.home(context)
    process.resource_limits(context)
    process.no_new_privileges(context)
    process.privileges(context)
    if context.filter is not None and context.filter.notify:
        process.seccomp(context)
    process.lookup(context)
    if context.filter is not None and not context.filter.notify:
        process.seccomp(context)
    process.execute(context)
    return context.plan


def execute(root: str, container_id: str, wanted: Process, options: ExecOptions) -> int:
    """Run a process in a container; returns its pid once its execve succeeded.

    The process is the caller's child, to be waited for. Raises NotFound, WrongStatus, PlanFailed.
    """
    if wanted.get("terminal") and options.console is None:
        raise UsageError(
            "a terminal needs --console-socket, or an exec that stays in the foreground"
        )
    container = Container.open(root, container_id)
    try:
        if not (options.ignore_paused and container.status() == "paused"):
            container.require("exec")
        pidfd = container.pidfd()
        try:
            return _launch(container, pidfd, wanted, options)
        finally:
            os.close(pidfd)
    finally:
        container.close()


def container_spec(container: Container) -> Spec:
    """The bundle's config.json as it is now, as runc reads it at each exec."""
    from spec import bundle

    return bundle.load(container.record.bundle).spec


def _launch(container: Container, pidfd: int, wanted: Process, options: ExecOptions) -> int:
    assert container.record.init is not None  # noqa: S101 - for the type checker: it has a pidfd
    spec = container_spec(container)
    joined = joined_namespaces(container.record.init.pid)
    if "user" in joined and not wanted.get("terminal"):
        stdio.give(options.stdio, wanted, spec.get("linux", {}))
    filter_ = seccomp_filter(spec)
    cgroup = container.cgroup()
    opened: dict[str, int] = {"init": pidfd}
    cgroup_fd = -1
    names: list[str] = []
    context = _context(spec, wanted, joined, filter_, options.listen_fds)
    handlers = _handlers(options, wanted, filter_, container)
    try:
        if cgroup is not None and cgroup.attaches:
            context.request.scope = True
            handlers.scope = _attaching(cgroup, options.sub_cgroup)
        elif cgroup is not None:
            cgroup_fd, names = _open_cgroup(cgroup, options.sub_cgroup, opened)
        made = compile_exec(context, joined, names)
        launch = Launch(
            made,
            handlers,
            opened,
            stdio=options.stdio,
            preserved=options.preserved,
            cgroup=cgroup_fd,
            spawn_flags=syscalls.SPAWN_NO_VFORK if options.ignore_paused else 0,
        )
        launch.start()
        os.close(launch.pidfd)
        if options.pid_file:
            pid_file.write(options.pid_file, launch.pid)
        return launch.pid
    finally:
        for name, fd in opened.items():
            if name != "init":
                os.close(fd)
        if cgroup_fd >= 0:
            os.close(cgroup_fd)


def _attaching(cgroup: Cgroup, sub: str) -> Callable[[int], None]:
    return lambda pid: cgroup.add_process(pid, sub)


def _open_cgroup(cgroup: Cgroup, sub: str, opened: dict[str, int]) -> tuple[int, list[str]]:
    fd = cgroup.clone_fd(sub)
    if fd is not None:
        return fd, []
    names = cgroup.hierarchies()
    for name, join_fd in zip(names, cgroup.join_fds(sub), strict=True):
        opened[f"cgroup/{name}"] = join_fd
    return -1, names


def _context(
    spec: Spec,
    wanted: Process,
    joined: Sequence[str],
    filter_: Filter | None,
    listen_fds: int,
) -> Context:
    """The spec with this process in place of its own, in namespaces that are all joined."""
    linux = dict(spec.get("linux", {}))
    linux["namespaces"] = [{"type": name, "path": "(the init's)"} for name in joined]
    changed = {**spec, "process": wanted, "linux": linux}
    return Context(changed, host.gather(), Request("", "", listen_fds=listen_fds), filter_)  # type: ignore[arg-type]


def _handlers(
    options: ExecOptions, wanted: Process, filter_: Filter | None, container: Container
) -> Handlers:
    handlers = Handlers()
    handlers.console = options.console
    handlers.prepare = lambda pid: rlimits.apply(pid, wanted)
    if filter_ is not None and filter_.notify:
        from runtime import seccomp_agent

        oci = state.oci_state(container.record, "running")
        handlers.notify = lambda pid, fd: seccomp_agent.send(filter_, fd, pid, oci)
    return handlers
