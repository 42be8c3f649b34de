# SPDX-License-Identifier: Apache-2.0
"""What a shim keeps on disk, in the bundle, for whoever finds its container later.

BUNDLE/init.pid             the pid of the init, where containerd's own shim has it
BUNDLE/shim.json            how the container was made; read by `delete` when the shim is gone
BUNDLE/exits/init.json      how the init ended, written before anybody is told
BUNDLE/exits/exec-ID.json   the same of an exec process, until it is deleted
BUNDLE/criu/                criu's log of the last checkpoint or restore
BUNDLE/address              where the shim listens

Whoever can write to a bundle can have root start anything, by its config.json. Yet a bundle on a
volume of its own container is no way to other files: no link is followed here, and nothing is read
but ordinary files of a bounded size.
"""

from __future__ import annotations

import os
import stat

from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.protobuf import Values

RECORD = "shim.json"
INIT_PID = "init.pid"
ADDRESS = "address"
_DIRECTORY = "exits"
_CRIU = "criu"
_SIZE = 65536  # bytes of a file
_PID_MAX = 1 << 22  # proc_pid(5), pid_max
_STATUS_MAX = 255
_TIME_MAX = 1 << 63  # ns: the year 2262
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_INSIDE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NANO = 1_000_000_000


class Exit:
    """How a process ended. status: its exit code, or 128 and the signal; at: ns since 1970.

    ran: its program had been started.
    """

    __slots__ = ("at", "ran", "status")

    def __init__(self, status: int, at: int, *, ran: bool = False) -> None:
        self.status = status
        self.at = at
        self.ran = ran


def timestamp(nanoseconds: int) -> Values:
    """google.protobuf.Timestamp of nanoseconds since the epoch."""
    return {"seconds": nanoseconds // _NANO, "nanos": nanoseconds % _NANO}


def write_record(bundle: str, root: str, *, mounted: bool) -> None:
    """Keep the state root (with the namespace), before the first side effect. Raises OSError.

    mounted: the rootfs came with mounts, which go with the container.
    """
    replace(bundle, RECORD, jsontext.dumps({"root": root, "mounted": mounted}))


def read_record(bundle: str) -> tuple[str, bool]:
    """What `write_record` kept; "" and False where no container was ever made."""
    kept = _values(read_text(bundle, RECORD))
    root = kept.get("root", "")
    return (root if isinstance(root, str) else ""), bool(kept.get("mounted"))


def write(bundle: str, exec_id: str, pid: int, end: Exit) -> None:
    """Keep an exit. Raises OSError."""
    content = {"pid": pid, "exitStatus": end.status, "exitedAt": end.at, "ran": end.ran}
    place = os.open(bundle, _PLACE)
    try:
        try:
            os.mkdir(_DIRECTORY, 0o700, dir_fd=place)
        except FileExistsError:
            pass
        inside = os.open(_DIRECTORY, _INSIDE, dir_fd=place)
    finally:
        os.close(place)
    try:
        _replace(inside, _name(exec_id), jsontext.dumps(content))
    finally:
        os.close(inside)


def read(bundle: str, exec_id: str = "") -> tuple[int, Exit] | None:
    """A kept exit with its pid, None where there is none."""
    kept = _values(read_text(bundle, _name(exec_id), _DIRECTORY))
    pid = _number(kept.get("pid"), _PID_MAX)
    status = _number(kept.get("exitStatus"), _STATUS_MAX)
    at = _number(kept.get("exitedAt"), _TIME_MAX)
    if pid is None or status is None or at is None:
        return None
    return pid, Exit(status, at, ran=kept.get("ran") is True)


def write_pid(bundle: str, pid: int) -> None:
    """Keep the init's pid. Raises OSError."""
    replace(bundle, INIT_PID, str(pid))


def read_pid(bundle: str) -> int:
    """The init's pid, 0 where there never was one."""
    try:
        return _number(int(read_text(bundle, INIT_PID)), _PID_MAX) or 0
    except ValueError:
        return 0


def criu_log(bundle: str) -> str:
    """Where criu's log goes, which an error names."""
    return os.path.join(bundle, _CRIU)


def forget(bundle: str, exec_id: str) -> None:
    """Remove a kept exit."""
    try:
        inside = _opened(bundle, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        _remove(inside, _name(exec_id))
    finally:
        os.close(inside)


def clear(bundle: str) -> None:
    """Remove all that is kept of a container, the address excepted. Raises OSError.

    The record goes first: as long as it is there, so is an exit that anybody was told of.
    """
    try:
        place = _opened(bundle)
    except FileNotFoundError:
        return
    try:
        for name in (RECORD, INIT_PID):
            _remove(place, name)
        for directory in (_DIRECTORY, _CRIU):
            _remove_directory(place, directory)
    finally:
        os.close(place)


def replace(bundle: str, name: str, text: str) -> None:
    """Put a file with this text into the bundle, at once. Raises OSError."""
    place = _opened(bundle)
    try:
        _replace(place, name, text)
    finally:
        os.close(place)


def read_text(bundle: str, name: str, directory: str = "") -> str:
    """What a file of the bundle, or of a directory in it, has; "" where it is none of ours."""
    try:
        place = _opened(bundle, directory)
        try:
            fd = os.open(name, _READ, dir_fd=place)
        finally:
            os.close(place)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return os.read(fd, _SIZE).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)


def _opened(bundle: str, directory: str = "") -> int:
    place = os.open(bundle, _PLACE)
    if not directory:
        return place
    try:
        return os.open(directory, _INSIDE, dir_fd=place)
    finally:
        os.close(place)


def _name(exec_id: str) -> str:
    return f"exec-{exec_id}.json" if exec_id else "init.json"


def _remove(place: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=place)
    except FileNotFoundError:
        pass


def _remove_directory(place: int, name: str) -> None:
    try:
        inside = os.open(name, _INSIDE, dir_fd=place)
    except FileNotFoundError:
        return
    try:
        for entry in os.listdir(inside):
            _remove(inside, entry)
    finally:
        os.close(inside)
    os.rmdir(name, dir_fd=place)


def _replace(place: int, name: str, text: str) -> None:
    part = f"{name}.new"
    _remove(place, part)
    fd = os.open(part, _WRITE, 0o644, dir_fd=place)
    try:
        data = text.encode("utf-8", "surrogateescape")
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
    os.rename(part, name, src_dir_fd=place, dst_dir_fd=place)


def _values(text: str) -> dict[str, object]:
    if not text:
        return {}
    try:
        content = jsontext.loads(text, lone_surrogates=True)
    except OrlopError:
        return {}
    return content if isinstance(content, dict) else {}


def _number(value: object, most: int) -> int | None:
    """A number from 0 to `most`, or None."""
    return value if type(value) is int and 0 <= value <= most else None
