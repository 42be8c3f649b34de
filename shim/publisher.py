# SPDX-License-Identifier: Apache-2.0
"""Events to containerd: one after the other, each tried again a few times, none for ever.

containerd's own shims do the same, with growing delays. In all a quarter of a minute: dockerd takes
ten seconds to start its containerd again. And a containerd that is back keeps no event for those
who listen to it, and are on their way back themselves: events wait for them a moment.
"""

from __future__ import annotations

import _socket
import errno
import time

from shim import messages, ttrpc
from shim.exits import timestamp
from shim.loop import READ
from shim.protobuf import Malformed
from shim.ttrpc import Frame, Frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.loop import Loop, Timer
    from shim.protobuf import Values

SERVICE = "containerd.services.events.ttrpc.v1.Events"
_DELAYS = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds, between attempts
_RETURN = 4.0  # seconds; dockerd looks for its containerd every three
_RECENT = 10.0  # seconds since the connection was lost, in which it is thought to be due to that
_PATIENCE = 5.0  # for the answer to one event
_QUEUE = 4096  # events; a master that stays away must not make us grow


class Publisher:
    """A queue of events, and a connection to who takes them. address: "" for nobody."""

    def __init__(
        self, loop: Loop, address: str, namespace: str, warn: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._address = address.removeprefix("unix://")
        self._namespace = namespace
        self._warn = warn
        self._queue: list[bytes] = []
        self._socket: _socket.socket | None = None
        self._frames = Frames()
        self._stream = -1
        self._failures = 0
        self._lost = -_RECENT
        self._timer: Timer | None = None
        self.on_empty: Callable[[], None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything was taken, or given up."""
        return not self._queue

    def publish(self, topic: str, event: Values) -> None:
        """Send an event after those before it."""
        if not self._address:
            return
        if len(self._queue) >= _QUEUE:
            self._warn(f"event {topic} is lost: {_QUEUE} wait for {self._address}")
            return
        self._queue.append(messages.FORWARD.encode({"envelope": self._envelope(topic, event)}))
        if len(self._queue) == 1:
            self._send()

    def _envelope(self, topic: str, event: Values) -> Values:
        name, table = messages.EVENTS[topic]
        return {
            "timestamp": timestamp(time.time_ns()),
            "namespace": self._namespace,
            "topic": topic,
            "event": {"type_url": f"containerd.events.{name}", "value": table.encode(event)},
        }

    def _send(self) -> None:
        request = {
            "service": SERVICE,
            "method": "Forward",
            "payload": self._queue[0],
            "timeout_nano": int(_PATIENCE * 1e9),
            "metadata": [{"key": "containerd-namespace-ttrpc", "value": self._namespace}],
        }
        try:
            connection = self._socket
            if connection is None:
                connection = self._connect()
                if self._failures or time.monotonic() < self._lost + _RECENT:
                    self._set_timer(_RETURN, self._send)
                    return
            self._stream += 2
            frame = Frame(self._stream, ttrpc.REQUEST, 0, messages.REQUEST.encode(request))
            data = frame.pack()
            if connection.send(data) != len(data):
                raise BlockingIOError(errno.EAGAIN, "the socket's buffer is full")
        except OSError as error:
            self._failed(str(error.strerror or error))
            return
        self._set_timer(_PATIENCE, lambda: self._failed("no answer"))

    def _connect(self) -> _socket.socket:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connection.settimeout(0)
        try:
            connection.connect(self._address)
        except OSError:
            connection.close()
            raise
        self._socket = connection
        self._frames = Frames()
        self._stream = -1
        self._loop.watch(connection.fileno(), READ, self._on_answer)
        return connection

    def _on_answer(self, _events: int) -> None:
        assert self._socket is not None  # noqa: S101 - for the type checker: it is watched
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._disconnect()
            self._lost = time.monotonic()
            if self._queue:
                self._failed("the connection ended")
            return
        for frame in self._frames.add(data):
            if frame.kind == ttrpc.RESPONSE and frame.stream == self._stream and self._queue:
                self._answered(frame)

    def _answered(self, frame: Frame) -> None:
        try:
            status = messages.RESPONSE.decode(frame.payload)["status"]
        except Malformed as error:
            status = {"code": ttrpc.UNKNOWN, "message": f"malformed answer: {error}"}
        if status and status["code"]:
            self._failed(status["message"])
        else:
            self._next()

    def _failed(self, why: str) -> None:
        self._disconnect()
        if self._failures >= len(_DELAYS):
            self._warn(f"an event is lost: {self._address}: {why}")
            self._next()
            return
        self._failures += 1
        self._set_timer(_DELAYS[self._failures - 1], self._send)

    def _next(self) -> None:
        self._set_timer(0, None)
        self._failures = 0
        self._queue.pop(0)
        if self._queue:
            self._send()
        elif self.on_empty is not None:
            self.on_empty()

    def _set_timer(self, seconds: float, act: Callable[[], None] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if act is None else self._loop.later(seconds, act)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
