# SPDX-License-Identifier: Apache-2.0
"""exec: a further process in a running container.

It joins the init's namespaces by pidfd (setns(2), Linux 5.8), so that no path of a container is
looked at, and forks once inside: the child is in the pid namespace, and the caller's child too.
"""

from __future__ import annotations

import errno
import os

from native import plan, syscalls
from native.plan import Op
from runtime import host, namespaces, pid_file, process, state, stdio, steps
from runtime.container import Container, refusal
from runtime.context import Context, Request
from runtime.descriptors import open_tasks
from runtime.errors import PlanFailed, UsageError
from runtime.exec_cgroup import Place
from runtime.launch import Handlers, Launch
from runtime.namespaces import FILES, FLAGS
from runtime.prepare import check_labels, seccomp_filter, set_outside
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from native.plan import Plan
    from runtime.cgroups.cgroup import Cgroup, Sub
    from runtime.exec_process import Wanted
    from runtime.seccomp import Filter
    from spec.types import CPUAffinity, Process, Spec

lib = plan.lib
_ENDING = 1000  # milliseconds that an init which loses its namespaces has to be gone


class ExecOptions:
    """What an exec may be told beside the process, as CreateOptions.

    sub_cgroup: below the container's (runtime.cgroups.cgroup). ignore_paused: also into a frozen
    container. pidfd: gets one of the process, and owns it, before the program runs: who is killed
    before that leaves no process behind.
    """

    __slots__ = (
        "console",
        "ignore_paused",
        "pid_file",
        "pidfd",
        "preserved",
        "stdio",
        "sub_cgroup",
    )

    def __init__(self) -> None:
        self.console: Callable[[int], None] | None = None
        self.ignore_paused = False
        self.pid_file = ""
        self.pidfd: Callable[[int], None] | None = None
        self.preserved: Sequence[int] = ()
        self.stdio: Sequence[int] = (0, 1, 2)
        self.sub_cgroup: Sub = ""


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
    for directory in context.request.resctrl:
        context.add(Op(lib.OP_CGROUP, f"join {directory}", directory, fd=f"resctrl/{directory}"))
    affinity = context.process.get("execCPUAffinity", {})
    _affinity(context, affinity, "initial")
    if context.request.scope:
        namespaces.join_scope(context)
    for name in cgroups:
        context.add(Op(lib.OP_CGROUP, f"join {name}", fd=f"cgroup/{name}"))
    if affinity.get("initial") or affinity.get("final"):
        _affinity(context, affinity, "final")
    else:
        process.affinity(context)
    if joined:
        flags = sum(FLAGS[name] for name in joined)
        text = "those of the container's init: " + ", ".join(joined)
        context.add(Op(lib.OP_SETNS, text, numbers=[flags], fd="init"))
    if "pid" in joined:
        context.add(Op(lib.OP_FORK, "into the pid namespace"))
        context.plan.stages = 2
    if context.request.is_awaited:
        context.add(Op(lib.OP_SYNC, "a pidfd handed on", numbers=[lib.SYNC_KNOWN]))
    if "user" in joined:
        flags = 0 if context.facts.privileged else lib.FLAG_NO_SETGROUPS
        context.add(Op(lib.OP_BECOME_ROOT, "of the user namespace", flags=flags))
    process.session(context, joined=True)
    process.terminal(context, bind=False)
    process.home(context)
    process.resource_limits(context)
    process.no_new_privileges(context)
    process.labels_and_scheduling(context)
    process.privileges(context)
    process.lookup(context)
    process.seccomp(context)
    process.drop_setup_capability(context)
    process.execute(context)
    return context.plan


def _affinity(context: Context, affinity: CPUAffinity, when: Literal["initial", "final"]) -> None:
    if affinity.get(when):
        from runtime import scheduling

        scheduling.affinity(context, when)


def execute(root: str, container_id: str, wanted: Wanted, options: ExecOptions) -> int:
    """Run a process in a container; returns its pid once its execve succeeded.

    The process is the caller's child, to be waited for. Raises NotFound, WrongStatus, PlanFailed.
    """
    if wanted.terminal and options.console is None:
        raise UsageError(
            "a terminal needs --console-socket, or an exec that stays in the foreground"
        )
    steps.begin("find the container")
    container = Container.open(root, container_id)
    try:
        if not (options.ignore_paused and container.status() == "paused"):
            container.require("exec")
        pidfd = container.pidfd()
        try:
            return _launch(container, pidfd, wanted, options)
        except (OrlopError, OSError) as error:
            if not _has_ended(container, pidfd, error):
                raise
            raise refusal("exec", container_id, "stopped") from error  # meanwhile
        finally:
            os.close(pidfd)
    finally:
        container.close()


def _has_ended(container: Container, pidfd: int, error: OrlopError | OSError) -> bool:
    """Whether it failed because the container has ended meanwhile.

    An init that ends has no namespaces any more before it is seen to have ended (setns(2), ESRCH).
    """
    if getattr(error, "errno", 0) == errno.ESRCH:
        import select

        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(_ENDING)
    return container.status() == "stopped"


