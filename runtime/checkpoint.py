# SPDX-License-Identifier: Apache-2.0
"""checkpoint: a container's processes as files, from which `restore` makes them again (criu(8))."""

from __future__ import annotations

import fcntl
import os
import stat

from runtime import criu, criu_mounts, criu_options, host, prepare, protobuf
from runtime.compile import compile_container
from runtime.container import Container
from runtime.criu_options import Folders
from runtime.delete import delete
from runtime.errors import WrongStatus
from runtime.namespaces import FILES
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native.plan import Plan
    from runtime.criu_options import CriuOptions
    from runtime.protobuf import Value
    from spec.types import Spec

#: The container's standard descriptors, for the restore, as runc writes it.
DESCRIPTORS = "descriptors.json"
#: Namespaces that may be another's: named in the images, not saved (net since criu 3.11, pid 3.15).
EXTERNAL = ("network", "pid")


def external_key(namespace: str) -> str:
    """What an external namespace is called in the images, as runc calls it."""
    return f"extRoot{FILES[namespace].capitalize()}NS"


def checkpoint(root: str, container_id: str, options: CriuOptions) -> list[str]:
    """Write a running or paused container's images; then it is deleted, unless it is to run on.

    Returns warnings, as `delete` does. On failure the container runs on, as it was. Raises
    NotFound, WrongStatus, Unsupported, OrlopError.
    """
    container = Container.open(root, container_id)
    try:
        container.lock()
        status = container.status()
        if status not in ("running", "paused"):
            raise WrongStatus(f"container cannot be checkpointed in {status} state")
        _check(options)
        folders = Folders(options, "dump.log", make=True)
        try:
            _check_parent(options, folders)
            _dump(container, options, folders)
        except BaseException:
            cgroup = container.cgroup()
            if status == "running" and cgroup is not None and cgroup.frozen():
                cgroup.thaw()  # a criu that was killed leaves it frozen
            raise
        finally:
            folders.close()
    finally:
        container.close()
    return (
        [] if options.leave_running or options.pre_dump else delete(root, container_id, force=True)
    )


def _check(options: CriuOptions) -> None:
    if os.path.isabs(options.parent_path):
        raise OrlopError(f"--parent-path {options.parent_path} must be relative, to --image-path")
    if options.lazy_pages and options.status_fd >= 0:
        try:
            mode = fcntl.fcntl(options.status_fd, fcntl.F_GETFL) & os.O_ACCMODE
        except OSError as error:
            raise OrlopError(f"--status-fd {options.status_fd}: {error.strerror}") from error
        if mode == os.O_RDONLY:
            raise OrlopError(f"--status-fd {options.status_fd}: not open for writing")


def _check_parent(options: CriuOptions, folders: Folders) -> None:
    """Raise OrlopError unless it is a directory, seen from the images', which is there by now."""
    try:
        if not options.parent_path or stat.S_ISDIR(
            os.stat(options.parent_path, dir_fd=folders.images).st_mode
        ):
            return
        reason = "not a directory"
    except OSError as error:
        reason = (error.strerror or "").lower()
    raise OrlopError(f"--parent-path {options.parent_path}, from {options.image_path}: {reason}")


def _dump(container: Container, options: CriuOptions, folders: Folders) -> None:
    values = _values(container, options, folders)

    def notify(script: str, _: int, fd: int) -> None:
        if fd >= 0:
            os.close(fd)
        if script == "status-ready":
            container.unlock()  # pages are served until the other side has them: meanwhile, delete
            if options.status_fd >= 0:
                os.write(options.status_fd, b"\0")
                os.close(options.status_fd)

    kind = criu.PRE_DUMP if options.pre_dump else criu.DUMP
    try:
        with criu.Service() as service:
            if options.pre_dump:
                service.require(criu.MEM_TRACK)
            if options.lazy_pages:
                service.require(criu.LAZY_PAGES)
            service.request(kind, criu_options.encode(values), notify)
    except criu.CriuFailed as error:
        raise folders.failure(f"checkpoint container {container.record.id}", error) from error


def _values(
    container: Container, options: CriuOptions, folders: Folders
) -> list[tuple[str, Value]]:
    record = container.record
    pid = record.init.pid if record.init else 0
    spec = prepare.load_bundle(record.bundle).spec
    values = [
        *criu_options.common(options, folders, record.annotations),
        ("root", record.rootfs),
        ("pid", pid),
        ("leave_running", options.leave_running),
        ("tcp_skip_in_flight", options.tcp_skip_in_flight),
        ("link_remap", options.link_remap),
        *_external_namespaces(spec),
    ]
    cgroup = container.cgroup()
    paths = cgroup.paths() if cgroup is not None else {}
    freezer = paths.get("freezer") or paths.get("")
    if freezer:
        values.append(("freeze_cgroup", freezer))
    if options.page_server is not None:
        address, port = options.page_server
        values.append(("ps", protobuf.encode([(1, address), (2, port)])))
    if options.parent_path:
        values += [("parent_img", options.parent_path), ("track_mem", True)]
    if not options.pre_dump:
        mounts = criu_mounts.of_process(_plan(container, spec), pid)
        values += [("ext_mnt", criu_options.pair(where, name)) for where, name in mounts]
        _write_descriptors(folders.images, container.record.stdio)
    return values


def _plan(container: Container, spec: Spec) -> Plan:
    cgroup = container.cgroup()
    record = container.record
    facts = host.gather()
    if cgroup is None:
        raise OrlopError(f"container {record.id}: its cgroup is not known")
    request = prepare.request_for(record.id, record.rootfs, cgroup)
    request.bundle = record.bundle
    return compile_container(spec, facts, request)


def _external_namespaces(spec: Spec) -> list[tuple[str, Value]]:
    values: list[tuple[str, Value]] = []
    for index, namespace in enumerate(spec.get("linux", {}).get("namespaces", ())):
        path, kind = namespace.get("path", ""), namespace["type"]
        if not path or kind not in EXTERNAL:
            continue
        try:
            inode = os.stat(path).st_ino
        except OSError as error:
            text = f"namespace {path}: {error.strerror}"
            raise OrlopError(text, pointer=f"/linux/namespaces/{index}/path") from error
        values.append(("external", f"{FILES[kind]}[{inode}]:{external_key(kind)}"))
    return values


def _write_descriptors(folder: int, names: list[str]) -> None:
    """Anew: a directory that was there may have a symbolic link of this name."""
    try:
        os.unlink(DESCRIPTORS, dir_fd=folder)
    except FileNotFoundError:
        pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(DESCRIPTORS, flags, 0o600, dir_fd=folder)
    try:
        os.write(fd, jsontext.dumps(names).encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)
