# SPDX-License-Identifier: Apache-2.0
"""Workers: forked children of the shim that call what may block, in `runtime`.

`runtime` changes its process's directory for a moment, waits for children, and locks: things of a
process, so a thread would not do. A forked copy of a warm interpreter costs 2 ms and is gone when
the work is done; what it started is then the shim's child, because the shim is a subreaper.
"""

from __future__ import annotations

import _signal
import _socket
import marshal
import os
import sys

import prctl

from native import syscalls
from runtime.errors import AlreadyExists, NotFound, WrongStatus
from shim import ttrpc
from shim.loop import READ
from shim.ttrpc import RpcError
from spec import jsontext
from spec.errors import InvalidSpec, OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from shim.loop import Loop
    from shim.server import Call

    Work = Callable[["Channel"], object]
    Done = Callable[[object, RpcError | None], None]
    Heard = Callable[[str, int], None]

_SIZE = 65536
_SCM_SPACE = _socket.CMSG_SPACE(4)
_FAILED, _DONE, _WORD = "failed", "done", "word"


class Channel:
    """The worker's end: words to the shim while the work goes on."""

    def __init__(self, connection: _socket.socket) -> None:
        self._socket = connection

    def tell(self, word: str, fd: int = -1) -> None:
        """Tell the shim something, with a descriptor perhaps, which is closed here."""
        self._send((_WORD, word), fd)
        if fd >= 0:
            os.close(fd)

    def finish(self, kind: str, content: object) -> None:
        """Say how the work ended."""
        self._send((kind, content))

    def _send(self, message: Any, fd: int = -1) -> None:  # noqa: ANN401 - what marshal knows
        control = []
        if fd >= 0:
            rights = fd.to_bytes(4, sys.byteorder)
            control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
        self._socket.sendmsg([marshal.dumps(message)], control)


class Workers:
    """All workers that are at work. on_idle: called when the last one has ended."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._busy: set[int] = set()
        self.on_idle: Callable[[], None] | None = None

    @property
    def are_busy(self) -> bool:
        """Whether a pid that nobody knows yet may be reported soon."""
        return bool(self._busy)

    def start(
        self, work: Work, done: Done, *, keep: Sequence[int] = (), heard: Heard | None = None
    ) -> None:
        """Fork; `done` gets the result, which marshal must know, or the error.

        keep: descriptors that the work needs. heard: gets what the worker tells meanwhile.
        """
        shim = os.getpid()
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        except OSError as error:
            self._refuse(done, "socketpair", error)
            return
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            self._refuse(done, "fork", error)
            return
        if pid == 0:
            _work(work, theirs, [*keep, theirs.fileno()], shim)
        theirs.close()
        _Worker(self, self._loop, ours, done, heard)
        self._busy.add(ours.fileno())

    def _refuse(self, done: Done, call: str, error: OSError) -> None:
        """No descriptors, processes or memory for a worker: told as if one had told it, later."""
        refusal = RpcError(ttrpc.RESOURCE_EXHAUSTED, f"{call}: {error.strerror}")
        self._loop.later(0, lambda: done(None, refusal))

    def ended(self, fd: int) -> None:
        """Forget a worker."""
        self._busy.discard(fd)
        if not self._busy and self.on_idle is not None:
            self.on_idle()


class _Worker:
    """The shim's side of one worker."""

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
        loop.watch(connection.fileno(), READ, self._on_event)

    def _on_event(self, _events: int) -> None:
        try:
            data, control, _, _ = self._socket.recvmsg(_SIZE, _SCM_SPACE, _socket.MSG_CMSG_CLOEXEC)
        except OSError:
            data, control = b"", []
        fd = -1
        for _, _, rights in control:
            fd = int.from_bytes(rights[:4], sys.byteorder)
        if not data:
            self._ended()
            return
        kind, content = marshal.loads(data)  # noqa: S302 - from a copy of ourselves
        if kind == _WORD:
            if self._heard is not None:
                self._heard(content, fd)
        elif kind == _DONE:
            self._finish(content, None)
        else:
            self._finish(None, RpcError(*content))

    def _finish(self, result: object, error: RpcError | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(result, error)

    def _ended(self) -> None:
        """The worker has gone, and its children are ours."""
        self._finish(None, RpcError(ttrpc.UNKNOWN, "the worker was killed before it had finished"))
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


def _work(work: Work, connection: _socket.socket, keep: Sequence[int], shim: int) -> None:
    """The child's life: no way leads back into the shim's loop."""
    status = 1
    try:
        # What a killed shim's worker would still do, `delete` does, and not both at once.
        prctl.set_pdeathsig(_signal.SIGKILL)
        if os.getppid() != shim:
            os._exit(status)
        _close_others(keep)
        channel = Channel(connection)
        try:
            result = work(channel)
        except Exception as error:  # noqa: BLE001 - whatever it is, the master is to be told
            channel.finish(_FAILED, failure(error))
        else:
            channel.finish(_DONE, result)
        status = 0
    finally:
        os._exit(status)


def _close_others(keep: Sequence[int]) -> None:
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
