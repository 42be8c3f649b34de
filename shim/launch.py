# SPDX-License-Identifier: Apache-2.0
"""`start`: a shim of its own for each container, or one for a group (a pod)."""

from __future__ import annotations

import _signal
import _socket
import fcntl
import os
from _blake2 import blake2b  # hashlib would load all of OpenSSL

from native import syscalls
from runtime import caller, private_directory
from shim import exits, messages, options
from shim.options import Options
from shim.protobuf import Malformed
from shim.ttrpc import RpcError
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.bootstrap import Flags
    from shim.daemon import Daemon
    from shim.protobuf import Values
    from shim.title import Title

#: annotations that name a group, the first one found counts
GROUPS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
SOCKETS = "/run/containerd/s"
_PATH_MAX = 106  # of sockaddr_un, with the zero byte that Go adds (unix(7))
_BACKLOG = 128
_OOM_MAX = 1000


class Wanted:
    """What `start` was asked for, by flags and standard input."""

    __slots__ = (
        "address",
        "bundle",
        "events",
        "id",
        "namespace",
        "options",
        "result",
        "socket_dir",
        "words",
    )

    def __init__(self, flags: Flags, stdin: bytes) -> None:
        self.words = flags.words
        self.id = flags.text("id")
        self.namespace = flags.text("namespace")
        self.address = flags.text("address")
        self.bundle = flags.text("bundle") or os.getcwd()
        self.events = os.environ.get("TTRPC_ADDRESS", "")
        self.socket_dir = flags.text("socket-dir") or SOCKETS
        self.result = False
        self.options = Options()
        if not self.id or not self.namespace:
            raise ValueError("start needs -id and -namespace")
        params = bootstrap_params(stdin, self.id, self.namespace)
        if params is None:
            self.options = _options([stdin])
        else:
            self.options = _options(
                [messages.ANY.encode(e["value"] or {}) for e in params["extensions"]]
            )
            self.result = True
            self.events = params["ttrpc_address"] or self.events
            self.address = params["grpc_address"] or self.address
            self.socket_dir = params["socket_dir"] or self.socket_dir


def bootstrap_params(stdin: bytes, container_id: str, namespace: str) -> Values | None:
    """What containerd 2.3 and newer send; None for the options that older ones do.

    Both are protobuf. They are told apart as containerd does: the first two fields are what the
    command line says too.
    """
    try:
        params = messages.BOOTSTRAP_PARAMS.decode(stdin)
    except Malformed:
        return None
    return (
        params
        if (params["instance_id"], params["namespace"]) == (container_id, namespace)
        else None
    )


def _options(candidates: Sequence[bytes]) -> Options:
    """The first of these that is an Any with options; Create says what is wrong with any."""
    for data in candidates:
        try:
            return options.load(messages.ANY.decode(data))
        except (Malformed, RpcError):
            continue
    return Options()


def start(flags: Flags) -> int:
    """Print the address of a shim for this container. Raises OSError, ValueError."""
    wanted = Wanted(flags, given())
    path = socket_path(wanted, group(wanted.bundle) or wanted.id)
    listener = _listen(path)
    if listener is not None:
        _detach(wanted, listener, path)
    _write_address(wanted.bundle, f"unix://{path}")
    os.write(1, answer(wanted, f"unix://{path}"))
    return 0


def given() -> bytes:
    """What is on standard input."""
    try:
        with open(0, "rb", buffering=0, closefd=False) as file:
            return file.read() or b""
    except OSError:
        return b""  # closed: containerd 1.6 gives nothing


def group(bundle: str) -> str:
    """The group that the bundle's annotations name, or ""."""
    try:
        with open(os.path.join(bundle, "config.json"), encoding="utf-8") as file:
            config = jsontext.loads(file.read())
    except (OSError, OrlopError, UnicodeDecodeError):
        return ""  # Create says what is the matter with it
    annotations = config.get("annotations") if isinstance(config, dict) else None
    for name in GROUPS:
        value = annotations.get(name) if isinstance(annotations, dict) else None
        if isinstance(value, str) and value:
            return value
    return ""


def socket_path(wanted: Wanted, name: str) -> str:
    """The socket's path: the same for each container of a group. Raises ValueError."""
    text = os.path.join(wanted.address, wanted.namespace, name)
    digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    path = os.path.join(wanted.socket_dir, digest)
    if len(path) > _PATH_MAX:
        raise ValueError(f"socket path {path}: longer than {_PATH_MAX} bytes")
    return path


