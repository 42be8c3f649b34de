# SPDX-License-Identifier: Apache-2.0
"""What is done before there is a container, so that a shim does its part as if it knew it already.

As runtime.rehearsal: in the process that shims are forked from, so that code is adapted where all
share it; and once in a shim that waits for its request, which has its own copy of what it writes to
then (fork(2)). The calls are those of a container's life, over a connection; there is no container,
and what would make one is left out.
"""

from __future__ import annotations

import _socket
import os
import time

from shim import log_file, messages, service, ttrpc
from shim.exits import Exit
from shim.loop import READ, Loop
from shim.publisher import Publisher
from shim.server import Connection, Server
from shim.ttrpc import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from shim.log_file import File
    from shim.protobuf import Table

_ROUNDS = 20  # see runtime.rehearsal
_NAME = "rehearsal"
_NOWHERE = "/proc/rehearsal"
_LOG = "json:///dev/null"
_PID = 1 << 30  # of nobody: above every pid_max
_OPTIONS = {
    "type_url": "containerd.runc.v1.Options",
    "value": messages.RUNC_OPTIONS.encode({"root": _NOWHERE}),
}
_LIFE: tuple[tuple[str, Table, dict[str, Any]], ...] = (
    ("Create", messages.CREATE, {"bundle": _NOWHERE, "stdout": _LOG, "stderr": _LOG,
                                 "options": _OPTIONS}),
    ("Start", messages.PROCESS_ID, {}),
    ("Exec", messages.EXEC, {"exec_id": "x", "stdout": _LOG, "stderr": _LOG}),
    ("Start", messages.PROCESS_ID, {"exec_id": "x"}),
    ("Wait", messages.PROCESS_ID, {"exec_id": "x"}),
    ("Delete", messages.PROCESS_ID, {"exec_id": "x"}),
    ("State", messages.PROCESS_ID, {}),
    ("Wait", messages.PROCESS_ID, {}),
    ("Delete", messages.PROCESS_ID, {}),
)  # fmt: skip


def rehearse() -> None:
    """Go through a container's life, until code is adapted to it. Raises OSError."""
    for _ in range(_ROUNDS):
        _Stage(_LIFE).play()


def rehearse_beginning() -> None:
    """Go through what comes first, once: each page that is copied stays so. Raises OSError."""
    _Stage(_LIFE[:2]).play()


class _Stage:
    """In the place of a shim's Daemon, its workers, its reaper, and the client."""

    namespace = _NAME

    def __init__(self, life: Sequence[tuple[str, Table, dict[str, Any]]]) -> None:
        self.loop = Loop(_raise)
        self.tasks: dict[str, Any] = {}
        self.publisher = Publisher(self.loop, "", _NAME, self.warn)
        self.workers = self.reaper = self
        self._ends: list[Callable[[Exit], None]] = []
        self._left = list(life)
        self._stream = -1

    def play(self) -> None:
        """Make all calls, one after another."""
        writers, log_file._writers = log_file._writers, [_Nowhere()]  # type: ignore[list-item]  # noqa: SLF001
        listener, other = _socket.socketpair()
        self._client, theirs = _socket.socketpair()
        try:
            table = service.methods(self)  # type: ignore[arg-type]
            server = Server(self.loop, listener, {service.NAMES[1]: table})
            connection = Connection(server, theirs)
            self.loop.watch(self._client.fileno(), READ, self._answered)
            self._call()
            self.loop.run()
            connection.close()
        finally:
            log_file._writers = writers  # noqa: SLF001
            for socket in (listener, other, self._client, theirs):
                socket.close()
            self.loop.close()

    def _call(self) -> None:
        method, table, values = self._left.pop(0)
        self._stream += 2
        payload = table.encode({"id": _NAME, **values})
        request = {
            "service": service.NAMES[1],
            "method": method,
            "payload": payload,
            "metadata": [{"key": messages.DETAILS, "value": "1"}],
        }
        frame = Frame(self._stream, ttrpc.REQUEST, 0, messages.REQUEST.encode(request))
        self._client.send(frame.pack())
        if method == "Wait":
            self.loop.later(0, self._end)

    def _answered(self, _events: int) -> None:
        self._client.recv(65536)
        if self._left:
            self._call()
        else:
            self.loop.stop()

    def _end(self) -> None:
        self._ends.pop()(Exit(0, time.time_ns()))

    # -- Daemon

    def warn(self, text: str) -> None:
        """Nobody hears it."""

    def settle(self) -> None:
        """There is an end to it."""

    def make_way(self) -> None:
        """Nobody waits."""

    # -- Workers

    def start(self, _work: object, done: Callable[[object, None], None], **given: Any) -> None:  # noqa: ANN401
        """What a worker would do is not done."""
        request = given.get("request")
        if request is not None and request.fds:
            os.write(request.fds[1], b"a line\n")
        done(_PID, None)

    # -- Reaper

    def expect(self, _pid: int, act: Callable[[Exit], None]) -> None:
        """It will end, when somebody waits for that."""
        self._ends.append(act)

    def collect(self) -> None:
        """There is nobody."""


class _Nowhere:
    """In the place of the thread that writes log files."""

    def has_room(self) -> bool:
        """See Writer."""
        return True

    def give(self, file: File, data: bytes | None) -> None:
        """See Writer."""
        if data is None:
            log_file._release(file)  # noqa: SLF001


def _raise(error: Exception) -> None:
    raise error
