# SPDX-License-Identifier: Apache-2.0
"""Attaching to a process while it lives: a service of our own beside containerd's.

Attach brings descriptors (SCM_RIGHTS, unix(7)) for those of stdin, stdout and stderr that it names,
in this order. An attached stdout gets what comes from then on; an attached stdin is read into the
process's, which must have been asked for as `attach:`. With `log`, the answer says where the log of
stdout ends for who attached: what is before is in the log's file, what comes goes to the streams.
"""

from __future__ import annotations

import fcntl
import os
import stat

from shim import messages, ttrpc
from shim.service import guarded
from shim.task import find
from shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.daemon import Daemon
    from shim.server import Call, Methods

_NAMES = ("stdin", "stdout", "stderr")


class Attached:
    """Descriptors for a process, each -1 where it is not wanted. Owned until they are taken.

    ends_input: the end of stdin is the end of the process's, too.
    """

    __slots__ = ("ends_input", "fds")

    def __init__(self, fds: list[int], *, ends_input: bool) -> None:
        self.fds = fds
        self.ends_input = ends_input

    def take(self, number: int) -> int:
        """One of them, which is the caller's from now on."""
        fd, self.fds[number] = self.fds[number], -1
        return fd

    def close(self) -> None:
        """Close what nobody took."""
        for number in range(len(self.fds)):
            if self.fds[number] >= 0:
                os.close(self.take(number))


def methods(daemon: Daemon) -> Methods:
    """The service's table."""
    return {"Attach": (messages.ATTACH, messages.LOGGED, guarded(daemon, attach))}


def attach(daemon: Daemon, call: Call) -> None:
    """Now, or as soon as the process starts."""
    _, process = find(daemon.tasks, call)
    attached = _received(call)
    if process.end is not None:
        attached.close()
        raise RpcError(ttrpc.FAILED_PRECONDITION, "the process has ended")
    if process.stdio is None:
        process.attached.append(attached)
        call.reply()
        return
    process.stdio.connect(attached)
    if call.values["log"]:
        process.stdio.tell_log(lambda inode, size: call.reply({"inode": inode, "size": size}))
    else:
        call.reply()


def _received(call: Call) -> Attached:
    """The call's descriptors by what they are for, as descriptors of our own. Raises RpcError."""
    given = call.take_descriptors()
    wanted = [name for name in _NAMES if call.values[name]]
    fds = [-1, -1, -1]
    attached = Attached(fds, ends_input=call.values["ends_input"])
    try:
        _check_number(len(given), wanted)
        for name, fd in zip(wanted, given, strict=True):
            fds[_NAMES.index(name)] = _own(name, fd)
    except BaseException:
        attached.close()
        raise
    finally:
        for fd in given:
            os.close(fd)
    return attached


def _check_number(given: int, wanted: list[str]) -> None:
    if given != len(wanted):
        text = f"{given} descriptors for {', '.join(wanted) or 'nothing'}"
        raise RpcError(ttrpc.INVALID_ARGUMENT, text)


def _own(name: str, fd: int) -> int:
    """The same file, opened anew: O_NONBLOCK belongs to what was opened, and so to its owner, too.

    A socket can't be opened anew, and must not: it is made non-blocking. Files never block.
    """
    mode, flags = os.fstat(fd).st_mode, fcntl.fcntl(fd, fcntl.F_GETFL)
    access = os.O_RDONLY if name == "stdin" else os.O_WRONLY
    if flags & os.O_PATH or flags & os.O_ACCMODE not in (access, os.O_RDWR):
        raise RpcError(ttrpc.INVALID_ARGUMENT, f"{name}: the descriptor's mode does not allow it")
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open(
                f"/proc/self/fd/{fd}", access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            )
        except OSError as error:
            raise RpcError(ttrpc.UNKNOWN, f"{name}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode) and not stat.S_ISREG(mode):
        text = f"{name}: not a pipe, a socket, a file or a terminal"
        raise RpcError(ttrpc.INVALID_ARGUMENT, text)
    own = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    if stat.S_ISSOCK(mode):
        os.set_blocking(own, False)
    return own
