# SPDX-License-Identifier: Apache-2.0
"""restore: a container made of a checkpoint's images, running from where it was (criu(8)).

Its cgroup, its state and its mount points are made as `create` makes them; criu, which is in that
cgroup, makes the rest. Every failure is undone.
"""

from __future__ import annotations

import os

from runtime import (
    criu,
    criu_mounts,
    criu_options,
    hooks,
    host,
    pid_file,
    prepare,
    processes,
    state,
)
from runtime.checkpoint import DESCRIPTORS, EXTERNAL, external_key
from runtime.compile import compile_container
from runtime.container import exists
from runtime.create import check_console, new_record, undo
from runtime.criu_options import Folders
from runtime.errors import AlreadyExists, Unsupported
from runtime.namespaces import FILES
from runtime.state import Directory
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.cgroup import Cgroup
    from runtime.create import CreateOptions
    from runtime.criu_options import CriuOptions
    from runtime.host import Facts
    from runtime.protobuf import Value
    from runtime.state import Record
    from spec.bundle import Bundle

_LSM_SINCE = (3, 16)  # before, another profile than the saved one was ignored
_DESCRIPTORS_SIZE = 65536
_STDIO = 3


def restore(
    root: str, container_id: str, bundle_path: str, options: CreateOptions, images: CriuOptions
) -> int:
    """Make a container of the images; it runs when this returns. Returns its init's pid.

    The init is a child of the caller. Raises OrlopError; then nothing of the container is left.
    """
    state.check_id(container_id)
    if exists(root, container_id):
        raise AlreadyExists(container_id)
    bundle = prepare.load_bundle(bundle_path)
    check_console(bundle.spec, options)
    facts = host.gather()
    cgroup = prepare.resolve_cgroup(
        bundle.spec,
        container_id,
        facts,
        systemd=options.systemd_cgroup,
        allowed=options.allowed_annotations,
    )
    if bundle.spec.get("linux", {}).get("intelRdt"):
        where = "/linux/intelRdt"
        raise Unsupported("a restored container can't be put in a resctrl group", pointer=where)
    folders = Folders(images, "restore.log", make=False)
    try:
        cgroup.verify_unused()
        record = new_record(container_id, bundle, options)
        record.cgroup = cgroup.saved()
        directory = Directory.reserve(root, record)
        try:
            restoration = _Restoration(bundle, record, directory, cgroup, facts)
            return restoration.run(options, images, folders)
        except BaseException:
            for warning in undo(directory, record, cgroup, None):
                if options.on_warning is not None:
                    options.on_warning(warning)
            raise
        finally:
            directory.close()
    finally:
        folders.close()


