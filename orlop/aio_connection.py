# SPDX-License-Identifier: Apache-2.0
"""A connection to orlopd for asyncio: many requests at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orlop.connection import unreachable
from orlop.errors import Lost, OrlopError
from orlop.protocol import Notification, Protocol

if TYPE_CHECKING:
    from typing import Any

    from orlop.calls import Call
    from orlop.protocol import Answer

_CHUNK = 65536
_KEPT = 64  # notifications that are read before they are asked for


class AsyncConnection:
    """Requests out; answers and notifications in."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, streams: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = Protocol()
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._notifications: asyncio.Queue[Notification | None] = asyncio.Queue()
        self._streams = streams
        self._moved = asyncio.Event()  # a notification was taken, or an answer is waited for
        self._error: OrlopError = Lost("orlopd has closed the connection")
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def open(cls, path: str, *, streams: bool = False) -> AsyncConnection:
        """Connect. streams: notifications are kept, for `notification`. Raises Unreachable."""
        try:
            return cls(*await asyncio.open_unix_connection(path), streams=streams)
        except OSError as error:
            raise unreachable(path, error) from error

    @property
    def is_closed(self) -> bool:
        """Whether no more calls can be done."""
        return self._reading.done()

    async def call(self, call: Call[Any]) -> object:
        """The result. Cancelled: so is the request. Raises Refused, Lost."""
        if self.is_closed:
            raise self._error
        number, data = self._protocol.request(call.method, call.params)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._moved.set()
        try:
            self._writer.write(data)
            await self._writer.drain()
            return await future
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Lost("orlopd has closed the connection") from error
        except asyncio.CancelledError:
            if not self.is_closed:  # else there is nobody to be told
                self._writer.write(self._protocol.request("rpc.cancel", {"id": number})[1])
            raise
        finally:
            self._waiting.pop(number, None)

    async def notification(self) -> Notification:
        """The next one. Raises Lost, ProtocolError."""
        found = await self._notifications.get()
        self._moved.set()
        if found is None:
            self._notifications.put_nowait(None)  # for who asks again
            raise self._error
        return found

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(_CHUNK):
                for message in self._protocol.receive(data):
                    self._sort(message)
                await self._room()
        except ConnectionError:
            pass
        except OrlopError as error:
            self._error = error
        finally:
            self._writer.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(self._error)
            self._notifications.put_nowait(None)

    def _sort(self, message: Answer | Notification) -> None:
        if isinstance(message, Notification):
            if self._streams:
                self._notifications.put_nowait(message)
            return
        future = self._waiting.get(message.number)
        if future is None or future.done():
            return  # cancelled meanwhile
        if message.error is not None:
            future.set_exception(message.error)
        else:
            future.set_result(message.result)

    async def _room(self) -> None:
        """What nobody takes is not read, and so fills no memory: orlopd waits with the rest.

        But for answers: who waits for one may be who would take the notifications before it.
        """
        while self._notifications.qsize() >= _KEPT and not self._waiting:
            self._moved.clear()
            await self._moved.wait()

    async def close(self) -> None:
        """Go away."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        self._writer.close()
