# SPDX-License-Identifier: Apache-2.0
"""A client of a shim's Task API: many calls at a time over one connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shim import messages, ttrpc
from shim.ttrpc import Frame, Frames, RpcError
from supervisor.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.protobuf import Table, Values

_SERVICE = "containerd.task.v3.Task"
_PROCESS, _EMPTY = messages.PROCESS_ID, messages.EMPTY
_METHODS: dict[str, tuple[Table, Table]] = {
    "State": (_PROCESS, messages.STATE),
    "Create": (messages.CREATE, messages.PID),
    "Start": (_PROCESS, messages.PID),
    "Delete": (_PROCESS, messages.DELETED),
    "Kill": (messages.KILL, _EMPTY),
    "Pause": (_PROCESS, _EMPTY),
    "Resume": (_PROCESS, _EMPTY),
    "Pids": (_PROCESS, messages.PIDS),
    "Wait": (_PROCESS, messages.EXITED),
    "Connect": (_PROCESS, messages.CONNECTED),
    "Shutdown": (messages.SHUTDOWN, _EMPTY),
    "Exec": (messages.EXEC, _EMPTY),
    "ResizePty": (messages.RESIZE, _EMPTY),
    "CloseIO": (messages.CLOSE_IO, _EMPTY),
    "Update": (messages.UPDATE, _EMPTY),
    "Stats": (_PROCESS, messages.STATS),
    "Checkpoint": (messages.CHECKPOINT, _EMPTY),
    "Attach": (messages.ATTACH, messages.LOGGED),
}


class Lost(ConnectionError):
    """The shim is gone."""


class TaskClient:
    """A connection to one shim, whose one container is `container_id`."""

    def __init__(self, container_id: str, channel: Channel) -> None:
        self._id = container_id
        self._channel = channel
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._stream = -1
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def connect(cls, path: str, container_id: str) -> TaskClient:
        """Raises OSError: nobody listens there."""
        return cls(container_id, await Channel.connect(path))

    async def call(self, method: str, fds: Sequence[int] = (), /, **values: object) -> Values:
        """Call a method about the container; with descriptors perhaps. Raises RpcError, Lost."""
        return await self.answer(method, await self.ask(method, fds, **values))

    async def ask(
        self, method: str, fds: Sequence[int] = (), /, **values: object
    ) -> asyncio.Future[bytes]:
        """Send a call, whose `answer` is to come. Raises Lost."""
        if self._reading.done():
            raise Lost("the shim is gone")
        self._stream += 2
        payload = _METHODS[method][0].encode({"id": self._id, **values})
        service = messages.STREAMS if method == "Attach" else _SERVICE
        request = {"service": service, "method": method, "payload": payload,
                   "metadata": [{"key": messages.DETAILS, "value": "1"}]}  # fmt: skip
        frame = Frame(self._stream, ttrpc.REQUEST, 0, messages.REQUEST.encode(request))
        future = asyncio.get_running_loop().create_future()
        self._waiting[self._stream] = future
        try:
            await self._channel.send(frame.pack(), fds)
        except ConnectionError as error:
            self._waiting.pop(frame.stream, None)
            raise Lost("the shim is gone") from error
        return future

    async def answer(self, method: str, future: asyncio.Future[bytes]) -> Values:
        """The answer to a call. Raises RpcError, Lost."""
        response = messages.RESPONSE.decode(await future)
        status = response["status"]
        if status and status["code"]:
            found = [d["value"] for d in status["details"] if d["type_url"] == messages.FAILURE]
            raise RpcError(status["code"], status["message"], *found[:1])
        return _METHODS[method][1].decode(response["payload"])

    async def closed(self) -> None:
        """Wait until the shim has closed the connection."""
        await asyncio.wait({self._reading})

    def close(self) -> None:
        """Close it; what waits for an answer learns that it is lost."""
        self._reading.cancel()
        self._channel.close()

    async def _read(self) -> None:
        frames = Frames()
        try:
            while data := (await self._channel.receive())[0]:
                for frame in frames.add(data):
                    future = self._waiting.pop(frame.stream, None)
                    if future is not None and not future.done():
                        future.set_result(frame.payload)
        except ConnectionError:
            pass  # killed, with our request unread
        finally:
            self._channel.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Lost("the shim is gone"))
            self._waiting.clear()
