# SPDX-License-Identifier: Apache-2.0
"""State on disk: one directory a container below the state root.

    ROOT/ID/state.json   what is known of the container; replaced by rename, never changed
    ROOT/ID/start.sock   where the init waits for `start`; gone once it was started
    ROOT/ID/notify/      where it says that it is ready, if somebody wants to know
    ROOT/~ID.PID         being made or removed: `~` is in no id

Written before the first side effect, so that `delete --force` finds everything from any point at
which the runtime was killed. Durable against that and against a reboot (start times go with the
boot's id), not against power loss: nothing is synced on the path of a start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from runtime import host, processes
from runtime.errors import AlreadyExists, InvalidId, NotFound
from runtime.processes import Identity
from spec import jsontext
from spec.errors import OrlopError
from spec.version import OCI_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spec.types import Hooks, State, Status

VERSION = 1
SOCKET = "start.sock"
_FILE = "state.json"
_ATTEMPTS = 100
_ROOT = "/run/orlop"
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_ID_MAX = 1024  # as containerd's; NAME_MAX of the file system decides below that


def default_root() -> str:
    """/run/orlop, or below XDG_RUNTIME_DIR for whoever is not the machine's root."""
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime_dir and _is_unprivileged():
        return os.path.join(runtime_dir, "orlop")
    return _ROOT


def _is_unprivileged() -> bool:
    """As runc has it: root of a user namespace counts as root where it says that it is (USER)."""
    if os.geteuid() != 0:
        return True
    return not host.in_initial_user_namespace() and os.environ.get("USER") != "root"


def _make_part(root: str, part: str) -> None:
    """Make a directory in the root. Whoever deletes the root's last container removes that."""
    for _ in range(_ATTEMPTS):
        try:
            make_root(root)
            os.mkdir(part, 0o700)
        except FileNotFoundError:
            continue
        except FileExistsError:
            if os.path.isfile(root) or os.path.islink(root):
                raise
            continue  # os.makedirs found it, and then it was gone
        return
    raise OrlopError(f"state root {root}: removed again and again while a container was made")


def make_root(root: str) -> None:
    """Make the state root where it isn't there; one below XDG_RUNTIME_DIR with the sticky bit.

    Who cleans up XDG_RUNTIME_DIR leaves that alone (XDG Base Directory Specification). Raises
    OSError.
    """
    os.makedirs(root, mode=0o700, exist_ok=True)
    if root != _ROOT and root == default_root():
        os.chmod(root, 0o1700)


def check_id(container_id: str) -> None:
    """Raise InvalidId unless it is made of `[A-Za-z0-9_+.-]` and is neither `.` nor `..`."""
    if (
        not container_id
        or container_id in (".", "..")
        or len(container_id) > _ID_MAX
        or not _ID_CHARACTERS.issuperset(container_id)
    ):
        message = f"container id {container_id!r}: invalid container ID format"
        raise InvalidId(message, hint="letters, digits, _ + - . are allowed")


