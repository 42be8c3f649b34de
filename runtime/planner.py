# SPDX-License-Identifier: Apache-2.0
"""A warm planner: everything is imported, and each call is done by a worker that was forked before.

The interpreter's start and the imports are most of a cold call. A worker serves one call and ends,
so that nothing of one call is left for the next (runtime.warm).
"""

from __future__ import annotations

import _signal
import _socket
import errno
import gc
import os
import select
import sys

import prctl

from runtime import warm
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IDLE = 2
#: Calls at once; more are told to do it themselves.
MOST = 64
_NOTE = 4  # bytes of a pid
_FIRST_PASSED = 3  # sd_listen_fds(3)


def default_socket() -> str:
    """Where native/client/channel.c looks for a planner. Raises OrlopError: nowhere."""
    if os.geteuid() == 0:
        return "/run/orlop-planner.sock"
    directory = os.environ.get("XDG_RUNTIME_DIR", "")
    if not directory.startswith("/"):
        raise OrlopError("XDG_RUNTIME_DIR is not set", hint="name the socket with --socket")
    return f"{directory}/orlop-planner.sock"


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


class Planner:
    """Workers on a listening socket.

    program: directory of the programs; tell: told what becomes of each call.
    """

    def __init__(self, listener: _socket.socket, program: str, tell: Callable[[str], None]) -> None:
        self._listener = listener
        self._tell = tell
        self._ours = warm.Surroundings.of("/proc/self", program)
        self._notes, self._note = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._idle: set[int] = set()
        self._busy: set[int] = set()
        self._ended = False

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. Calls that are being done are finished."""
        for number in (_signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, self._end)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(self._woken)
        gc.collect()
        gc.freeze()
        poll = select.poll()
        for fd in (self._notes, self._wakeup):
            poll.register(fd, select.POLLIN)
        self._fill()
        ready()
        while not self._ended:
            poll.poll()
            self._drain_wakeups()
            self._take_notes()
            self._reap()
            self._fill()
        self._listener.close()
        for pid in self._idle:
            os.kill(pid, _signal.SIGKILL)

    def _end(self, *_: object) -> None:
        self._ended = True

    def _drain_wakeups(self) -> None:
        try:
            while os.read(self._wakeup, 4096):
                pass
        except BlockingIOError:
            pass

    def _take_notes(self) -> None:
        try:
            while note := os.read(self._notes, _NOTE):
                pid = int.from_bytes(note, sys.byteorder)
                if pid in self._idle:
                    self._idle.remove(pid)
                    self._busy.add(pid)
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        while True:
            try:
                pid = os.waitpid(-1, os.WNOHANG)[0]
            except ChildProcessError:
                return
            if not pid:
                return
            self._idle.discard(pid)
            self._busy.discard(pid)

    def _fill(self) -> None:
        """Fork what is missing: beyond MOST a single worker that refuses, quickly."""
        full = len(self._busy) >= MOST
        while len(self._idle) < (1 if full else IDLE):
            try:
                pid = os.fork()
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOMEM):
                    raise
                return  # the next end of a worker brings us here again
            if not pid:
                self._work(refuse=full)
            self._idle.add(pid)

    def _work(self, *, refuse: bool) -> None:
        """The worker's life."""
        try:
            _signal.set_wakeup_fd(-1)
            for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGCHLD):
                _signal.signal(number, _signal.SIG_DFL)
            prctl.set_pdeathsig(_signal.SIGKILL)  # whatever ends the planner, its idle workers go
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            prctl.set_pdeathsig(0)
            os.write(self._note, os.getpid().to_bytes(_NOTE, sys.byteorder))
            if not refuse:
                warm.serve(_socket.socket(fileno=descriptor), self._ours, self._tell)
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
