# SPDX-License-Identifier: Apache-2.0
"""A ttrpc client as containerd is one, and the other end of the shim's events."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from shim import messages, ttrpc
from shim.publisher import SERVICE as EVENTS
from shim.ttrpc import Frame, Frames, RpcError
from tests.support.waiting import SLOWNESS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shim.protobuf import Table, Values

TIMEOUT = 30 * SLOWNESS
TASK = "containerd.task.v2.Task"
#: method -> request, answer
METHODS: dict[str, tuple[Table, Table]] = {
    "State": (messages.PROCESS_ID, messages.STATE),
    "Create": (messages.CREATE, messages.PID),
    "Start": (messages.PROCESS_ID, messages.PID),
    "Delete": (messages.PROCESS_ID, messages.DELETED),
    "Pids": (messages.PROCESS_ID, messages.PIDS),
    "Pause": (messages.PROCESS_ID, messages.EMPTY),
    "Resume": (messages.PROCESS_ID, messages.EMPTY),
    "Checkpoint": (messages.CHECKPOINT, messages.EMPTY),
    "Kill": (messages.KILL, messages.EMPTY),
    "Exec": (messages.EXEC, messages.EMPTY),
    "ResizePty": (messages.RESIZE, messages.EMPTY),
    "CloseIO": (messages.CLOSE_IO, messages.EMPTY),
    "Update": (messages.UPDATE, messages.EMPTY),
    "Wait": (messages.PROCESS_ID, messages.EXITED),
    "Stats": (messages.PROCESS_ID, messages.STATS),
    "Connect": (messages.PROCESS_ID, messages.CONNECTED),
    "Shutdown": (messages.SHUTDOWN, messages.EMPTY),
    "Attach": (messages.ATTACH, messages.EMPTY),
}


class Pending:
    """A call that waits for its answer."""

    def __init__(self, client: Client, stream: int, answer: Table) -> None:
        self._client = client
        self._stream = stream
        self._answer = answer

    def result(self) -> Values:
        """The answer; raises RpcError."""
        response = self._client.receive(self._stream)
        if response["status"] and response["status"]["code"]:
            raise RpcError(response["status"]["code"], response["status"]["message"])
        return self._answer.decode(response["payload"])


class Client:
    """One connection to a shim."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(address.removeprefix("unix://"))
        self._frames = Frames()
        self._answers: dict[int, bytes] = {}
        self._stream = -1

    def begin(self, method: str, fds: Sequence[int] = (), /, **values: object) -> Pending:
        """Send a request, with descriptors perhaps."""
        request, answer = METHODS[method]
        self._stream += 2
        service = messages.STREAMS if method == "Attach" else TASK
        self.send_frame(self._stream, service, method, request.encode(values), fds)
        return Pending(self, self._stream, answer)

    def send_frame(
        self, stream: int, service: str, method: str, payload: bytes, fds: Sequence[int] = ()
    ) -> None:
        """Send any request."""
        request = {"service": service, "method": method, "payload": payload}
        frame = Frame(stream, ttrpc.REQUEST, 0, messages.REQUEST.encode(request))
        sent = socket.send_fds(self.socket, [frame.pack()], fds)
        assert sent == len(frame.pack())

    def call(self, method: str, fds: Sequence[int] = (), /, **values: object) -> Values:
        """Call a method; raises RpcError."""
        return self.begin(method, fds, **values).result()

    def receive(self, stream: int) -> Values:
        """The response of a stream; those of others are kept."""
        while stream not in self._answers:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError("the shim closed the connection")
            for frame in self._frames.add(data):
                assert frame.kind == ttrpc.RESPONSE
                self._answers[frame.stream] = frame.payload
        return messages.RESPONSE.decode(self._answers.pop(stream))

    def close(self) -> None:
        """End the connection."""
        self.socket.close()


class Events:
    """What containerd does with events: takes each, and says that it has."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        self._came = threading.Condition()
        self.seen: list[tuple[str, Values]] = []
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        frames = Frames()
        while True:
            try:
                data = connection.recv(65536)
            except OSError:
                return
            if not data:
                return
            for frame in frames.add(data):
                self._take(frame)
                try:
                    connection.sendall(Frame(frame.stream, ttrpc.RESPONSE, 0, b"").pack())
                except OSError:
                    return  # the shim was killed, or the test is over

    def _take(self, frame: Frame) -> None:
        request = messages.REQUEST.decode(frame.payload)
        assert (request["service"], request["method"]) == (EVENTS, "Forward")
        envelope = messages.FORWARD.decode(request["payload"])["envelope"]
        assert envelope["timestamp"]["seconds"] > 0
        name, table = messages.EVENTS[envelope["topic"]]
        assert envelope["event"]["type_url"] == f"containerd.events.{name}"
        with self._came:
            self.seen.append((envelope["topic"], table.decode(envelope["event"]["value"])))
            self._came.notify_all()

    def wait(self, topic: str, **values: object) -> Values:
        """The first event of this topic with these values, when it has come."""

        def found() -> Values | None:
            for seen, event in self.seen:
                if seen == topic and all(event[name] == value for name, value in values.items()):
                    return event
            return None

        with self._came:
            assert self._came.wait_for(lambda: found() is not None, TIMEOUT), (topic, self.seen)
            event = found()
        assert event is not None
        return event

    def topics(self, container_id: str) -> list[str]:
        """The topics of a container's events so far, without `/tasks/`."""
        with self._came:
            return [
                topic.removeprefix("/tasks/")
                for topic, event in self.seen
                if event["container_id"] == container_id
            ]

    def close(self) -> None:
        """Take no more."""
        self._listener.close()
        for connection in self._connections:
            connection.close()