def now() -> str:
    """The time as RFC 3339 with nanoseconds, UTC."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"


class Record:
    """What is kept of a container.

    creator: whoever makes it, until it is created. init: its process, once there is one. cgroup:
    the form that runtime.cgroups.load takes, or None. new_keyring: it has a session keyring of its
    own, which an exec joins. shares_pids: it has no pid namespace of its own, so that the kernel
    does not end its processes with the init. resctrl: the form that runtime.intelrdt.Group.load
    takes, or None. stdio: what its standard descriptors were made from ("pipe:[INODE]"), for a
    restore to replace.
    """

    __slots__ = (
        "annotations",
        "bundle",
        "cgroup",
        "created",
        "creator",
        "hooks",
        "id",
        "init",
        "new_keyring",
        "oci_version",
        "owner",
        "resctrl",
        "rootfs",
        "shares_pids",
        "stdio",
    )

    def __init__(self, container_id: str, bundle: str, rootfs: str) -> None:
        self.id = container_id
        self.bundle = bundle
        self.rootfs = rootfs
        self.created = now()
        self.owner = os.geteuid()
        self.oci_version = OCI_VERSION
        self.creator: Identity | None = None
        self.init: Identity | None = None
        self.cgroup: dict[str, object] | None = None
        self.resctrl: dict[str, object] | None = None
        self.annotations: dict[str, str] = {}
        self.hooks: Hooks = {}
        self.new_keyring = True
        self.shares_pids = False
        self.stdio: list[str] = []

    def save(self) -> str:
        """As text of state.json."""
        return jsontext.dumps(
            {
                "version": VERSION,
                "ociVersion": self.oci_version,
                "id": self.id,
                "bundle": self.bundle,
                "rootfs": self.rootfs,
                "created": self.created,
                "owner": self.owner,
                "creator": self.creator.save() if self.creator else None,
                "init": self.init.save() if self.init else None,
                "cgroup": self.cgroup,
                "resctrl": self.resctrl,
                "annotations": self.annotations,
                "hooks": self.hooks,
                "newKeyring": self.new_keyring,
                "sharesPids": self.shares_pids,
                "stdio": self.stdio,
            }
        )

    @classmethod
    def load(cls, text: str) -> Record:
        """From `save`'s text. Raises OrlopError where it is not of a version that we know."""
        try:
            saved = jsontext.loads(text, name=_FILE, lone_surrogates=True)
        except OrlopError as error:
            raise OrlopError(f"state.json is damaged: {error}") from error
        if not isinstance(saved, dict) or saved.get("version") != VERSION:
            raise OrlopError(
                "state.json is of another version", hint="use the version that made it"
            )
        if not _is_sound(saved):
            raise OrlopError("state.json is damaged: members are missing, or of another type")
        try:
            record = cls(saved["id"], saved["bundle"], saved["rootfs"])
            record.created = saved["created"]
            record.owner = saved["owner"]
            record.oci_version = saved["ociVersion"]
            record.creator = Identity.load(saved["creator"]) if saved["creator"] else None
            record.init = Identity.load(saved["init"]) if saved["init"] else None
            record.cgroup = saved["cgroup"]
            record.resctrl = saved["resctrl"]
            record.annotations = saved["annotations"]
            record.hooks = saved["hooks"]
            record.new_keyring = saved["newKeyring"]
            record.shares_pids = saved["sharesPids"]
            record.stdio = saved["stdio"]
        except (KeyError, TypeError, ValueError) as error:
            raise OrlopError(f"state.json is damaged: {error!r}") from error
        return record


_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "bundle": (str,),
    "rootfs": (str,),
    "created": (str,),
    "ociVersion": (str,),
    "owner": (int,),
    "newKeyring": (bool,),
    "sharesPids": (bool,),
    "stdio": (list,),
    "annotations": (dict,),
    "hooks": (dict,),
    "cgroup": (dict, type(None)),
    "resctrl": (dict, type(None)),
    "creator": (dict, type(None)),
    "init": (dict, type(None)),
}


def _is_sound(saved: dict[str, object]) -> bool:
    return all(isinstance(saved.get(name, _TYPES), kinds) for name, kinds in _TYPES.items())