def container_spec(container: Container) -> Spec:
    """The bundle's config.json as it is now, as runc reads it at each exec."""
    from spec import bundle

    return bundle.load_for_exec(container.record.bundle)


def _launch(container: Container, pidfd: int, asked: Wanted, options: ExecOptions) -> int:
    init = container.record.init
    assert init is not None  # noqa: S101 - for the type checker: it has a pidfd
    steps.begin("load and check the bundle")
    spec = container_spec(container)
    wanted = asked.complete(spec["process"])
    joined = joined_namespaces(init.pid)
    check_labels(wanted, {})
    if "user" in joined and not wanted.get("terminal"):
        stdio.give(options.stdio, wanted, spec.get("linux", {}))
    steps.begin("seccomp filter")
    filter_ = seccomp_filter(spec)
    # clone3 would begin in the cgroup: there is no "before" for the initial affinity then.
    late = bool(wanted.get("execCPUAffinity", {}).get("initial"))
    cgroup = container.cgroup()
    attaches = cgroup is not None and cgroup.attaches
    if attaches:  # a scope takes processes from its manager only, when they are there
        place = Place(None, "", init.pid)
    else:
        place = Place(cgroup, options.sub_cgroup, init.pid, late=late)
    opened: dict[str, int] = {}
    launch = None
    try:
        context = _context(spec, wanted, joined, filter_, _request(container))
        launch = _begin(context.plan, place, options)
        steps.begin("compile the plan")
        context.request.resctrl = _open_resctrl(container, opened)
        context.request.scope = attaches
        context.request.is_awaited = options.pidfd is not None
        if wanted.get("apparmorProfile") or wanted.get("selinuxLabel"):
            opened["proc"] = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        made = compile_exec(context, joined, list(place.join_fds))
        handlers = _handlers(options, wanted, filter_, container)
        if cgroup is not None and attaches:
            handlers.scope = _attaching(cgroup, options.sub_cgroup)
        joins = {f"cgroup/{name}": fd for name, fd in place.join_fds.items()}
        launch = _finish(launch, made, handlers, {"init": pidfd, **joins, **opened}, place, options)
    except BaseException:
        if launch is not None:
            launch.abandon()
        raise
    finally:
        place.close()
        for fd in opened.values():
            os.close(fd)
    try:
        if options.pid_file:
            pid_file.write(options.pid_file, launch.pid)
    except BaseException:
        launch.abandon()
        raise
    os.close(launch.pidfd)
    return launch.pid


def _request(container: Container) -> Request:
    record = container.record
    return Request(record.id, "", new_keyring=record.new_keyring)


def _open_resctrl(container: Container, opened: dict[str, int]) -> list[str]:
    """The directories of the container's resctrl group; their `tasks` are opened by name."""
    group = container.resctrl()
    directories = group.joined() if group is not None else []
    for directory in directories:
        opened[f"resctrl/{directory}"] = open_tasks(directory)
    return directories


def _begin(made: Plan, place: Place, options: ExecOptions) -> Launch:
    """Have the process started in its place, or where the container's init is."""
    while True:
        try:
            return Launch(
                made,
                stdio=options.stdio,
                preserved=options.preserved,
                cgroup=place.clone_fd,
                spawn_flags=syscalls.SPAWN_NO_VFORK if options.ignore_paused else 0,
            )
        except PlanFailed as error:
            if place.followed or not place.follow_init(error):
                raise


def _finish(
    launch: Launch,
    made: Plan,
    handlers: Handlers,
    opened: dict[str, int],
    place: Place,
    options: ExecOptions,
) -> Launch:
    """Give it its plan. Where it could not be started, as is known only now perhaps: another."""
    try:
        launch.start(handlers, opened)
    except PlanFailed as error:
        if place.followed or not place.follow_init(error):
            raise
        launch = _begin(made, place, options)
        launch.start(handlers, opened)
    return launch


def _attaching(cgroup: Cgroup, sub: Sub) -> Callable[[int], None]:
    return lambda pid: cgroup.add_process(pid, sub)


def _context(
    spec: Spec,
    wanted: Process,
    joined: Sequence[str],
    filter_: Filter | None,
    request: Request,
) -> Context:
    """The spec with this process in place of its own, in namespaces that are all joined."""
    linux = dict(spec.get("linux", {}))
    linux["namespaces"] = [{"type": name, "path": "(the init's)"} for name in joined]
    changed = {**spec, "process": wanted, "linux": linux}
    return Context(changed, host.gather(), request, filter_)  # type: ignore[arg-type]


def _handlers(
    options: ExecOptions, wanted: Process, filter_: Filter | None, container: Container
) -> Handlers:
    handlers = Handlers()
    handlers.console = options.console
    handlers.prepare = lambda pid: set_outside(pid, wanted)
    hand_on = options.pidfd
    if hand_on is not None:
        # our child, not waited for: the pid is its own
        handlers.known = lambda pid: hand_on(os.pidfd_open(pid))
    if filter_ is not None and filter_.notify:
        from runtime import seccomp_agent

        oci = state.oci_state(container.record, "running")
        handlers.notify = lambda pid, fd: seccomp_agent.send(filter_, fd, pid, oci)
    return handlers
