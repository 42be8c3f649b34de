# SPDX-License-Identifier: Apache-2.0
"""What workers do: the calls of `runtime` that may block. None of this runs in the shim itself."""

from __future__ import annotations

import os

from runtime import exec_process, execute, kill, pause, start
from runtime.container import Container
from runtime.create import CreateOptions, create
from runtime.delete import delete
from shim import exits, rootfs
from shim.words import CONSOLE, KNOWN, RUNNING, WARNING
from spec import bundle as bundles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.channel import Channel
    from shim.options import CheckpointOptions, Options
    from shim.protobuf import Values
    from shim.stdio import Stdio


class Images:
    """A checkpoint that a container is to be made of. path: its directory."""

    __slots__ = ("options", "path")

    def __init__(self, path: str, options: Options) -> None:
        self.path = path
        self.options = options


class Place:
    """Where a container is. root: the state root, with the namespace."""

    __slots__ = ("bundle", "id", "namespace", "root")

    def __init__(self, container_id: str, bundle: str, root: str, namespace: str) -> None:
        self.id = container_id
        self.bundle = bundle
        self.root = root
        self.namespace = namespace

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """What it is made of."""
        return self.id, self.bundle, self.root, self.namespace

    @property
    def rootfs(self) -> str:
        """Where the mounts of Create are."""
        return os.path.join(self.bundle, "rootfs")


def do_create(
    place: Place, mounts: Sequence[Values], options: Options, stdio: Stdio, channel: Channel
) -> int:
    """Mount the rootfs, start a logger, create the container; returns the init's pid."""
    do_prepare(place, mounts, channel)
    try:
        _prepare_logs(place, stdio)
        os.chdir("/")  # rootfs.mount may have gone into a layer
        pid = create(place.root, place.id, place.bundle, _wanted(options, stdio, channel))
    except BaseException:
        if mounts:
            rootfs.unmount(place.rootfs)
        raise
    # containerd and people who look for the init find it as with containerd's own shim
    exits.write_pid(place.bundle, pid)
    return pid


def do_prepare(place: Place, mounts: Sequence[Values], _channel: Channel) -> int:
    """Mount the rootfs; the record of that comes first. There is no process: its pid is 0."""
    exits.clear(place.bundle)
    exits.write_record(place.bundle, place.root, mounted=bool(mounts))
    rootfs.mount(mounts, place.rootfs)
    return 0


def _wanted(options: Options, stdio: Stdio, channel: Channel) -> CreateOptions:
    wanted = CreateOptions()
    wanted.no_pivot = options.no_pivot
    wanted.new_keyring = options.new_keyring
    wanted.systemd_cgroup = options.systemd
    wanted.stdio = stdio.child
    wanted.on_warning = lambda text: channel.tell(f"{WARNING} {text}")
    if stdio.is_terminal:
        wanted.console = lambda master: channel.tell(CONSOLE, master)
        wanted.console_required = True
    return wanted


def _prepare_logs(place: Place, stdio: Stdio) -> None:
    if stdio.logger is not None:
        stdio.logger.start(place.id, place.namespace)
    for uri in stdio.log_uris:
        from shim.log_file import make

        make(uri)


def do_start(place: Place, channel: Channel) -> None:
    """Start the init's program, and tell before hooks can take their time."""
    start.begin(place.root, place.id).finish(lambda: channel.tell(RUNNING))


def do_finish_start(starting: start.Starting, channel: Channel) -> None:
    """See what became of a start: hooks are to be run, or it has failed."""
    starting.finish(lambda: channel.tell(RUNNING))


def do_restore(place: Place, images: Images, stdio: Stdio, channel: Channel) -> int:
    """Have criu make the container's processes again; returns the init's pid."""
    from runtime.criu_options import CriuOptions
    from runtime.restore import restore

    given = CriuOptions(images.path)
    given.work_path = images.options.criu_work or exits.criu_log(place.bundle)
    _prepare_logs(place, stdio)
    wanted = _wanted(images.options, stdio, channel)
    pid = restore(place.root, place.id, place.bundle, wanted, given)
    exits.write_pid(place.bundle, pid)
    return pid


def do_checkpoint(place: Place, path: str, given: CheckpointOptions, channel: Channel) -> None:
    """Have criu write the container's processes to a directory."""
    from runtime.checkpoint import checkpoint

    wanted = given.criu(path, exits.criu_log(place.bundle))
    for warning in checkpoint(place.root, place.id, wanted):
        channel.tell(f"{WARNING} {warning}")


def do_exec(place: Place, spec: bytes, stdio: Stdio, channel: Channel) -> int:
    """Run a process in the container; returns its pid."""
    process = exec_process.given(bundles.parse_process(spec, "exec"))
    _prepare_logs(place, stdio)
    wanted = execute.ExecOptions()
    wanted.stdio = stdio.child
    if stdio.is_terminal:
        wanted.console = lambda master: channel.tell(CONSOLE, master)
    wanted.pidfd = lambda pidfd: channel.tell(KNOWN, pidfd)
    return execute.execute(place.root, place.id, process, wanted)


def do_kill(place: Place, signal: int, *, all_processes: bool) -> None:
    """Send a signal to the init."""
    kill.kill(place.root, place.id, signal, all_processes=all_processes)


def do_end_others(place: Place) -> None:
    """End what the kernel leaves: a container without a pid namespace outlives its init."""
    container = Container.open(place.root, place.id)
    try:
        cgroup = container.cgroup()
        if cgroup is not None:
            cgroup.kill()
    finally:
        container.close()


def do_pause(place: Place) -> None:
    """Freeze it."""
    pause.pause(place.root, place.id)


def do_resume(place: Place) -> None:
    """Let it go on."""
    pause.resume(place.root, place.id)


def do_delete(place: Place, channel: Channel | None = None) -> None:
    """Remove a container and its mounts; what is gone already is fine."""
    _, mounted = exits.read_record(place.bundle)
    for warning in delete(place.root, place.id, force=True):
        if channel is not None:
            channel.tell(f"{WARNING} {warning}")
    if mounted:
        rootfs.unmount(place.rootfs)
    try:
        os.rmdir(place.root)  # the namespace's; a Create that comes now makes it anew
    except OSError:
        pass  # it has other containers, or is gone
    exits.clear(place.bundle)


def do_end(place: Place) -> None:
    """Remove a container that was created and never started; its init ends with it."""
    delete(place.root, place.id, force=True)


def do_update(place: Place, resources: bytes) -> None:
    """Change the limits to those of a JSON text."""
    from runtime import update

    update.update(place.root, place.id, update.parse(resources, "resources"))
