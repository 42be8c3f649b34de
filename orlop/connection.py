# SPDX-License-Identifier: Apache-2.0
"""A connection to orlopd that waits for its answers."""

from __future__ import annotations

import _socket
import errno
import os
import sys

from orlop.errors import Lost, Unreachable
from orlop.protocol import Answer, Notification, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.calls import Call

_CHUNK = 65536


def default_path() -> str:
    """Where orlopd listens if it was not told otherwise: below /run, or the user's directory."""
    base = os.environ.get("XDG_RUNTIME_DIR", "") if os.geteuid() else ""
    return os.path.join(base or "/run", "orlopd", "orlopd.sock")


def unreachable(path: str, error: OSError) -> Unreachable:
    """Why nobody could be reached, and what to do about it."""
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        root = os.path.dirname(path)
        return Unreachable(
            f"{path}: no orlopd listens here", hint=f"start one: orlopd --root {root}"
        )
    if error.errno == errno.EACCES:
        hint = "orlopd --group NAME lets the members of a group connect"
        return Unreachable(f"{path}: permission denied", hint=hint)
    return Unreachable(f"{path}: {os.strerror(error.errno or 0)}")


class Connection:
    """Requests out; answers and notifications in. Of one thread."""

    def __init__(self, path: str) -> None:
        """Connect. Raises Unreachable."""
        self._protocol = Protocol()
        self._answers: dict[int, Answer] = {}
        self._waited: set[int] = set()
        self.notifications: list[Notification] = []
        self._socket = _socket.socket(_socket.AF_UNIX)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise unreachable(path, error) from error

    def fileno(self) -> int:
        """To be waited for: readable when `read` has something."""
        return self._socket.fileno()

    def call(self, call: Call[object], fds: Sequence[int] = ()) -> object:
        """The result; notifications that come meanwhile are kept. Raises Refused, Lost."""
        return self.finish(self.begin(call, fds))

    def begin(self, call: Call[object], fds: Sequence[int] = ()) -> int:
        """Send a request, with descriptors beside its first byte; its number. Raises Lost."""
        number, data = self._protocol.request(call.method, call.params)
        view = memoryview(data)
        try:
            if fds:
                numbers = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
                rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)]
                view = view[self._socket.sendmsg([view], rights) :]
            self._socket.sendall(view)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Lost("orlopd has closed the connection") from error
        self._waited.add(number)
        return number

    def finish(self, number: int) -> object:
        """Wait for an answer. Raises Refused, Lost."""
        try:
            while number not in self._answers:
                self.read()
        finally:
            self._waited.discard(number)  # interrupted: nobody asks for it any more
        return self._answers.pop(number).value()

    def answer(self, number: int) -> bool:
        """Whether an answer is there: `finish` won't wait."""
        return number in self._answers

    def read(self) -> None:
        """Wait for something, and sort it. Raises Lost, ProtocolError."""
        try:
            data = self._socket.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Lost("orlopd has closed the connection")
        for message in self._protocol.receive(data):
            if isinstance(message, Notification):
                self.notifications.append(message)
            elif message.number in self._waited:
                self._answers[message.number] = message

    def is_stale(self) -> bool:
        """Whether the other side has closed it, with nothing of ours under way."""
        try:
            return not self._socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Go away; may be called again."""
        self._socket.close()
