# SPDX-License-Identifier: Apache-2.0
"""A seccomp agent: takes a listener's descriptor on a socket, and answers what it notifies of."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: struct seccomp_notif, struct seccomp_notif_resp and their ioctls (linux/seccomp.h).
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")
RECEIVE = 0xC0502100
SEND = 0xC0182101
CONTINUE = 1


class Answer:
    """What a call returns: its error (an errno), or its value, or what the kernel makes of it."""

    def __init__(self, value: int = 0, error: int = 0, *, goes_on: bool = False) -> None:
        self.value, self.error, self.flags = value, -error, CONTINUE if goes_on else 0


GO_ON = Answer(goes_on=True)


class Agent:
    """Serves one listener after the other in a thread of its own, until `close()`.

    answer: called with a system call's number. states: what came with each descriptor, in order.
    seen: the numbers of the calls that waited. arrived: set with the first descriptor.
    """

    def __init__(self, path: Path, answer: Callable[[int], Answer]) -> None:
        self.path = path
        self.states: list[dict[str, Any]] = []
        self.seen: list[int] = []
        self.arrived = threading.Event()
        self._answer = answer
        self._failure: BaseException | None = None
        self._end, self._wake = os.pipe()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(4)
        self._listeners: list[int] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. Raises whatever went wrong in it."""
        os.close(self._wake)
        self._thread.join(limit(20))
        assert not self._thread.is_alive()
        self._socket.close()
        for fd in (self._end, *self._listeners):
            os.close(fd)
        if self._failure is not None:
            raise self._failure

    def drop(self) -> None:
        """Hang up: no listener is left."""
        os.write(self._wake, b"x")
        self._thread.join(limit(20))
        for fd in self._listeners:
            os.close(fd)
        self._listeners.clear()

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        except BaseException as error:  # noqa: BLE001 - told by close()
            self._failure = error

    def _serve(self) -> bool:
        poll = select.poll()
        for fd in (self._end, self._socket.fileno(), *self._listeners):
            poll.register(fd, select.POLLIN)
        for fd, events in poll.poll():
            if fd == self._end:
                return False
            if fd == self._socket.fileno():
                self._accept()
            elif events & select.POLLIN:
                self._respond(fd)
            else:  # all that had the filter have ended
                self._listeners.remove(fd)
                os.close(fd)
        return True

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            message, fds, _, _ = socket.recv_fds(connection, 65536, 4)
            rest = connection.recv(1)
        assert rest == b""  # one state a connection
        assert len(fds) == 1
        self.states.append(json.loads(message))
        self._listeners += fds
        self.arrived.set()

    def _respond(self, fd: int) -> None:
        data = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(fd, RECEIVE, data)
            number, _, _, call = NOTIFICATION.unpack(data)[:4]
            self.seen.append(call)
            answer = self._answer(call)
            reply = RESPONSE.pack(number, answer.value, answer.error, answer.flags)
            fcntl.ioctl(fd, SEND, bytearray(reply))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):  # the caller was killed meanwhile
                raise
