# SPDX-License-Identifier: Apache-2.0
"""A warm planner: everything is imported, and each call is done by a worker that was forked before.

The interpreter's start and the imports are most of a cold call. runtime.worker is a worker's life,
runtime.warm one call.
"""

from __future__ import annotations

import _signal
import _socket
import errno
import gc
import os
import select
import sys

from runtime import warm
from runtime.worker import Line, Worker
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.worker import Service

#: Idle workers, ahead of the calls to come.
IDLE = 2
#: Workers that stay after many calls at once; each has some megabytes of its own.
KEPT = 6
#: Calls at once; more are told to do it themselves.
MOST = 64
_FIRST_PASSED = 3  # sd_listen_fds(3)


def default_socket(name: str = "orlop-planner.sock") -> str:
    """Where native/client looks for a planner by its socket. Raises OrlopError: nowhere."""
    if os.geteuid() == 0:
        return f"/run/{name}"
    directory = os.environ.get("XDG_RUNTIME_DIR", "")
    if not directory.startswith("/"):
        raise OrlopError("XDG_RUNTIME_DIR is not set", hint="name the socket, by -socket PATH")
    return f"{directory}/{name}"


def listen(path: str) -> _socket.socket:
    """A listening socket at `path`, for our own user alone. Raises OrlopError."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        _clear(path)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(MOST)
    except OSError as error:
        listener.close()
        raise OrlopError(f"socket {path}: {error.strerror}") from error
    return listener


def _clear(path: str) -> None:
    """Remove the socket of a planner that was killed. Raises OrlopError where one is at work."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        probe.connect(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
    else:
        raise OrlopError(f"socket {path}: a planner is there already")
    finally:
        probe.close()


def passed() -> _socket.socket | None:
    """The listening socket that a service manager passed (sd_listen_fds(3)), None for none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    os.set_inheritable(_FIRST_PASSED, False)  # noqa: FBT003 - the function's only form
    return _socket.socket(fileno=_FIRST_PASSED)


def preload() -> None:
    """Import what calls import."""
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "commands")
    for name in sorted(os.listdir(directory)):
        if name.endswith(".py") and name != "planner.py":
            __import__(f"runtime.commands.{name.removesuffix('.py')}")
    from runtime import compile as compile_  # noqa: F401 - and what it imports
    from runtime.cgroups import (  # noqa: F401
        cgroupfs_v1,
        cgroupfs_v2,
        device_rules,
        resources_v1,
        resources_v2,
        setting,
    )
    from runtime.cgroups import host as _host  # noqa: F401
    from spec import _config_check, _process_check  # noqa: F401
    from spec.rules import config as _config  # noqa: F401


def called() -> str:
    """The path of the program that people call, in a process that its cold form is."""
    return os.path.realpath(sys.argv[0]).removesuffix("-cold")


def run(path: Callable[[], str], program: warm.Program, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM: on the socket that a service manager passed, or at a path of our own.

    All that workers need is imported. Raises OrlopError, OSError.
    """
    listener = passed()
    made = ""
    if listener is None:
        made = os.path.abspath(path())
        listener = listen(made)
    try:
        Planner(listener, warm.Calls(program, tell)).run(_ready)
    finally:
        if made:
            os.unlink(made)


def _ready() -> None:
    """Tell the service manager (sd_notify(3)); the line is for people and tests."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        address = f"\0{path[1:]}" if path.startswith("@") else path
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        socket.sendto(b"READY=1", address)
        socket.close()


class Planner:
    """Workers for those who come to a socket."""

    def __init__(self, listener: _socket.socket, service: Service) -> None:
        self._listener = listener
        self._service = service
        self._ends, self._end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._lines: dict[int, tuple[int, Line]] = {}  # descriptor -> pid, and the line to it
        self._idle: set[int] = set()

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. Calls that are being done are finished.

        Idle workers end with this process.
        """
        for number in (_signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, lambda *_: None)
        _signal.set_wakeup_fd(self._end)
        gc.collect()
        gc.freeze()
        self._poll.register(self._ends, select.POLLIN)
        self._fill()
        ready()
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._ends:
                    return
                self._hear(fd)
            self._fill()

    def _hear(self, fd: int) -> None:
        """What a worker says, or its end."""
        pid, line = self._lines[fd]
        said = line.said()
        if said == line.WORKS:
            self._idle.discard(pid)
        elif said == line.ASKS and (pid in self._idle or len(self._lines) <= KEPT):
            self._idle.add(pid)
            line.answer(self._listener)
        else:
            self._idle.discard(pid)
            self._poll.unregister(fd)
            del self._lines[fd]
            line.socket.close()
            os.waitpid(pid, 0)

    def _fill(self) -> None:
        """Fork what is missing: beyond MOST a single worker that refuses, quickly."""
        full = len(self._lines) - len(self._idle) >= MOST
        while len(self._idle) < (1 if full else IDLE):
            ours, its = Line.pair()
            try:
                pid = os.fork()
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOMEM):
                    raise
                return  # the next word of a worker brings us here again
            if not pid:
                self._work(ours, its, refuse=full)
            self._lines[ours.socket.fileno()] = pid, ours
            self._poll.register(ours.socket, select.POLLIN)
            self._idle.add(pid)

    def _work(self, ours: Line, its: Line, *, refuse: bool) -> None:
        """The worker's life."""
        try:
            _signal.set_wakeup_fd(-1)
            for _, line in (*self._lines.values(), (0, ours)):
                line.socket.close()
            for fd in (self._ends, self._end, self._listener.detach()):
                os.close(fd)
            Worker(its, self._service).run(refuse=refuse)
        except BaseException as error:  # noqa: BLE001 - the worker's end, whatever it is
            _report(error)
        finally:
            os._exit(0)


def _report(error: BaseException) -> None:
    if not isinstance(error, BrokenPipeError | ConnectionResetError):  # the caller has gone
        try:
            sys.stderr.write(f"orlop: planner: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
        except OSError:
            pass
