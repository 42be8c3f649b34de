# SPDX-License-Identifier: Apache-2.0
"""create: a container whose process waits for start (runtime.md#create).

State is written before the first side effect, and every failure is undone.
"""

from __future__ import annotations

import errno
import os

from runtime import (
    hooks,
    host,
    idmap,
    pid_file,
    prepare,
    processes,
    state,
    stdio,
    steps,
    sysctl,
)
from runtime.compile import begin, complete
from runtime.container import exists
from runtime.descriptors import Table
from runtime.errors import AlreadyExists, PlanFailed
from runtime.launch import Handlers, InitDied, Launch
from runtime.state import Directory, Record
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from native.plan import Plan
    from runtime.cgroups.cgroup import Cgroup
    from runtime.context import Context
    from runtime.intelrdt import Group
    from runtime.seccomp import Filter
    from spec.bundle import Bundle
    from spec.types import Spec, Status


class CreateOptions:
    """What a create may be told beside the bundle.

    console: called with the terminal's master, which it owns; None: the spec must not ask for one.
    console_required: the spec must ask for one, because somebody waits for it.
    stdio: descriptors of the process. preserved: further ones, its 3 and on; the first listen_fds
    of them are sockets for it (sd_listen_fds(3)). pid_file: where its pid is written. pidfd: called
    with a pidfd of it, which it owns. no_pivot: the root is moved instead. systemd_cgroup: the
    driver. rootless: whether permission for cgroups may lack; None: as the caller's rights are.
    allowed_annotations: what annotations that are potentially unsafe must begin with to count.
    notify: the container gets a socket to say that it is ready (runtime.notify_socket).
    on_plan: called with the plan before it runs. on_warning: called with what does not stop the
    operation.
    """

    __slots__ = (
        "allowed_annotations",
        "console",
        "console_required",
        "listen_fds",
        "new_keyring",
        "no_pivot",
        "notify",
        "on_plan",
        "on_warning",
        "pid_file",
        "pidfd",
        "preserved",
        "rootless",
        "stdio",
        "systemd_cgroup",
    )

    def __init__(self) -> None:
        self.allowed_annotations: Sequence[str] = ()
        self.console: Callable[[int], None] | None = None
        self.console_required = False
        self.listen_fds = 0
        self.new_keyring = True
        self.no_pivot = False
        self.notify = False
        self.on_plan: Callable[[Plan], None] | None = None
        self.on_warning: Callable[[str], None] | None = None
        self.pid_file = ""
        self.pidfd: Callable[[int], None] | None = None
        self.preserved: Sequence[int] = ()
        self.rootless: bool | None = None
        self.stdio: Sequence[int] = (0, 1, 2)
        self.systemd_cgroup = False


def create(root: str, container_id: str, bundle_path: str, options: CreateOptions) -> int:
    """Create a container; its process waits for `start`. Returns the process's pid.

    Raises OrlopError; then nothing of the container is left.
    """
    state.check_id(container_id)
    if exists(root, container_id):
        raise AlreadyExists(container_id)
    steps.begin("load and check the bundle")
    bundle = prepare.load_bundle(bundle_path)
    check_console(bundle.spec, options)
    prepare.check_labels(bundle.spec["process"], bundle.spec.get("linux", {}))
    steps.begin("look at the host")
    facts = host.gather()
    record = new_record(container_id, bundle, options)
    state.make_root(root)
    steps.begin("seccomp filter")
    filter_ = prepare.seccomp_filter(bundle.spec)
    steps.begin("find the cgroup")
    cgroup = prepare.resolve_cgroup(
        bundle.spec,
        container_id,
        facts,
        systemd=options.systemd_cgroup,
        rootless=options.rootless,
        allowed=options.allowed_annotations,
    )
    cgroup.verify_unused()
    record.cgroup = cgroup.saved()
    sysctl.check_joined(bundle.spec)
    resctrl = prepare.resolve_resctrl(bundle.spec, container_id)
    record.resctrl = resctrl.saved() if resctrl is not None else None
    steps.begin("write the state")
    directory = Directory.reserve(root, record)
    try:
        creation = _Creation(bundle, record, directory, cgroup, facts, options)
        creation.resctrl = resctrl
        return creation.run(filter_)
    except BaseException:
        for warning in undo(directory, record, cgroup, resctrl):
            if options.on_warning is not None:
                options.on_warning(warning)
        raise
    finally:
        directory.close()


