# SPDX-License-Identifier: Apache-2.0
"""Between a shim and a worker: messages of marshal's, and descriptors with them (unix(7))."""

from __future__ import annotations

import _socket
import errno
import marshal
import os
import sys

from native.memory_file import memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

FAILED, DONE, WORD, ASK, READY = "failed", "done", "word", "ask", "ready"
#: Bytes of a message; a longer one would be cut.
MOST = 65536
_FD = 4
_SPACE = _socket.CMSG_SPACE(_FD * 253)  # SCM_MAX_FD


def send(connection: _socket.socket, message: Any, fds: Sequence[int] = ()) -> None:  # noqa: ANN401 - what marshal knows
    """Send one message. Raises OSError."""
    data = marshal.dumps(message)
    if len(data) > MOST:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    control = []
    if fds:
        rights = b"".join(fd.to_bytes(_FD, sys.byteorder) for fd in fds)
        control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
    connection.sendmsg([data], control)


def receive(connection: _socket.socket, flags: int = 0) -> tuple[Any, list[int]]:
    """One message and its descriptors; None at the end. Raises OSError."""
    data, control, _, _ = connection.recvmsg(MOST, _SPACE, _socket.MSG_CMSG_CLOEXEC | flags)
    fds = [
        int.from_bytes(rights[at : at + _FD], sys.byteorder)
        for _, _, rights in control
        for at in range(0, len(rights) - _FD + 1, _FD)
    ]
    return (marshal.loads(data) if data else None), fds  # noqa: S302 - from a copy of ourselves


def file(content: Any) -> int:  # noqa: ANN401 - what marshal knows
    """A file with what may be too long for a message. Raises OSError."""
    return memory_file("orlop-message", marshal.dumps(content))


def content(fd: int) -> Any:  # noqa: ANN401 - as above
    """What such a file holds. Raises OSError."""
    return marshal.loads(os.pread(fd, os.fstat(fd).st_size, 0))  # noqa: S302 - as above


class Channel:
    """The worker's end."""

    def __init__(self, connection: _socket.socket) -> None:
        self._socket = connection

    def tell(self, word: str, fd: int = -1) -> None:
        """Tell the shim something, with a descriptor perhaps, which is closed here."""
        send(self._socket, (WORD, word), [fd] if fd >= 0 else [])
        if fd >= 0:
            os.close(fd)

    def ask(self, what: str, arguments: object, fds: Sequence[int] = ()) -> tuple[Any, int]:
        """Have the shim do something: its answer, and the descriptor with it, or -1.

        Raises OSError, with the call that failed there as its text; ConnectionError: it has gone.
        """
        self.request(what, arguments, fds)
        return self.answer()

    def request(self, what: str, arguments: object, fds: Sequence[int] = ()) -> None:
        """Have the shim do something; `answer` comes before the next request. Raises OSError."""
        send(self._socket, (ASK, (what, arguments)), fds)

    def answer(self) -> tuple[Any, int]:
        """The answer to the last request. Raises as `ask` does."""
        answer, received = receive(self._socket)
        if answer is None:
            raise ConnectionResetError
        value, error, step = answer
        if error:
            raise OSError(error, f"{step}: {os.strerror(error)}")
        return value, received[0] if received else -1

    def finish(self, kind: str, content: object) -> None:
        """Say how the work ended."""
        send(self._socket, (kind, content))
