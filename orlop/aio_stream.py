# SPDX-License-Identifier: Apache-2.0
"""A stream of orlopd's for `async for`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from orlop.aio_connection import AsyncConnection
from orlop.errors import Lost

if TYPE_CHECKING:
    from typing import Self

    from orlop.items import Fold

Item = TypeVar("Item")


class AsyncStream(Generic[Item]):
    """As orlop.Stream. It begins with `async with`, or with the first item."""

    def __init__(self, path: str, fold: Fold) -> None:
        self._path = path
        self._fold = fold
        self._items: list[Item] = []
        self._connection: AsyncConnection | None = None

    @property
    def last(self) -> int:
        """Of events, the number of the last one; `events(since=last)` goes on behind it."""
        return int(getattr(self._fold, "last", 0))

    async def __aenter__(self) -> Self:
        """Itself; from now on nothing is missed. Raises Unreachable, Refused."""
        if self._connection is None:
            await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> Item:
        """Wait for the next one. Raises as orlop.Stream, and Refused, since it may begin here."""
        while not self._items:
            if self._fold.ended:
                await self.close()
                raise StopAsyncIteration
            connection = self._connection or await self._begin()
            try:
                self._items += self._fold.items(await connection.notification())  # type: ignore[arg-type]
            except Lost:
                await self.close()
                self._fold.again()
                await self._begin()
        return self._items.pop(0)

    async def _begin(self) -> AsyncConnection:
        connection = await AsyncConnection.open(self._path, streams=True)
        try:
            self._fold.answered(await connection.call(self._fold.call))
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def close(self) -> None:
        """No more of it; may be called again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
