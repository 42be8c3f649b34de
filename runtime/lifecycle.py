# SPDX-License-Identifier: Apache-2.0
"""create, start, kill, delete: the operations of the standard (runtime.md#operations), as functions.

The command line calls them, and so does whoever embeds the runtime. State is written before the
first side effect, and every failure is undone. No lock is held while a hook runs.
"""

from __future__ import annotations

import _signal
import _socket
import errno
import os

from native import plan
from native.plan import MESSAGE, Message
from runtime import cgroups, explain, hooks, host, idmap, rlimits, state
from runtime.compile import compile_container
from runtime.container import Container, refusal
from runtime.context import Request
from runtime.errors import NotFound, NotRunning, WrongStatus
from runtime.launch import Handlers, InitDied, Launch
from runtime.state import Directory, Record
from spec import bundle as bundles
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.cgroups.cgroup import Cgroup
    from runtime.seccomp import Filter
    from spec.bundle import Bundle
    from spec.types import Spec

lib = plan.lib


class CreateOptions:
    """What a create may be told beside the bundle.

    console: called with the terminal's master, which it owns; None: the spec must not ask for one.
    stdio: descriptors of the process. preserve_fds: how many from 3 on it keeps. pid_file: where
    its pid is written. systemd_cgroup: the driver. on_plan: called with the plan before it runs.
    """

    __slots__ = (
        "console",
        "new_keyring",
        "on_plan",
        "pid_file",
        "preserve_fds",
        "stdio",
        "systemd_cgroup",
    )

    def __init__(self) -> None:
        self.console: Callable[[int], None] | None = None
        self.new_keyring = True
        self.on_plan: Callable[[plan.Plan], None] | None = None
        self.pid_file = ""
        self.preserve_fds = 0
        self.stdio: Sequence[int] = (0, 1, 2)
        self.systemd_cgroup = False


def load_bundle(path: str) -> Bundle:
    """A bundle that can be run: checked, with a root file system that is there."""
    bundle = bundles.load(path)
    if not os.path.isdir(bundle.rootfs):
        reason = "not a directory" if os.path.exists(bundle.rootfs) else "no such file or directory"
        raise OrlopError(f"root file system {bundle.rootfs}: {reason}", pointer="/root/path")
    return bundle


def seccomp_filter(spec: Spec, root: str) -> Filter | None:
    """The compiled filter of the spec, None without a profile."""
    profile = spec.get("linux", {}).get("seccomp")
    if not profile:
        return None
    from runtime.seccomp import compile_filter

    return compile_filter(profile, os.path.join(root, "~seccomp"))


def resolve_cgroup(
    spec: Spec, container_id: str, facts: host.Facts, *, systemd: bool = False
) -> Cgroup:
    """The cgroup that the spec asks for; nothing is made."""
    return cgroups.resolve(
        spec.get("linux", {}).get("cgroupsPath", ""),
        container_id,
        driver="systemd" if systemd else "cgroupfs",
        rootless=not facts.privileged,
        host=facts.cgroup,
    )


def request_for(spec: Spec, container_id: str, rootfs: str, cgroup: Cgroup) -> Request:
    """The compiler's request for a container in this cgroup."""
    paths = cgroup.paths()
    into = cgroup.mode == "v2"
    return Request(
        container_id,
        rootfs,
        cgroups=[] if into else cgroup.hierarchies(),
        clone_into_cgroup=into,
        cgroup_paths=paths,
    )


def create(root: str, container_id: str, bundle_path: str, options: CreateOptions) -> int:
    """Create a container; its process waits for `start`. Returns the process's pid.

    Raises OrlopError; then nothing of the container is left.
    """
    state.check_id(container_id)
    bundle = load_bundle(bundle_path)
    _check_console(bundle.spec, options)
    facts = host.gather()
    record = Record(container_id, bundle.path, bundle.rootfs)
    record.creator = state.creator()
    record.annotations = dict(bundle.spec.get("annotations", {}))
    record.hooks = bundle.spec.get("hooks", {})
    record.shares_pids = not any(
        namespace["type"] == "pid" and not namespace.get("path")
        for namespace in bundle.spec.get("linux", {}).get("namespaces", ())
    )
    os.makedirs(root, mode=0o700, exist_ok=True)
    filter_ = seccomp_filter(bundle.spec, root)
    cgroup = resolve_cgroup(bundle.spec, container_id, facts, systemd=options.systemd_cgroup)
    record.cgroup = cgroup.saved()
    directory = Directory.reserve(root, record)
    try:
        creation = _Creation(bundle, record, directory, cgroup, facts, options)
        return creation.run(filter_)
    except BaseException:
        _undo(directory, record, cgroup)
        raise
    finally:
        directory.close()


