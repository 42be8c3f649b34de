# SPDX-License-Identifier: Apache-2.0
"""The ttrpc server: connections, their calls, answers in whatever order they come."""

from __future__ import annotations

import _socket
import errno
import os
import struct

from shim import messages, ttrpc
from shim.loop import READ, WRITE
from shim.protobuf import Malformed
from shim.ttrpc import Frame, Frames, RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shim.loop import Loop
    from shim.protobuf import Table, Values

    #: method -> the request's fields, the answer's, what serves it
    Methods = Mapping[str, tuple[Table, Table, Callable[["Call"], None]]]

_CONNECTIONS = 64
_CALLS = 4096  # unanswered ones of one connection: Wait stays so for a process's life
_PATIENCE = 1.0  # seconds until somebody may have gone, and a descriptor is free
_UNREAD = 16 << 20  # bytes of answers that a client may leave lying
_CHUNK = 65536
#: of accept(2): who connected has gone again; all else is a lack, of descriptors or of memory
_GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR)
_INT = struct.Struct("i")
_DESCRIPTORS = 3  # that a request may bring
_SCM_SPACE = _socket.CMSG_SPACE(_DESCRIPTORS * _INT.size)
_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


class Call:
    """One request; answered once, at any time, and harmlessly so after its client has gone."""

    __slots__ = (
        "_answer",
        "_connection",
        "_descriptors",
        "method",
        "stream",
        "values",
        "wants_details",
    )

    def __init__(
        self, connection: Connection, stream: int, request: Values, values: Values, answer: Table
    ) -> None:
        metadata = request["metadata"]
        self.wants_details = any(each["key"] == messages.DETAILS for each in metadata)
        self._descriptors = connection.take_descriptors()
        self._connection: Connection | None = connection
        self._answer = answer
        self.stream = stream
        self.method: str = request["method"]
        self.values = values

    def reply(self, values: Values | None = None) -> None:
        """Answer with a message."""
        self._send({"payload": self._answer.encode(values or {})})

    def fail(self, code: int, message: str, details: bytes = b"") -> None:
        """Answer with an error; with its details for who asked for them, which containerd doesn't.

        details: as of RpcError.
        """
        status: Values = {"code": code, "message": message}
        if details and self.wants_details:
            status["details"] = [{"type_url": messages.FAILURE, "value": details}]
        self._send({"status": status})

    def take_descriptors(self) -> list[int]:
        """What came with the request; the caller's from now on."""
        taken, self._descriptors = self._descriptors, []
        return taken

    @property
    def is_open(self) -> bool:
        """Whether somebody still waits for the answer."""
        return self._connection is not None and self._connection.is_open

    def _send(self, response: Values) -> None:
        for fd in self.take_descriptors():  # nobody took them
            os.close(fd)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.answer(self.stream, response)