class _Restoration:
    """One restore, from the cgroup to status "running"."""

    def __init__(
        self, bundle: Bundle, record: Record, directory: Directory, cgroup: Cgroup, facts: Facts
    ) -> None:
        self.bundle = bundle
        self.spec = bundle.spec
        self.record = record
        self.directory = directory
        self.cgroup = cgroup
        self.facts = facts
        self._namespaces: list[int] = []
        self._options: CreateOptions | None = None

    def run(self, options: CreateOptions, images: CriuOptions, folders: Folders) -> int:
        """Make it all; the caller undoes what this leaves on failure."""
        self._options = options
        self.cgroup.create(self.spec.get("linux", {}).get("resources", {}))
        request = prepare.request_for(self.record.id, self.bundle.rootfs, self.cgroup)
        request.bundle = self.bundle.path
        made = compile_container(self.spec, self.facts, request)
        try:
            values = self._values(images, folders)
            values += [
                ("ext_mnt", criu_options.pair(place, source))
                for place, source in criu_mounts.sources(made)
            ]
            with criu.Service(
                stdio=options.stdio,
                passed=self._namespaces,
                enter=lambda: criu_mounts.enter(made, self.bundle.rootfs),
            ) as service:
                _check_version(images, service.version)
                folders.enter(service.pid)
                self._join(service.pid)
                values += _cgroup_roots(service.pid)
                return service.request(criu.RESTORE, criu_options.encode(values), self._notify)
        except criu.CriuFailed as error:
            raise folders.failure(f"restore container {self.record.id}", error) from error
        finally:
            for fd in self._namespaces:
                os.close(fd)

    def _values(self, images: CriuOptions, folders: Folders) -> list[tuple[str, Value]]:
        values: list[tuple[str, Value]] = [
            *criu_options.common(images, folders, self.record.annotations),
            ("evasive_devices", True),
            ("rst_sibling", True),
            ("root", self.bundle.rootfs),
            *_pipes(folders.images),
            *self._joined(),
        ]
        if images.lsm_profile:
            values.append(("lsm_profile", images.lsm_profile))
        if images.lsm_mount_context:
            values.append(("lsm_mount_context", images.lsm_mount_context))
        if images.tcp_close:
            values.append(("tcp_close", True))
        return values

    def _joined(self) -> list[tuple[str, Value]]:
        """Namespaces with a path: those that the images name are inherited, others joined."""
        values: list[tuple[str, Value]] = []
        for index, namespace in enumerate(self.spec.get("linux", {}).get("namespaces", ())):
            path, kind = namespace.get("path", ""), namespace["type"]
            pointer = f"/linux/namespaces/{index}/path"
            if not path:
                continue
            if kind == "cgroup":
                raise Unsupported("criu can't join a cgroup namespace", pointer=pointer)
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                text = f"namespace {path}: {error.strerror}"
                raise OrlopError(text, pointer=pointer) from error
            if kind in EXTERNAL:
                self._namespaces.append(fd)
                values.append(("inherit_fd", criu_options.pair(external_key(kind), fd)))
            else:
                os.close(fd)
                values.append(("join_ns", criu_options.pair(FILES[kind], path)))
        return values

    def _join(self, pid: int) -> None:
        """criu goes into the container's cgroup, so that all that it makes is there."""
        if self.cgroup.needs_init:
            self.cgroup.adopt(pid)
        elif self.cgroup.mode != "none":
            self.cgroup.add_process(pid)
        if self.cgroup.mode == "v2":
            from runtime.cgroups import delegation

            delegation.give(self.cgroup, self.spec, self.facts)
        self.record.cgroup = self.cgroup.saved()

    def _notify(self, script: str, pid: int, fd: int) -> None:
        if script == "orphan-pts-master":
            console = self._options.console if self._options is not None else None
            if console is None:
                os.close(fd)
                hint = "the checkpoint is of a process with a terminal: set /process/terminal"
                raise OrlopError("nobody is there to have the terminal", hint=hint)
            console(fd)
        elif fd >= 0:
            os.close(fd)
        if script == "setup-namespaces":
            self._run_hooks(pid)
        elif script == "post-restore":
            self._restored(pid)

    def _run_hooks(self, pid: int) -> None:
        """prestart and createRuntime, as in create: they are what sets up the network again."""
        asked = self.record.hooks
        self.record.init = processes.Identity.of(pid)
        text = jsontext.dumps(state.oci_state(self.record, "creating"))
        hooks.run("prestart", asked.get("prestart", []), text, self.record.bundle)
        hooks.run("createRuntime", asked.get("createRuntime", []), text, self.record.bundle)

    def _restored(self, pid: int) -> None:
        """Its processes are there, stopped: what says so is on disk before they go on."""
        self.record.init = processes.Identity.of(pid)
        self.record.creator = None
        if self._options is not None and self._options.pid_file:
            pid_file.write(self._options.pid_file, pid)
        self.directory.write(self.record)


def _check_version(images: CriuOptions, version: tuple[int, int]) -> None:
    if (images.lsm_profile or images.lsm_mount_context) and version < _LSM_SINCE:
        raise Unsupported("--lsm-profile and --lsm-mount-context need criu 3.16 or newer")


def _pipes(folder: int) -> list[tuple[str, Value]]:
    """Standard descriptors that were pipes become the caller's: criu finds them by their names."""
    values: list[tuple[str, Value]] = []
    for number, name in enumerate(_descriptors(folder)[:_STDIO]):
        if isinstance(name, str) and name.startswith("pipe:"):
            values.append(("inherit_fd", criu_options.pair(name, number)))
    return values


def _descriptors(folder: int) -> list[object]:
    """What the checkpoint says of them; the file may come from anybody. Raises OrlopError."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(DESCRIPTORS, flags, dir_fd=folder)
        try:
            text = os.read(fd, _DESCRIPTORS_SIZE).decode("utf-8", "replace")
        finally:
            os.close(fd)
    except OSError as error:
        hint = "is this the --image-path of a checkpoint that was finished?"
        raise OrlopError(f"{DESCRIPTORS}: {error.strerror}", hint=hint) from error
    found = jsontext.loads(text, name=DESCRIPTORS)
    if not isinstance(found, list):
        raise OrlopError(f"{DESCRIPTORS}: not a list")
    return found


def _cgroup_roots(pid: int) -> list[tuple[str, Value]]:
    """Where criu is in each hierarchy: the images' cgroups are put there."""
    values: list[tuple[str, Value]] = []
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            values += [
                ("cg_root", criu_options.pair(controller, path))
                for controller in controllers.split(",")
            ]
    return values
