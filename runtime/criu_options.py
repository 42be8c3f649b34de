# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint and a restore may be told, and what of it criu is told (criu_opts)."""

from __future__ import annotations

import contextlib
import os

from native.syscalls import CLONE_NEWNET
from runtime import protobuf
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.criu import CriuFailed
    from runtime.protobuf import Value

#: of criu's images/rpc.proto, message criu_opts
FIELDS = {
    "images_dir_fd": 1,
    "pid": 2,
    "leave_running": 3,
    "ext_unix_sk": 4,
    "tcp_established": 5,
    "evasive_devices": 6,
    "shell_job": 7,
    "file_locks": 8,
    "log_level": 9,
    "log_file": 10,
    "ps": 11,
    "notify_scripts": 12,
    "root": 13,
    "parent_img": 14,
    "track_mem": 15,
    "auto_dedup": 16,
    "work_dir_fd": 17,
    "link_remap": 18,
    "ext_mnt": 23,
    "manage_cgroups": 24,
    "cg_root": 25,
    "rst_sibling": 26,
    "inherit_fd": 27,
    "manage_cgroups_mode": 34,
    "external": 37,
    "empty_ns": 38,
    "join_ns": 39,
    "freeze_cgroup": 44,
    "tcp_skip_in_flight": 46,
    "lazy_pages": 48,
    "orphan_pts_master": 50,
    "config_file": 51,
    "tcp_close": 52,
    "lsm_profile": 53,
    "lsm_mount_context": 63,
}
#: criu_cg_mode
CGROUP_MODES = {"ignore": 0, "soft": 3, "full": 4, "strict": 5, "": 6}
#: An annotation that names a configuration file of criu, which may run programs on the host.
CONFIG_ANNOTATION = "org.criu.config"
#: The administrator's files, the first that is there.
CONFIG_FILES = ("/etc/criu/orlop.conf", "/etc/criu/runc.conf")
_LOG_LEVEL = 4
_EXCERPT = 65536  # bytes at the end of a log that are looked at
_LINES = 5


class CriuOptions:
    """Options of `checkpoint` and `restore`, by the names of their flags.

    page_server: address and port. status_fd: where a zero byte says that pages can be had, -1 for
    nowhere. allowed_annotations: what unsafe annotations must begin with to count.
    """

    __slots__ = (
        "allowed_annotations",
        "auto_dedup",
        "ext_unix_sk",
        "file_locks",
        "image_path",
        "lazy_pages",
        "leave_running",
        "link_remap",
        "lsm_mount_context",
        "lsm_profile",
        "manage_cgroups_mode",
        "page_server",
        "parent_path",
        "pre_dump",
        "shell_job",
        "status_fd",
        "tcp_close",
        "tcp_established",
        "tcp_skip_in_flight",
        "work_path",
    )

    def __init__(self, image_path: str) -> None:
        self.image_path = image_path
        self.work_path = ""
        self.parent_path = ""
        self.page_server: tuple[str, int] | None = None
        self.status_fd = -1
        self.manage_cgroups_mode = ""
        self.lsm_profile = ""
        self.lsm_mount_context = ""
        self.allowed_annotations: Sequence[str] = ()
        self.leave_running = self.pre_dump = self.lazy_pages = self.auto_dedup = False
        self.tcp_established = self.tcp_skip_in_flight = self.tcp_close = False
        self.ext_unix_sk = self.shell_job = self.file_locks = self.link_remap = False


def _refuse_links(folder: int, path: str) -> None:
    """Images may come from elsewhere, and criu would write its log and statistics through a link.

    CVE-2026-53489 is containerd's of that kind. `parent` is criu's own, and only read.
    """
    with os.scandir(folder) if folder >= 0 else contextlib.nullcontext(()) as entries:
        for entry in entries:
            if entry.is_symlink() and entry.name != "parent":
                raise OrlopError(f"{os.path.join(path, entry.name)}: a symbolic link, among images")