def _check_console(spec: Spec, options: CreateOptions) -> None:
    terminal = spec["process"].get("terminal", False)
    where = "/process/terminal"
    if terminal and options.console is None:
        raise OrlopError("a terminal needs --console-socket", pointer=where)


def _undo(directory: Directory, record: Record, cgroup: Cgroup) -> None:
    """Remove what a failed create made. What can't be removed stays recorded, for `delete --force`."""
    try:
        cgroup.kill()
        cgroup.remove()
    except (OrlopError, OSError):
        record.creator = None
        directory.write(record)
        raise
    _run_poststop(record)
    directory.remove()


class _Creation:
    """One create, from the cgroup to status "created"."""

    def __init__(  # noqa: PLR0913 - what create gathered
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

    def run(self, filter_: Filter | None) -> int:
        """Make it all; the caller undoes what this leaves on failure."""
        self.filter = filter_
        self.cgroup.create(self.spec.get("linux", {}).get("resources", {}))
        request = request_for(self.spec, self.record.id, self.bundle.rootfs, self.cgroup)
        request.new_keyring = self.options.new_keyring
        made = compile_container(self.spec, self.facts, request, filter_)
        if self.options.on_plan is not None:
            self.options.on_plan(made)
        opened: dict[str, int] = {}
        cgroup_fd = -1
        try:
            self._open(made, opened)
            if request.clone_into_cgroup:
                fd = self.cgroup.clone_fd()
                cgroup_fd = -1 if fd is None else fd
            return self._launch(made, opened, cgroup_fd)
        finally:
            for fd in [*opened.values(), cgroup_fd]:
                if fd >= 0:
                    os.close(fd)

    def _open(self, made: plan.Plan, opened: dict[str, int]) -> None:
        """Open what travels with the plan, by the names that its operations use."""
        names = made.descriptors()
        wanted = [name for name in names if name.startswith("cgroup/")]
        if wanted:
            opened.update(zip(wanted, self.cgroup.join_fds(), strict=True))
        for op in made.ops:
            kind = op.fd.partition("/")[0]
            if op.fd in opened or not op.fd:
                continue
            if kind == "ns":
                opened[op.fd] = _open_namespace(str(op.strings[0]), op.pointer)
            elif kind == "tree":
                opened[op.fd] = _open_tree(op)
            elif kind == "listener":
                opened[op.fd] = _listen(self.directory.fd)

    def _launch(self, made: plan.Plan, opened: dict[str, int], cgroup_fd: int) -> int:
        preserved = preserved_fds(self.options.preserve_fds)
        launch = Launch(
            made,
            self._handlers(),
            opened,
            stdio=self.options.stdio,
            preserved=preserved,
            cgroup=cgroup_fd,
        )
        try:
            launch.start()
        except InitDied as error:
            if self.cgroup.oom_kills():
                where = "/linux/resources/memory/limit"
                text = "out of memory before the container was ready"
                raise OrlopError(text, pointer=where, hint="raise the limit") from error
            raise
        if launch.pidfd >= 0:
            os.close(launch.pidfd)
        return launch.pid

    def _handlers(self) -> Handlers:
        handlers = Handlers()
        handlers.idmap = lambda pid: idmap.write(pid, self.spec.get("linux", {}), self.facts)
        handlers.hooks = self._run_hooks
        handlers.prepare = lambda pid: rlimits.apply(pid, self.spec["process"])
        handlers.state = lambda pid: hooks.state_file(self._state_text(pid))
        handlers.console = self.options.console
        handlers.notify = self._send_notify
        handlers.ready = self._ready
        return handlers

    def _state_text(self, pid: int) -> str:
        self.record.init = state.Identity.of(pid)
        return jsontext.dumps(state.oci_state(self.record, "creating"))

    def _run_hooks(self, pid: int) -> None:
        text = self._state_text(pid)
        for kind in ("prestart", "createRuntime"):
            hooks.run(kind, self.record.hooks.get(kind, []), text)  # type: ignore[misc, call-overload]

    def _send_notify(self, pid: int, fd: int) -> None:
        from runtime import seccomp_agent

        assert self.filter is not None  # noqa: S101 - for the type checker: it asked to notify
        self.record.init = state.Identity.of(pid)
        seccomp_agent.send(self.filter, fd, pid, state.oci_state(self.record, "creating"))

    def _ready(self, pid: int) -> None:
        """Status "created" is on disk before the init may go on without us."""
        self.record.init = state.Identity.of(pid)
        self.record.creator = None
        if self.options.pid_file:
            write_pid_file(self.options.pid_file, pid)
        self.directory.write(self.record)


def preserved_fds(count: int) -> list[int]:
    """Descriptors 3 to 2+count, all of which must be open. Raises OrlopError."""
    fds = list(range(3, 3 + count))
    for fd in fds:
        try:
            os.fstat(fd)
        except OSError as error:
            text = f"unable to stat preserved-fd {fd} (of {count} fds): {error.strerror}"
            raise OrlopError(text) from error
    return fds


def write_pid_file(path: str, pid: int) -> None:
    """The pid in decimal and nothing else, for readers that wait for the name to appear."""
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(part, path)
    except OSError as error:
        raise OrlopError(f"pid file {path}: {error.strerror}") from error


def _open_namespace(path: str, pointer: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        text = f"namespace {path}: {error.strerror}"
        raise OrlopError(text, pointer=f"{pointer}/path") from error


def _open_tree(op: plan.Op) -> int:
    from native import syscalls

    flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC
    flags |= syscalls.AT_RECURSIVE if op.flags & lib.FLAG_RECURSIVE else 0
    flags |= syscalls.AT_SYMLINK_NOFOLLOW if op.flags & lib.FLAG_SOURCE_NOFOLLOW else 0
    try:
        return syscalls.open_tree(syscalls.AT_FDCWD, str(op.strings[1]), flags)
    except OSError as error:
        raise OrlopError(f"{op.describe()}: {error.strerror}", pointer=op.pointer) from error


def _listen(directory: int) -> int:
    """The socket where the init will wait; by descriptor, because a state root may have any length."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{state.SOCKET}")
        listener.listen(1)
        return listener.detach()
    except BaseException:
        listener.close()
        raise


def start(root: str, container_id: str) -> None:
    """Start the user's program in a created container; returns once execve succeeded.

    Raises WrongStatus, PlanFailed. Then poststart hooks run; if one fails, the container is killed.
    """
    container = Container.open(root, container_id)
    try:
        container.lock()
        container.require("start")
        connection = _connect(container.directory.fd)
        container.unlock()
        try:
            _go(connection)
        finally:
            connection.close()
        _run_poststart(container)
    finally:
        container.close()


def _connect(directory: int) -> _socket.socket:
    """Connect to the waiting init, and take its name away: it can be started once."""
    name = f"/proc/self/fd/{directory}/{state.SOCKET}"
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        connection.connect(name)
        os.unlink(state.SOCKET, dir_fd=directory)
    except OSError as error:
        connection.close()
        if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
            raise WrongStatus("cannot start a container that has stopped") from error
        raise
    return connection


def _go(connection: _socket.socket) -> None:
    try:
        connection.send(b"g")
        data = connection.recv(MESSAGE.size)
    except (ConnectionResetError, BrokenPipeError):
        raise WrongStatus("cannot start a container that has stopped") from None
    if data:
        raise explain.failure(Message(data))


def _run_poststart(container: Container) -> None:
    poststart = container.record.hooks.get("poststart", [])
    if not poststart:
        return
    text = jsontext.dumps(state.oci_state(container.record, "running"))
    try:
        hooks.run("poststart", poststart, text)
    except OrlopError:
        _kill_all(container)
        raise


def kill(root: str, container_id: str, signal: int, *, all_processes: bool = False) -> None:
    """Send a signal to the container's init; SIGKILL ends all of a container that shares its pids.

    all_processes: obsolete as in runc: a container that does not run is no error then.
    Raises NotRunning, WrongStatus, NotFound.
    """
    container = Container.open(root, container_id)
    try:
        status = container.status()
        if signal == _signal.SIGKILL and (container.record.shares_pids or all_processes):
            cgroup = container.cgroup()
            if cgroup is not None and container.record.shares_pids:
                cgroup.kill()
        if status not in ("created", "running", "paused"):
            if all_processes and status == "stopped":
                return
            raise refusal("kill", container_id, status)
        _signal_init(container, signal)
        if status == "paused" and signal == _signal.SIGKILL:
            _thaw(container)
    except NotRunning:
        if not all_processes:
            raise
    finally:
        container.close()


def _signal_init(container: Container, signal: int) -> None:
    pidfd = container.pidfd()
    try:
        _signal.pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        raise NotRunning("container not running") from None
    finally:
        os.close(pidfd)


def _thaw(container: Container) -> None:
    """A frozen process of cgroup v1 dies only once it is thawed (freezer-subsystem.rst)."""
    cgroup = container.cgroup()
    if cgroup is not None:
        cgroup.thaw()


def _kill_all(container: Container) -> None:
    """End every process of the container, and wait for its init."""
    cgroup = container.cgroup()
    record = container.record
    if record.init is not None:
        try:
            pidfd = record.init.open()
        except ProcessLookupError:
            pidfd = -1
        if pidfd >= 0:
            try:
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
                if cgroup is not None:
                    cgroup.kill()
                _wait_end(pidfd)
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)
    if cgroup is not None:
        cgroup.kill()


_END_TIMEOUT_MS = 10_000  # as long as runc's delete --force waits


def _wait_end(pidfd: int) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(_END_TIMEOUT_MS):
        raise OrlopError("the container's init does not end", hint="is it stuck in the kernel?")


def delete(root: str, container_id: str, *, force: bool = False) -> list[str]:
    """Remove a container and everything of it. Returns warnings (a poststop hook that failed).

    force: end it first if need be; a container that is not there is no error then.
    Raises NotFound, WrongStatus.
    """
    try:
        container = Container.open(root, container_id)
    except NotFound:
        if force:
            state.remove_leftovers(root, container_id)
            return []
        raise
    try:
        status = container.status()
        if status == "creating" and force:
            _end_creator(container)
        container.lock()
        status = container.status()
        if not force and status not in ("stopped", "created"):
            raise refusal("delete", container_id, status)
        if status != "stopped" or force:
            _kill_all(container)
        return _destroy(container)
    except NotFound:
        if force:
            return []
        raise
    finally:
        container.close()
        state.remove_leftovers(root, container_id)


def _end_creator(container: Container) -> None:
    """A creator that is still at work is ended: its init sees the channel end, and goes."""
    creator = container.record.creator
    if creator is None or creator.pid == os.getpid():
        return
    try:
        pidfd = creator.open()
    except ProcessLookupError:
        return
    try:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
        _wait_end(pidfd)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _destroy(container: Container) -> list[str]:
    """The cgroup, then the state: as long as there is something to remove, it can be found."""
    cgroup = container.cgroup()
    if cgroup is not None:
        cgroup.kill()
        cgroup.remove()
    container.unlock()
    warnings = _run_poststop(container.record)
    container.directory.remove()
    return warnings


def _run_poststop(record: Record) -> list[str]:
    """poststop hooks: one that fails is a warning, and the others run (runtime.md#lifecycle)."""
    warnings = []
    poststop = record.hooks.get("poststop", [])
    if not poststop:
        return []
    text = jsontext.dumps(state.oci_state(record, "stopped"))
    for index, hook in enumerate(poststop):
        try:
            hooks.run("poststop", [hook], text)
        except OrlopError as error:
            pointer = f"/hooks/poststop/{index}"
            warnings.append(f"{pointer}: {error.message}")
    return warnings
