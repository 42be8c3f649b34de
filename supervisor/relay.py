# SPDX-License-Identifier: Apache-2.0
"""A process's streams on a client's connection: output as notifications, input by requests.

The shim copies between the process and pipes of ours. A client that does not read makes the process
wait; one of a container's readers, whose output is kept in its log, for PATIENCE seconds: from then
on what it doesn't take is dropped, and it is told how much that was.
"""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING, Any

from supervisor import jsonrpc
from supervisor.channel import close_all
from supervisor.descriptor import Descriptor
from supervisor.failure import WRONG_STATE, Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from supervisor.connection import Connection
    from supervisor.exit import Exit

PATIENCE = 5.0
_CHUNK = 65536


class Relay:
    """One subscription.

    theirs: the shim's ends, by the stream's name, until `handed_over`. is_lossless: nobody else
    keeps the output, so the process waits for as long as it takes.
    """

    def __init__(self, connection: Connection, number: int, streams: Sequence[str]) -> None:
        self.number = number
        self.theirs: dict[str, int] = {}
        self._connection = connection
        self.is_lossless = False
        self.on_end_of_input: Callable[[], Awaitable[None]] | None = None
        self._outputs: dict[str, Descriptor] = {}
        self._input: Descriptor | None = None
        self._writing = asyncio.Lock()
        for name in streams:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            if name == "stdin":
                self.theirs[name], self._input = reader, Descriptor(writer)
            else:
                self.theirs[name], self._outputs[name] = writer, Descriptor(reader)

    def handed_over(self) -> None:
        """The shim has its ends, or refused them."""
        close_all(list(self.theirs.values()))
        self.theirs = {}

    # -- output

    async def send(self, history: list[dict[str, object]], exited: asyncio.Future[Exit]) -> None:
        """All output, and how the process ended. Raises ConnectionError.

        history: what to send before.
        """
        try:
            for entry in history:
                await self._notify(entry)
            await asyncio.gather(*(self._copy(*each) for each in self._outputs.items()))
            end = await asyncio.shield(exited)
            await self._notify({"end": True, "exitStatus": end.status})
        finally:
            self.close()

    async def _copy(self, name: str, pipe: Descriptor) -> None:
        while data := await pipe.read(_CHUNK):
            sending = asyncio.ensure_future(self._notify(output(name, data)))
            if self.is_lossless:
                await sending
                continue
            try:
                await asyncio.wait({sending}, timeout=PATIENCE)
                missed = await self._pass_over(pipe, sending)
            finally:
                sending.cancel()  # the message itself goes out whole
            await sending
            if missed:
                await self._notify({"missed": missed})

    async def _pass_over(self, pipe: Descriptor, sending: asyncio.Future[None]) -> int:
        """Drop output until the client reads again; how many bytes."""
        missed = 0
        while not sending.done():
            reading = asyncio.ensure_future(pipe.read(_CHUNK))
            both: set[asyncio.Future[Any]] = {sending, reading}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
            data = b"" if reading.cancelled() else reading.result()
            missed += len(data)
            if not data:
                await asyncio.wait({sending})
        return missed

    async def _notify(self, params: dict[str, object]) -> None:
        message = jsonrpc.notification("output", {"subscription": self.number, **params})
        await self._connection.send(message)

    # -- input

    async def write(self, data: bytes) -> None:
        """Write to the process's stdin; done when all is on its way. Raises Failure."""
        async with self._writing:
            if self._input is None:
                raise Failure(WRONG_STATE, "stdin is closed, or was not asked for")
            try:
                await self._input.write(data)
            except (ConnectionError, BrokenPipeError) as error:
                raise Failure(WRONG_STATE, "the process reads no more") from error

    async def end_input(self) -> None:
        """Nothing more will be written, by nobody. Raises Failure, RpcError."""
        async with self._writing:
            if self._input is not None and self.on_end_of_input is not None:
                await self.on_end_of_input()  # else the end of our pipe is no end of stdin
                self._input.close()
                self._input = None

    def close(self) -> None:
        """Let go of all. May be called again."""
        self.handed_over()
        for each in (*self._outputs.values(), self._input):
            if each is not None:
                each.close()


def output(name: str, data: bytes) -> dict[str, object]:
    """A piece of output as the notification has it."""
    return {"stream": name, "data": base64.b64encode(data).decode()}