class Directory:
    """A container's directory, held by descriptor: what happens in it stays in it."""

    __slots__ = ("_locked", "fd", "id", "root")

    def __init__(self, root: str, container_id: str, fd: int) -> None:
        self.root = root
        self.id = container_id
        self.fd = fd
        self._locked = False

    @classmethod
    def open(cls, root: str, container_id: str) -> Directory:
        """The directory of an existing container. Raises NotFound."""
        check_id(container_id)
        try:
            fd = os.open(os.path.join(root, container_id), os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(container_id) from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise NotFound(container_id) from None
            raise
        return cls(root, container_id, fd)

    @classmethod
    def reserve(cls, root: str, record: Record) -> Directory:
        """Make the directory with its record in it, at once. Raises AlreadyExists."""
        check_id(record.id)
        part = os.path.join(root, f"~{record.id}.{os.getpid()}")
        _make_part(root, part)
        directory = cls(root, record.id, -1)
        try:
            directory.fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
            directory.write(record)
            os.rename(part, os.path.join(root, record.id))
        except BaseException as error:
            directory._unlink_record()
            os.rmdir(part)
            directory.close()
            if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise AlreadyExists(record.id) from None
            raise
        return directory

    def close(self) -> None:
        """Let go of it, and of the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._locked = False

    def lock(self, *, patient: bool = True) -> None:
        """Serialise verbs that change the container. Raises NotFound: deleted meanwhile.

        Where not patient, BlockingIOError is raised while another verb has it.
        """
        fcntl.flock(self.fd, fcntl.LOCK_EX if patient else fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._locked = True
        if os.fstat(self.fd).st_nlink == 0:
            raise NotFound(self.id)

    def unlock(self) -> None:
        """End what `lock` began."""
        if self._locked:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
            self._locked = False

    def read(self) -> Record:
        """The record as it is now. Raises NotFound, OrlopError where it is damaged."""
        try:
            fd = os.open(_FILE, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            raise NotFound(self.id) from None
        with open(fd, encoding="utf-8", errors="surrogateescape") as file:
            record = Record.load(file.read())
        if record.id != self.id:
            raise OrlopError(f"state.json of {self.id!r} is damaged: it is of {record.id!r}")
        return record

    def write(self, record: Record) -> None:
        """Replace the record; readers see the old one or the new one."""
        part = f"{_FILE}.{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(part, flags, 0o600, dir_fd=self.fd)
        try:
            try:
                data = record.save().encode("utf-8", "surrogateescape")
                while data:
                    data = data[os.write(fd, data) :]
            finally:
                os.close(fd)
            os.rename(part, _FILE, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException as error:
            os.unlink(part, dir_fd=self.fd)
            if isinstance(error, OSError):
                error.filename = os.path.join(self.root, self.id, _FILE)  # write(2) has no name
            raise

    def has_socket(self) -> bool:
        """Whether the container still waits for `start`."""
        try:
            os.stat(SOCKET, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def remove(self) -> None:
        """Take the container out of sight at once, then remove what is left of it. Idempotent."""
        part = os.path.join(self.root, f"~{self.id}.{os.getpid()}")
        try:
            os.rename(os.path.join(self.root, self.id), part)
        except FileNotFoundError:
            return
        _empty(self.fd)
        os.rmdir(part)

    def _unlink_record(self) -> None:
        """By name: listing the directory needs one more descriptor than there may be."""
        if self.fd >= 0:
            try:
                os.unlink(_FILE, dir_fd=self.fd)
            except FileNotFoundError:
                pass


def _empty(directory: int) -> None:
    """Remove what is in a directory, which nobody but us may write."""
    for name in os.listdir(directory):
        try:
            os.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            try:
                _empty(below)
            finally:
                os.close(below)
            os.rmdir(name, dir_fd=directory)


def remove_leftovers(root: str, container_id: str) -> bool:
    """Remove directories that a killed create or delete of this id left. True if there were any."""
    found = False
    prefix = f"~{container_id}."
    for name in _names(root):
        pid = name[len(prefix) :]
        if not name.startswith(prefix) or not pid.isdigit() or processes.runs(int(pid)):
            continue
        path = os.path.join(root, name)
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _empty(directory)
        finally:
            os.close(directory)
        os.rmdir(path)
        found = True
    return found


def _names(root: str) -> list[str]:
    try:
        return os.listdir(root)
    except FileNotFoundError:
        return []


def ids(root: str) -> list[str]:
    """Ids of all containers under this root, sorted."""
    return sorted(name for name in _names(root) if not name.startswith("~"))


def oci_state(record: Record, status: Status) -> State:
    """The state of the standard (runtime.md#state), as hooks and seccomp agents read it."""
    shown: State = {
        "ociVersion": record.oci_version,
        "id": record.id,
        "status": status,
        "pid": record.init.pid if record.init and status != "stopped" else 0,
        "bundle": record.bundle,
    }
    if record.annotations:
        shown["annotations"] = record.annotations
    return shown


def creator() -> Identity:
    """The calling process, as the maker of a container."""
    return processes.Identity.of(os.getpid())
