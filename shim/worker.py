# SPDX-License-Identifier: Apache-2.0
"""Workers: processes that call what may block, in `runtime`.

`runtime` changes its process's directory for a moment, waits for children, and locks: things of a
process, so a thread would not do. A worker is a forked copy of the shim, gone when the work is
done; what it started is then the shim's child, because the shim is a subreaper. Or it is borrowed
(shim.lent).
"""

from __future__ import annotations

import _signal
import os

import prctl

from native import syscalls
from runtime.errors import AlreadyExists, NotFound, WrongStatus
from shim import channel, ttrpc
from shim.channel import Channel
from shim.loop import READ
from shim.ttrpc import RpcError
from spec import jsontext
from spec.errors import InvalidSpec, OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Sequence
    from typing import Any

    from shim.loop import Loop
    from shim.server import Call
    from shim.workers import Workers

    Work = Callable[["Channel"], object]
    Done = Callable[[object, RpcError | None], None]
    Heard = Callable[[str, int], None]


class Worker:
    """The shim's side of one worker."""

    is_lent = False

    def __init__(
        self,
        workers: Workers,
        loop: Loop,
        connection: _socket.socket,
        done: Done,
        heard: Heard | None,
    ) -> None:
        self._workers = workers
        self._loop = loop
        self._socket = connection
        self._done: Done | None = done
        self._heard = heard
        self._pidfd = -1
        workers.began(connection.fileno(), is_lent=self.is_lent)
        loop.watch(connection.fileno(), READ, self._on_event)

    def _on_event(self, _events: int) -> None:
        try:
            message, fds = channel.receive(self._socket)
        except OSError:
            message, fds = None, []
        if message is None:
            self._ended()
        else:
            kind, content = message
            self._heed(kind, content, fds)

    def _heed(self, kind: str, content: Any, fds: list[int]) -> None:  # noqa: ANN401 - marshal's
        if kind == channel.WORD:
            if self._heard is not None:
                self._heard(content, fds[0] if fds else -1)
        elif kind == channel.DONE:
            self._finish(content, None)
        else:
            self._finish(None, RpcError(*content))

    def _finish(self, result: object, error: RpcError | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(result, error)

    def is_process(self, pid: int) -> None:
        """Its pid, as long as that can be nobody else's."""
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            pass  # no descriptor is left, or it has gone

    def _ended(self) -> None:
        """The worker has gone, and its children are ours.

        One that is killed loses its descriptors before it has ended; until then what it was making
        counts as its own.
        """
        if self._done is None or self._pidfd < 0:
            self._gone()
        else:
            self._loop.forget(self._socket.fileno())
            self._loop.watch(self._pidfd, READ, lambda _events: self._gone())

    def _gone(self) -> None:
        self._finish(None, RpcError(ttrpc.UNKNOWN, "the worker was killed before it had finished"))
        self._close()

    def _close(self) -> None:
        if self._pidfd >= 0:
            self._loop.forget(self._pidfd)
            os.close(self._pidfd)
        fd = self._socket.fileno()
        self._loop.forget(fd)
        self._socket.close()
        self._workers.ended(fd)


def bound(work: Callable[..., object], *arguments: object) -> Work:
    """Work with its arguments; the channel comes last."""
    return lambda channel: work(*arguments, channel)


def refuse(call: Call, verb: str, error: RpcError) -> None:
    """Answer in the words by which people find such errors of containerd's own shim."""
    call.fail(error.code, f"OCI runtime {verb} failed: {error.message}", error.details)


def live(work: Work, connection: _socket.socket, keep: Sequence[int], shim: int) -> None:
    """The child's life: no way leads back into the shim's loop."""
    status = 1
    try:
        # What a killed shim's worker would still do, `delete` does, and not both at once.
        prctl.set_pdeathsig(_signal.SIGKILL)
        if os.getppid() != shim:
            os._exit(status)
        close_others(keep)
        do(work, Channel(connection))
        status = 0
    finally:
        os._exit(status)


def do(work: Work, shim: Channel) -> bool:
    """Do the work, and tell how it ended; False: it failed. Raises OSError: the shim has gone."""
    try:
        result = work(shim)
    except Exception as error:  # noqa: BLE001 - whatever it is, the master is to be told
        shim.finish(channel.FAILED, failure(error))
        return False
    shim.finish(channel.DONE, result)
    return True


def close_others(keep: Sequence[int]) -> None:
    """Close all but stdio and these: who reads a pipe of the shim's must see its end."""
    first = 3
    for fd in sorted({fd for fd in keep if fd >= first}):
        if fd > first:
            syscalls.close_range(first, fd - 1)
        first = fd + 1
    syscalls.close_range(first, 2**31 - 1)


def failure(error: Exception) -> tuple[int, str, bytes]:
    """An error of `runtime` as RpcError has it, with codes as containerd's clients know them."""
    if isinstance(error, RpcError):
        return error.code, error.message, error.details
    return *_code_and_text(error), _details(error)


def _details(error: Exception) -> bytes:
    names = ("pointer", "hint", "operation", "step", "errno")
    found = {name: getattr(error, name) for name in names if getattr(error, name, None)}
    if "errno" not in found and isinstance(error.__cause__, OSError):
        found["errno"] = error.__cause__.errno
    if isinstance(error, InvalidSpec):
        found["violations"] = [
            {"pointer": v.pointer, "found": v.found, "allowed": v.allowed, "line": v.line}
            for v in error.violations
        ]
    return jsontext.dumps(found).encode() if found else b""


def _code_and_text(error: Exception) -> tuple[int, str]:
    text = str(error)
    if isinstance(error, OrlopError) and error.hint:
        text = f"{text} ({error.hint})"
    if isinstance(error, NotFound):
        return ttrpc.NOT_FOUND, text
    if isinstance(error, AlreadyExists):
        return ttrpc.ALREADY_EXISTS, text
    if isinstance(error, WrongStatus):
        return ttrpc.FAILED_PRECONDITION, text
    if isinstance(error, OrlopError | OSError):
        return ttrpc.UNKNOWN, text
    return ttrpc.UNKNOWN, f"{type(error).__name__}: {text}"