class Connection:
    """One client's connection."""

    def __init__(self, server: Server, connection: _socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._frames = Frames()
        self._out = bytearray()
        self._last_stream = 0
        self._descriptors: list[int] = []
        self._calls = 0
        self.is_open = True
        connection.settimeout(0)
        server.loop.watch(connection.fileno(), READ, self._on_event)

    def _on_event(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if self.is_open and events & ~WRITE:
            self._read()

    def _read(self) -> None:
        try:
            data, control, _, _ = self._socket.recvmsg(_CHUNK, _SCM_SPACE, _socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, control = b"", []
        if not data:
            self.close()
            return
        frames, received = self._frames.add(data), _descriptors(control)
        for number, frame in enumerate(frames, 1):
            if number == len(frames):  # a read ends where descriptors came (unix(7))
                self._keep(received)
                received = []
            if self.is_open and frame.kind == ttrpc.REQUEST:  # other types are to be ignored
                self._take(frame)
        if received:
            self._keep(received)  # of a request whose end is to come

    def _keep(self, descriptors: list[int]) -> None:
        """Have these for the next request; those of one that was refused are closed."""
        for fd in self.take_descriptors():
            os.close(fd)
        self._descriptors = descriptors if self.is_open else []
        for fd in [] if self.is_open else descriptors:
            os.close(fd)

    def take_descriptors(self) -> list[int]:
        """Those of the request that is being dispatched."""
        taken, self._descriptors = self._descriptors, []
        return taken

    def _take(self, frame: Frame) -> None:
        self._calls += 1
        try:
            self._server.dispatch(self, frame, self._check(frame))
        except RpcError as error:
            self._fail(frame.stream, error.code, error.message)
        except Malformed as error:
            self._fail(frame.stream, ttrpc.INVALID_ARGUMENT, f"malformed request: {error}")
        except Exception as error:  # noqa: BLE001 - one call's trouble is no other's
            self._fail(frame.stream, ttrpc.UNKNOWN, f"internal error: {error!r}")
            self._server.loop.on_error(error)

    def _check(self, frame: Frame) -> Values:
        if frame.stream % 2 == 0 or frame.stream <= self._last_stream:
            raise RpcError(ttrpc.INVALID_ARGUMENT, "stream ids are odd, and grow")
        self._last_stream = frame.stream
        if frame.size > ttrpc.LIMIT:
            raise RpcError(
                ttrpc.RESOURCE_EXHAUSTED, f"a message of {frame.size} bytes: at most {ttrpc.LIMIT}"
            )
        if frame.flags & ttrpc.REMOTE_OPEN:
            raise RpcError(ttrpc.UNIMPLEMENTED, "no streaming calls here")
        if self._calls > _CALLS:
            raise RpcError(ttrpc.RESOURCE_EXHAUSTED, f"more than {_CALLS} calls at once")
        return messages.REQUEST.decode(frame.payload)

    def _fail(self, stream: int, code: int, message: str) -> None:
        self.answer(stream, {"status": {"code": code, "message": message}})

    def answer(self, stream: int, response: Values) -> None:
        """Send an answer, now or when the client reads."""
        if not self.is_open:
            return
        self._calls -= 1
        self._out += Frame(stream, ttrpc.RESPONSE, 0, messages.RESPONSE.encode(response)).pack()
        if len(self._out) > _UNREAD:
            self.close()
            return
        self._flush()
        if self._server.on_answer is not None:
            self._server.on_answer()

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        events = READ | WRITE if self._out else READ
        self._server.loop.watch(self._socket.fileno(), events, self._on_event)

    def close(self) -> None:
        """End it; its calls stay without an answer."""
        if self.is_open:
            self.is_open = False
            self._server.loop.forget(self._socket.fileno())
            self._socket.close()
            self._keep([])
            self._server.closed(self)


def _descriptors(control: list[tuple[int, int, bytes]]) -> list[int]:
    """What came with some bytes: SCM_RIGHTS is all that a unix socket is asked for."""
    found = []
    for _, _, rights in control:
        whole = len(rights) - len(rights) % _INT.size
        found += [fd for (fd,) in _INT.iter_unpack(rights[:whole])]
    return found


class Server:
    """Serves what connects to a listening unix socket, and is of our own user (CVE-2020-15257)."""

    def __init__(
        self, loop: Loop, listener: _socket.socket, services: Mapping[str, Methods]
    ) -> None:
        self.loop = loop
        self._listener = listener
        self._services = services
        self._connections: set[Connection] = set()
        self.on_idle: Callable[[], None] | None = None
        self.on_answer: Callable[[], None] | None = None
        listener.settimeout(0)
        self._listen()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self.loop.watch(self._listener.fileno(), READ, self._accept)

    @property
    def has_clients(self) -> bool:
        """Whether anybody is connected."""
        return bool(self._connections)

    def _accept(self, _events: int) -> None:
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what socket.accept is made of
        except OSError as error:
            if error.errno not in _GONE:  # epoll would tell of who waits again and again
                self.loop.forget(self._listener.fileno())
                self.loop.later(_PATIENCE, self._listen)
            return
        connection = _socket.socket(fileno=fd)
        if len(self._connections) < _CONNECTIONS and is_own(connection):
            self._connections.add(Connection(self, connection))
        else:
            connection.close()

    def dispatch(self, connection: Connection, frame: Frame, request: Values) -> None:
        """Serve one request. Raises RpcError, Malformed."""
        methods = self._services.get(request["service"])
        if methods is None:
            raise RpcError(ttrpc.UNIMPLEMENTED, f"service {request['service']}")
        entry = methods.get(request["method"])
        if entry is None:
            raise RpcError(ttrpc.UNIMPLEMENTED, f"method {request['method']}")
        asked, answer, serve = entry
        values = asked.decode(request["payload"])
        serve(Call(connection, frame.stream, request, values, answer))

    def closed(self, connection: Connection) -> None:
        """Forget a connection that ended."""
        self._connections.discard(connection)
        if not self._connections and self.on_idle is not None:
            self.on_idle()

    def close(self) -> None:
        """Accept nobody any more."""
        self.loop.forget(self._listener.fileno())
        self._listener.close()

    def end(self) -> None:
        """Let go of everybody."""
        for connection in list(self._connections):
            connection.close()


def is_own(connection: _socket.socket) -> bool:
    """Whether the peer is of our user and group, as SO_PEERCRED of socket(7) has it."""
    data = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(data)
    return bool(uid == os.geteuid() and gid == os.getegid())