def new_record(container_id: str, bundle: Bundle, options: CreateOptions) -> Record:
    """The record of a container that this process is about to make."""
    record = Record(container_id, bundle.path, bundle.rootfs)
    record.creator = state.creator()
    record.annotations = dict(bundle.spec.get("annotations", {}))
    record.hooks = bundle.spec.get("hooks", {})
    record.new_keyring = options.new_keyring
    record.shares_pids = not any(
        namespace["type"] == "pid" and not namespace.get("path")
        for namespace in bundle.spec.get("linux", {}).get("namespaces", ())
    )
    if not bundle.spec["process"].get("terminal"):
        record.stdio = [_name(fd) for fd in options.stdio]
    return record


def _name(fd: int) -> str:
    """What a descriptor is of ("pipe:[INODE]"), "" where it is not open."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def check_console(spec: Spec, options: CreateOptions) -> None:
    """Raise OrlopError unless there is a console exactly where the process has a terminal."""
    terminal = spec["process"].get("terminal", False)
    where = "/process/terminal"
    if terminal and options.console is None:
        raise OrlopError("a terminal needs --console-socket", pointer=where)
    if not terminal and options.console is not None and options.console_required:
        raise OrlopError(
            "a console socket is for a terminal, which is not asked for", pointer=where
        )


def undo(directory: Directory, record: Record, cgroup: Cgroup, resctrl: Group | None) -> list[str]:
    """Remove what a failed create made. What can't be removed stays, for `delete --force`.

    Returns warnings (a poststop hook that failed).
    """
    try:
        cgroup.kill()
        cgroup.remove()
        if resctrl is not None:
            resctrl.undo()
    except (OrlopError, OSError):
        record.creator = None
        directory.write(record)
        raise
    directory.remove()
    return hooks.run_poststop(record)


class _Creation:
    """One create, from the cgroup to status "created"."""

    def __init__(
        self,
        bundle: Bundle,
        record: Record,
        directory: Directory,
        cgroup: Cgroup,
        facts: host.Facts,
        options: CreateOptions,
    ) -> None:
        self.bundle = bundle
        self.spec = bundle.spec
        self.record = record
        self.directory = directory
        self.cgroup = cgroup
        self.facts = facts
        self.options = options
        self.filter: Filter | None = None
        self.resctrl: Group | None = None

    def run(self, filter_: Filter | None) -> int:
        """Make it all; the caller undoes what this leaves on failure."""
        self.filter = filter_
        if self.options.notify:
            from runtime import notify_socket

            self.spec = notify_socket.prepare(self.spec, self.directory)
        steps.begin("make the cgroup")
        self.cgroup.create(self.spec.get("linux", {}).get("resources", {}))
        if not self.cgroup.needs_init:
            self._cgroup_made()
        if self.resctrl is not None:
            self.resctrl.create(self.spec["linux"]["intelRdt"])
        request = prepare.request_for(self.record.id, self.bundle.rootfs, self.cgroup, self.resctrl)
        request.bundle = self.bundle.path
        request.new_keyring = self.options.new_keyring
        request.no_pivot = self.options.no_pivot
        request.listen_fds = self.options.listen_fds
        context = begin(self.spec, self.facts, request, filter_)
        launch = self._launch(context)  # makes namespaces while the rest is compiled
        table = Table()
        try:
            steps.begin("compile the plan")
            made = complete(context)
            if self.options.on_plan is not None:
                self.options.on_plan(made)
            steps.begin("open descriptors")
            table.open(made, self.directory.fd, self.cgroup, cloned=request.clone_into_cgroup)
            self._start(launch, table.numbers)
        except BaseException:
            launch.abandon()
            raise
        finally:
            table.close()
        if launch.pidfd >= 0:
            os.close(launch.pidfd)
        return launch.pid

    def _launch(self, context: Context) -> Launch:
        fd = self.cgroup.clone_fd() if context.request.clone_into_cgroup else None
        try:
            return Launch(
                context.plan,
                stdio=self.options.stdio,
                preserved=self.options.preserved,
                cgroup=-1 if fd is None else fd,
            )
        except PlanFailed as error:
            self._judge(error)
            raise
        finally:
            if fd is not None:
                os.close(fd)

    def _start(self, launch: Launch, opened: dict[str, int]) -> None:
        try:
            launch.start(self._handlers(), opened)
        except (InitDied, PlanFailed) as error:
            self._judge(error)
            raise

    def _judge(self, error: InitDied | PlanFailed) -> None:
        """Raise OrlopError where the memory limit is the reason."""
        if self._lacked_memory(error):
            where = "/linux/resources/memory/limit"
            text = "out of memory before the container was ready"
            raise OrlopError(text, pointer=where, hint="raise the limit") from error

    def _adopt(self, pid: int) -> None:
        self.cgroup.adopt(pid)
        self._cgroup_made()

    def _cgroup_made(self) -> None:
        if self.cgroup.mode == "v2":
            from runtime.cgroups import delegation

            delegation.give(self.cgroup, self.spec, self.facts)
        self.record.cgroup = self.cgroup.saved()  # which of it was made; written when it is ready

    def _lacked_memory(self, error: InitDied | PlanFailed) -> bool:
        """Whether the init ended because the memory limit is too low for it.

        On cgroup v2 execve(2) itself may not have enough, and says E2BIG: the OOM killer spares
        who is in the middle of a vfork(2), so that nothing is counted.
        """
        if isinstance(error, InitDied):
            return self.cgroup.oom_kills() > 0
        resources = self.spec.get("linux", {}).get("resources", {})
        limited = resources.get("memory", {}).get("limit", 0) > 0
        limited = limited or "memory.max" in resources.get("unified", {})
        return limited and error.step == "execveat" and error.errno in (errno.E2BIG, errno.ENOMEM)

    def _handlers(self) -> Handlers:
        handlers = Handlers()
        handlers.scope = self._adopt
        handlers.idmap = self._write_maps
        handlers.network = self._move_devices
        handlers.hooks = self._run_hooks
        handlers.prepare = lambda pid: prepare.set_outside(pid, self.spec["process"])
        handlers.state = self._state_inside
        handlers.console = self.options.console
        handlers.notify = self._send_notify
        handlers.ready = self._ready
        return handlers

    def _write_maps(self, pid: int) -> None:
        linux, process = self.spec.get("linux", {}), self.spec["process"]
        idmap.write(pid, linux, self.facts)
        if self.facts.privileged and not process.get("terminal"):
            stdio.give(self.options.stdio, process, linux)

    def _move_devices(self, pid: int) -> None:
        from runtime import netdevices

        netdevices.move(self.spec["linux"]["netDevices"], f"/proc/{pid}/ns/net")

    def _state_text(self, pid: int) -> str:
        self.record.init = processes.Identity.of(pid)
        return jsontext.dumps(state.oci_state(self.record, "creating"))

    def _state_inside(self, pid: int, status: Status) -> int:
        """For hooks in the container's namespaces: its pid as they see it (runtime.md#state)."""
        shown = state.oci_state(self.record, status)
        shown["pid"] = processes.pid_inside(pid)
        return hooks.state_file(jsontext.dumps(shown))

    def _run_hooks(self, pid: int) -> None:
        text = self._state_text(pid)
        asked, bundle = self.record.hooks, self.record.bundle
        hooks.run("prestart", asked.get("prestart", []), text, bundle)
        hooks.run("createRuntime", asked.get("createRuntime", []), text, bundle)

    def _send_notify(self, pid: int, fd: int) -> None:
        from runtime import seccomp_agent

        assert self.filter is not None  # noqa: S101 - for the type checker: it asked to notify
        self.record.init = processes.Identity.of(pid)
        seccomp_agent.send(self.filter, fd, pid, state.oci_state(self.record, "creating"))

    def _ready(self, pid: int) -> None:
        """Status "created" is on disk before the init may go on without us."""
        self.record.init = processes.Identity.of(pid)
        self.record.creator = None
        if self.options.pidfd is not None:
            self.options.pidfd(os.pidfd_open(pid))  # our child, not waited for
        if self.options.pid_file:
            pid_file.write(self.options.pid_file, pid)
        self.directory.write(self.record)