def answer(wanted: Wanted, address: str) -> bytes:
    """What stdout gets.

    Plain text is what every containerd from 1.6 on takes, with version 2 of the Task API. One that
    sends parameters of its own knows version 3, which spares it further runs of this program.
    """
    if wanted.result:
        return messages.BOOTSTRAP_RESULT.encode(
            {"version": 3, "address": address, "protocol": "ttrpc"}
        )
    return address.encode()


def _listen(path: str) -> _socket.socket | None:
    """A listening socket, None where a shim listens already. Raises OrlopError, OSError."""
    private_directory.make(os.path.dirname(path))
    # One after another: a socket that is bound and doesn't listen yet looks like a dead one's.
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if is_served(path):
            listener.close()
            return None
        try:
            os.unlink(path)  # of a shim that was killed
        except FileNotFoundError:
            pass
        _bind(listener, path)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener


def _bind(listener: _socket.socket, path: str) -> None:
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)


def is_served(path: str) -> bool:
    """Whether somebody listens there."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except OSError:
        return False
    finally:
        probe.close()
    return True


def _detach(wanted: Wanted, listener: _socket.socket, path: str) -> None:
    """Fork the shim: a session of its own, no stdio, the socket; nothing of its starter's."""
    score = _oom_score() + 1
    if fork():
        listener.close()
        return
    status = 1
    try:
        os.setsid()
        if title is not None:
            _go_on_alone(title, wanted.words)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        kept = _moved(listener, _DESCRIPTOR)
        workers = None if pool is None else _moved(pool, _DESCRIPTOR + 1)
        syscalls.close_range(_DESCRIPTOR + (1 if workers is None else 2), _LAST)
        _set_oom_score(min(score, _OOM_MAX))
        if wanted.options.shim_cgroup:
            join_cgroup(wanted.options.shim_cgroup)
        serve(kept, wanted.namespace, wanted.events, path, wanted.bundle, workers=workers)
        status = 0
    finally:
        os._exit(status)


def _moved(socket: _socket.socket, number: int) -> _socket.socket:
    """The socket under a number of its own."""
    if socket.fileno() == number:
        return socket
    os.dup2(socket.detach(), number, inheritable=False)
    return _socket.socket(fileno=number)


def _go_on_alone(shown: Title, words: Sequence[str]) -> None:
    """Leave a planner's worker, of which we are a fork, to its caller (runtime.warm)."""
    _signal.signal(_signal.SIGIO, _signal.SIG_DFL)
    caller.current = caller.Heir()
    shown.change(*words)


_DESCRIPTOR = 3
_LAST = 2**31 - 1
#: In a planner's worker: its arguments, where shims borrow workers (both: shim.planner), and how a
#: shim is forked (shim.inherited).
title: Title | None = None
pool: _socket.socket | None = None
fork: Callable[[], int] = os.fork


def serve(
    listener: _socket.socket,
    namespace: str,
    events: str,
    path: str,
    bundle: str = "",
    daemon: Daemon | None = None,
    workers: _socket.socket | None = None,
) -> None:
    """Be the shim until its last container is deleted.

    daemon: what is ready for that. workers: where they can be borrowed, otherwise (shim.pool).
    """
    from shim.log import Log

    log = Log(os.path.join(bundle, "log") if bundle else "log")
    os.chdir("/")
    files = [path] if path else []
    if bundle:
        files.append(os.path.join(bundle, exits.ADDRESS))
    try:
        if daemon is None:
            from shim.daemon import Daemon

            if title is None:
                from shim.preload import preload

                preload()
            daemon = Daemon(workers)
        daemon.run(listener, namespace, events, log, tuple(files))
    except Exception as error:
        log.failure(error)
        raise


def _write_address(bundle: str, address: str) -> None:
    """For containerd 1.6 and 1.7, to find the shim again after their restart."""
    exits.replace(bundle, exits.ADDRESS, address)


def join_cgroup(path: str) -> None:
    """Move this process to an existing cgroup. Raises OrlopError, OSError."""
    from runtime import cgroups

    cgroup = cgroups.resolve(path, "shim")
    for fd in cgroup.join_fds():
        os.write(fd, b"0")
        os.close(fd)


def _oom_score() -> int:
    """oom_score_adj of whoever started us; the shim goes before it when memory is short."""
    try:
        with open(f"/proc/{_starter()}/oom_score_adj", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _starter() -> int:
    """The parent of the process that was called. Raises OSError."""
    with open(f"{caller.current.proc}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(") ")[2].split()[1])


def _set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(score))
    except OSError:
        pass  # rootless
