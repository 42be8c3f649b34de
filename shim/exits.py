# SPDX-License-Identifier: Apache-2.0
"""What a shim keeps on disk, in the bundle, for whoever finds its container later.

BUNDLE/init.pid             the pid of the init, where containerd's own shim has it
BUNDLE/shim.json            how the container was made; read by `delete` when the shim is gone
BUNDLE/exits/init.json      how the init ended, written before anybody is told
BUNDLE/exits/exec-ID.json   the same of an exec process, until it is deleted
BUNDLE/criu/                criu's log of the last checkpoint or restore
"""

from __future__ import annotations

import os

from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.protobuf import Values

RECORD = "shim.json"
INIT_PID = "init.pid"
_DIRECTORY = "exits"
_CRIU = "criu"
_NANO = 1_000_000_000


class Exit:
    """How a process ended. status: its exit code, or 128 and the signal; at: ns since 1970."""

    __slots__ = ("at", "status")

    def __init__(self, status: int, at: int) -> None:
        self.status = status
        self.at = at


def timestamp(nanoseconds: int) -> Values:
    """google.protobuf.Timestamp of nanoseconds since the epoch."""
    return {"seconds": nanoseconds // _NANO, "nanos": nanoseconds % _NANO}


def write_record(bundle: str, root: str, *, mounted: bool) -> None:
    """Keep the state root (with the namespace), before the first side effect. Raises OSError.

    mounted: the rootfs came with mounts, which go with the container.
    """
    _replace(os.path.join(bundle, RECORD), {"root": root, "mounted": mounted})


def read_record(bundle: str) -> tuple[str, bool]:
    """What `write_record` kept; "" and False where no container was ever made."""
    kept = _read(os.path.join(bundle, RECORD))
    root = kept.get("root", "")
    return (root if isinstance(root, str) else ""), bool(kept.get("mounted"))


def write(bundle: str, exec_id: str, pid: int, end: Exit) -> None:
    """Keep an exit. Raises OSError."""
    os.makedirs(os.path.join(bundle, _DIRECTORY), mode=0o700, exist_ok=True)
    _replace(_path(bundle, exec_id), {"pid": pid, "exitStatus": end.status, "exitedAt": end.at})


def read(bundle: str, exec_id: str = "") -> tuple[int, Exit] | None:
    """A kept exit with its pid, None where there is none."""
    kept = _read(_path(bundle, exec_id))
    try:
        return int(kept["pid"]), Exit(int(kept["exitStatus"]), int(kept["exitedAt"]))  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError):
        return None


def write_pid(bundle: str, pid: int) -> None:
    """Keep the init's pid. Raises OSError."""
    with open(os.path.join(bundle, INIT_PID), "w", encoding="ascii") as file:
        file.write(str(pid))


def read_pid(bundle: str) -> int:
    """The init's pid, 0 where there never was one."""
    try:
        with open(os.path.join(bundle, INIT_PID), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def criu_log(bundle: str) -> str:
    """Where criu's log goes, which an error names."""
    return os.path.join(bundle, _CRIU)


def forget(bundle: str, exec_id: str) -> None:
    """Remove a kept exit."""
    try:
        os.unlink(_path(bundle, exec_id))
    except FileNotFoundError:
        pass


def clear(bundle: str) -> None:
    """Remove all that is kept of a container. Raises OSError."""
    for directory in (os.path.join(bundle, _DIRECTORY), criu_log(bundle)):
        try:
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
            os.rmdir(directory)
        except FileNotFoundError:
            continue
    for name in (INIT_PID, RECORD):
        try:
            os.unlink(os.path.join(bundle, name))
        except FileNotFoundError:
            continue


def _path(bundle: str, exec_id: str) -> str:
    name = f"exec-{exec_id}" if exec_id else "init"
    return os.path.join(bundle, _DIRECTORY, f"{name}.json")


def _replace(path: str, content: dict[str, object]) -> None:
    part = f"{path}.new"
    with open(part, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(jsontext.dumps(content))
    os.rename(part, path)


def _read(path: str) -> dict[str, object]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            content = jsontext.loads(file.read(), lone_surrogates=True)
    except (OSError, OrlopError):
        return {}
    return content if isinstance(content, dict) else {}