class Folders:
    """The directories of the images and of the log, held by descriptor; `close` ends them."""

    def __init__(self, options: CriuOptions, log: str, *, make: bool) -> None:
        """Open them; make: the images' too. Raises OrlopError."""
        self.images = _open(options.image_path, "image", make=make)
        self.log = log
        self._log_path = os.path.join(options.work_path or options.image_path, log)
        try:
            self.work = _open_work(options.work_path) if options.work_path else -1
        except BaseException:
            os.close(self.images)
            raise
        try:
            for fd, path in ((self.images, options.image_path), (self.work, options.work_path)):
                _refuse_links(fd, path)
        except BaseException:
            self.close()
            raise

    def enter(self, pid: int) -> None:
        """Have them through the mount namespace of this process, by the same numbers.

        criu mounts things in its work directory, which is refused in a namespace that isn't its.
        """
        for fd in (self.images, self.work):
            if fd >= 0:
                path = os.readlink(f"/proc/self/fd/{fd}")  # no links in it, which lead back to ours
                there = _open(f"/proc/{pid}/root{path}", "image", make=False, links=False)
                os.dup2(there, fd, inheritable=False)
                os.close(there)

    def close(self) -> None:
        """Close them."""
        os.close(self.images)
        if self.work >= 0:
            os.close(self.work)

    def failure(self, verb: str, error: CriuFailed) -> OrlopError:
        """The error for a user: what criu says, what its log says, and where that is."""
        lines = self._errors()
        said = f": {'; '.join(lines)}" if lines else ""
        text = f"criu could not {verb}: {error.message}{said}"
        hint = f"the whole log is {self._log_path}" if self._has_log() else ""
        return OrlopError(text, hint=hint)

    def _has_log(self) -> bool:
        folder = self.work if self.work >= 0 else self.images
        try:
            os.stat(self.log, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _errors(self) -> list[str]:
        """The last lines of the log that are errors."""
        folder = self.work if self.work >= 0 else self.images
        try:
            # an image directory may come from elsewhere: no symbolic link of its is followed
            fd = os.open(self.log, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            return []
        try:
            size = os.fstat(fd).st_size
            data = os.pread(fd, _EXCERPT, max(0, size - _EXCERPT))
        finally:
            os.close(fd)
        lines = data.decode("utf-8", "replace").splitlines()
        return [line[line.index("Error") :].strip() for line in lines if "Error" in line][-_LINES:]


def _open_work(path: str) -> int:
    """A shim's is in the bundle, to which its container may write: a link is none (ENOTDIR)."""
    return _open(path, "work", make=True, links=False)


def _open(path: str, what: str, *, make: bool, links: bool = True) -> int:
    try:
        if make:
            os.makedirs(path, 0o700, exist_ok=True)
        last = 0 if links else os.O_NOFOLLOW
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | last)
    except OSError as error:
        raise OrlopError(f"--{what}-path {path}: {error.strerror}") from error


def common(
    options: CriuOptions, folders: Folders, annotations: Mapping[str, str]
) -> list[tuple[str, Value]]:
    """What dump and restore have in common."""
    values: list[tuple[str, Value]] = [
        ("images_dir_fd", folders.images),
        ("log_level", _LOG_LEVEL),
        ("log_file", folders.log),
        ("notify_scripts", True),
        ("orphan_pts_master", True),
        ("manage_cgroups", True),
        ("manage_cgroups_mode", CGROUP_MODES[options.manage_cgroups_mode]),
        # No runtime manages a network: an engine's hook, or its namespace's path, does.
        ("empty_ns", CLONE_NEWNET),
        ("shell_job", options.shell_job),
        ("ext_unix_sk", options.ext_unix_sk),
        ("tcp_established", options.tcp_established),
        ("file_locks", options.file_locks),
        ("auto_dedup", options.auto_dedup),
        ("lazy_pages", options.lazy_pages),
    ]
    if folders.work >= 0:
        values.append(("work_dir_fd", folders.work))
    config = _config_file(options, annotations)
    return [*values, ("config_file", config)] if config else values


def _config_file(options: CriuOptions, annotations: Mapping[str, str]) -> str:
    """A file of settings that override ours. The annotation's counts where it is allowed."""
    allowed = any(CONFIG_ANNOTATION.startswith(prefix) for prefix in options.allowed_annotations)
    if allowed and CONFIG_ANNOTATION in annotations:
        return annotations[CONFIG_ANNOTATION]
    return next((path for path in CONFIG_FILES if os.path.exists(path)), "")


def encode(values: Sequence[tuple[str, Value]]) -> bytes:
    """A message criu_opts."""
    return protobuf.encode([(FIELDS[name], value) for name, value in values])


def pair(first: str, second: Value) -> bytes:
    """A message of two members: ext_mount_map, inherit_fd, cgroup_root, join_namespace."""
    return protobuf.encode([(1, first), (2, second)])
