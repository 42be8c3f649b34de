# SPDX-License-Identifier: Apache-2.0
"""A worker that a shim borrows from a pool (shim.pool), as the shim sees it.

It does what a fork of the shim would do, in a third of the time, because it has done such work
before. What has to be the shim's child the shim starts, at once and without waiting. Where there is
no such worker, a fork does it: a request that nobody has taken is taken back.
"""

from __future__ import annotations

import _signal
import _socket
import errno
import os

from native import syscalls
from runtime import caller
from shim import channel
from shim.loop import READ
from shim.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from shim.loop import Loop
    from shim.reaper import Reaper
    from shim.worker import Done, Heard
    from shim.workers import Workers

#: Seconds until a fork is made instead: all workers are busy, or the machine is.
_PATIENCE = 2.0
_PYTHON_IGNORES = (_signal.SIGPIPE, _signal.SIGXFSZ)
_NOT_EXECUTED = 127


class Request:
    """What a worker of the pool is to do.

    name: of a work (shim.pool). arguments: that marshal knows. reaper: waits for what is started.
    """

    __slots__ = ("arguments", "fds", "name", "reaper")

    def __init__(
        self, name: str, arguments: Sequence[object], reaper: Reaper, fds: Sequence[int] = ()
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.fds = fds
        self.reaper = reaper


def hand_over(pool: _socket.socket, request: Request) -> tuple[_socket.socket, _socket.socket]:
    """Send a request to whichever worker is free next: both ends of the connection to it.

    The request waits in the connection, and the worker takes it there; so can we, as long as none
    has. Raises OSError.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        ours.settimeout(0)
        umask = os.umask(0o77)
        os.umask(umask)
        message = (request.name, os.getpid(), umask, request.arguments)
        channel.send(ours, message, request.fds)
        channel.send(pool, channel.READY, [theirs.fileno()])
    except OSError:
        ours.close()
        theirs.close()
        raise
    return ours, theirs


class LentWorker(Worker):
    """From the request until the end of the work. otherwise: done where nobody takes it."""

    is_lent = True

    def __init__(
        self,
        workers: Workers,
        loop: Loop,
        pool: _socket.socket,
        request: Request,
        done: Done,
        heard: Heard | None,
        otherwise: Callable[[], None],
    ) -> None:
        """Raises OSError: BrokenPipeError where there is no pool any more."""
        connection, self._theirs = hand_over(pool, request)
        self._request = request
        self._otherwise = otherwise
        self._patience = loop.later(_PATIENCE, self._take_back)
        super().__init__(workers, loop, connection, done, heard)

    def _heed(self, kind: str, content: Any, fds: list[int]) -> None:  # noqa: ANN401 - marshal's
        if kind == channel.READY:
            self._patience.cancel()
            self._theirs.close()
            self.is_process(content)
        elif kind == channel.ASK:
            what, arguments = content
            self._serve(what, arguments, fds)
        else:
            super()._heed(kind, content, fds)
            if kind != channel.WORD:
                self._close()  # it goes on, without us

    def _take_back(self) -> None:
        """Nobody has been ready for too long."""
        try:
            _, fds = channel.receive(self._theirs, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._theirs.close()  # it is being done: its end is to be seen
            return
        self._theirs.close()
        for fd in fds:
            os.close(fd)
        self._otherwise()  # a worker more, before there is one less
        self._close()

    # -- what it asks for

    def _serve(self, what: str, arguments: Any, fds: list[int]) -> None:  # noqa: ANN401
        table: dict[str, Callable[[Any, list[int]], None]] = {
            "environment": self._tell_environment,
            "run": self._run,
            "spawn": self._spawn,
            "wait": self._wait,
        }
        try:
            table[what](arguments, fds)
        except OSError as error:
            self._answer(0, error.errno or errno.EIO, str(error.strerror).partition(":")[0])
        except IndexError:
            self._answer(0, errno.EMFILE, "recvmsg")  # no descriptor was left to take one
        finally:
            for fd in fds:
                os.close(fd)

    def _answer(self, value: object, error: int = 0, step: str = "", fd: int = -1) -> None:
        try:
            channel.send(self._socket, (value, error, step), [fd] if fd >= 0 else [])
        except OSError:
            pass  # it has gone, and its end is on its way

    def _tell_environment(self, _arguments: None, _fds: list[int]) -> None:
        content = channel.file(caller.current.environment())
        try:
            self._answer(0, fd=content)
        finally:
            os.close(content)

    def _spawn(self, arguments: Any, fds: list[int]) -> None:  # noqa: ANN401
        """Start an init (runtime.caller)."""
        table, base, clone_flags, cgroup, flags = arguments
        given = [fds[index] if index >= 0 else -1 for index in table]
        cgroup_fd = fds[cgroup] if cgroup >= 0 else -1
        pid, pidfd = syscalls.spawn(fds[0], given, base, clone_flags, cgroup_fd, flags)
        try:
            self._answer(pid, fd=pidfd)
        finally:
            os.close(pidfd)

    def _run(self, _arguments: None, fds: list[int]) -> None:
        """Start a program, a hook's: its answer comes when it is executed, or can't be."""
        content, where, *stdio = fds
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
            if not pid:
                _execute(content, where, stdio, writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)

        def executed(_events: int) -> None:
            self._loop.forget(reader)
            said = os.read(reader, 16)
            os.close(reader)
            self._answer(pid, int(said or b"0"), "execve")

        self._loop.watch(reader, READ, executed)

    def _wait(self, pid: int, _fds: list[int]) -> None:
        """Answer with a child's status, when it has ended."""
        self._request.reaper.wait(pid, self._answer)


def _execute(content: int, where: int, stdio: Sequence[int], told: int) -> None:
    """The child's life: be the program, or write the number of the error."""
    try:
        path, args, env = channel.content(content)
        os.fchdir(where)
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        for number in _PYTHON_IGNORES:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        os.execve(path, args, env)  # noqa: S606 - no shell, as the bundle says
    except OSError as error:
        os.write(told, str(error.errno).encode())
    finally:
        os._exit(_NOT_EXECUTED)
