# SPDX-License-Identifier: Apache-2.0
"""A process whose input and output come and go over the socket, for asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orlop import calls, subscriptions
from orlop.aio_connection import AsyncConnection
from orlop.errors import OrlopError, Refused
from orlop.items import Completed, OutputFold
from orlop.subscriptions import CHUNK

if TYPE_CHECKING:
    from typing import Any, Self

    from orlop.calls import Call
    from orlop.items import Output


class AsyncProcess:
    """As orlop.Process."""

    def __init__(
        self, container: str, connection: AsyncConnection, fold: OutputFold, number: int
    ) -> None:
        """See `begin`."""
        self.container = container
        self.exec = ""
        self.pid = 0
        self._connection = connection
        self._fold = fold
        self._number = number
        self._items: list[Output] = []

    @classmethod
    async def begin(
        cls, path: str, container: str, call: Call[object], exec_id: str = ""
    ) -> AsyncProcess:
        """Begin. Raises Unreachable, Refused."""
        connection = await AsyncConnection.open(path, streams=True)
        fold = OutputFold(call)
        try:
            result = await connection.call(call)
            process = cls(container, connection, fold, fold.answered(result))
        except BaseException:
            await connection.close()
            raise
        members: dict[str, Any] = result if isinstance(result, dict) else {}
        process.exec = str(members.get("exec", exec_id))
        process.pid = int(members.get("pid", 0))
        return process

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of it."""
        await self.close()

    async def close(self) -> None:
        """Let go of it; may be called again."""
        await self._connection.close()

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> Output:
        """Wait for the next piece. Raises Lost."""
        while not self._items:
            if self._fold.ended:
                raise StopAsyncIteration
            self._items += self._fold.items(await self._connection.notification())
        return self._items.pop(0)

    @property
    def exit_status(self) -> int | None:
        """Its status, or 128 and the signal that ended it; None while it runs."""
        return self._fold.exit_status

    async def write(self, data: bytes) -> None:
        """Give it input; returns when it was taken."""
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            await self._connection.call(subscriptions.write(self._number, piece))

    async def close_stdin(self) -> None:
        """No more input: it reads the end of the file."""
        await self._connection.call(subscriptions.close(self._number))

    async def resize(self, height: int, width: int) -> None:
        """Give its terminal a size in characters."""
        call = calls.resize(self.container, height, width, exec=self.exec or None)
        await self._connection.call(call)

    async def kill(self, signal: str | int = "TERM") -> None:
        """Send it a signal."""
        await self._connection.call(calls.kill(self.container, signal, exec=self.exec or None))

    async def wait(self) -> int:
        """Read to the end and drop it; its status. Raises Lost."""
        async for _ in self:
            pass
        return self._status()

    async def communicate(self, data: bytes = b"") -> Completed:
        """Give it `data`, then the end of its input where it has one; all that it wrote."""
        has_input = bool(self._fold.call.params.get("stdin"))
        if data and not has_input:
            raise OrlopError("the process has no input", hint="ask for it with stdin=True")
        feeding = asyncio.ensure_future(self._feed(data)) if has_input else None
        stdout, stderr = bytearray(), bytearray()
        try:
            async for output in self:
                (stderr if output.stream == "stderr" else stdout).extend(output.data)
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.wait({feeding})
        return Completed(self._status(), bytes(stdout), bytes(stderr))

    async def _feed(self, data: bytes) -> None:
        try:
            await self.write(data)
            await self.close_stdin()
        except (Refused, ConnectionError):
            return  # it reads no more, or has ended; who reads its output learns how

    def _status(self) -> int:
        if self.exit_status is None:
            raise OrlopError("orlopd let go of the process before its end")
        return self.exit_status
