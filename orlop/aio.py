# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio: the methods of orlop.Client, each to be awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from orlop import calls, subscriptions
from orlop.aio_connection import AsyncConnection
from orlop.aio_process import AsyncProcess
from orlop.aio_stream import AsyncStream
from orlop.calls import Call
from orlop.connection import default_path
from orlop.items import EventFold, LogFold, StatsFold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack

    from orlop.items import Event
    from orlop.types import Creation, Execution, LogEntry, Started, Stats, Topic
    from orlop.types import Stream as StreamName

    P = ParamSpec("P")
    Result = TypeVar("Result")


def _method(
    make: Callable[P, Call[Result]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[Result]]:
    """A method that does what `make` asks for."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return cast("Result", await self.do(make(*args, **kwargs)))

    method.__doc__ = make.__doc__
    method.__name__ = make.__name__
    method.__qualname__ = f"AsyncClient.{make.__name__}"
    return method


class AsyncClient:
    """An orlopd, over its socket: any number of calls at a time, over one connection.

    As orlop.Client in all else. A call that is cancelled is cancelled in orlopd, too: what it began
    goes on to its end.
    """

    def __init__(self, path: str = "") -> None:
        """path: of the socket; "": `default_path()`."""
        self.path = path or default_path()
        self._connection: AsyncConnection | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connection, if there is one. Streams go on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def do(self, call: Call[Any]) -> object:
        """Do any call, also of a method that this client doesn't know. Raises as `orlop.calls`."""
        async with self._connecting:
            if self._connection is None or self._connection.is_closed:
                await self.close()
                self._connection = await AsyncConnection.open(self.path)
        return await self._connection.call(call)

    async def call(self, method: str, **params: object) -> object:
        """Call a method by its name, with parameters as on the wire."""
        return await self.do(Call(method, params))

    ping = _method(calls.ping)
    version = _method(calls.version)
    info = _method(calls.info)
    metrics = _method(calls.metrics)
    create = _method(calls.create)
    run = _method(calls.run)
    start = _method(calls.start)
    kill = _method(calls.kill)
    stop = _method(calls.stop)
    pause = _method(calls.pause)
    resume = _method(calls.resume)
    wait = _method(calls.wait)
    delete = _method(calls.delete)
    update = _method(calls.update)
    rename = _method(calls.rename)
    label = _method(calls.label)
    state = _method(calls.state)
    inspect = _method(calls.inspect)
    list = _method(calls.list)
    ps = _method(calls.ps)
    logs = _method(calls.logs)
    stats = _method(calls.stats)
    resize = _method(calls.resize)
    checkpoint = _method(calls.checkpoint)
    restore = _method(calls.restore)

    # -- streams: to be iterated with `async for`; they begin with the first item

    def events(
        self,
        *,
        since: int | None = None,
        containers: Iterable[str] | None = None,
        topics: Iterable[Topic] | None = None,
    ) -> AsyncStream[Event]:
        """Events as they come; with `since`, first all after this number.

        Missed comes in place of those that orlopd keeps no more. Where the connection ends, it is
        made again once, and nothing is lost or told twice.
        """
        return AsyncStream(self.path, EventFold(subscriptions.subscribe(since, containers, topics)))

    def follow(
        self,
        container: str,
        *,
        tail: int | None = None,
        since: str | float | None = None,
        stream: StreamName | None = None,
    ) -> AsyncStream[LogEntry]:
        """Entries of its output, those before as in `logs`, until it has ended."""
        return AsyncStream(self.path, LogFold(subscriptions.follow(container, tail, since, stream)))

    def watch(self, container: str | None = None, *, interval: float = 1) -> AsyncStream[Stats]:
        """What a container uses, or all of them, every `interval` seconds."""
        return AsyncStream(self.path, StatsFold(subscriptions.watch(container, interval)))

    # -- processes

    async def exec(
        self, container: str, args: Sequence[str], **how: Unpack[Execution]
    ) -> AsyncProcess:
        """Run a further process, with its output; `stdin=True`: and its input."""
        call = subscriptions.execute(container, args, attach=True, **how)
        return await AsyncProcess.begin(self.path, container, call)

    async def spawn(self, container: str, args: Sequence[str], **how: Unpack[Execution]) -> str:
        """Run a further process on its own; its id, for `wait` and `kill`."""
        call = subscriptions.execute(container, args, attach=False, **how)
        return cast("Started", await self.do(call))["exec"]

    async def attach(
        self,
        container: str,
        *,
        exec: str | None = None,  # noqa: A002 - orlopd's word
        stdin: bool = False,
        logs: bool = False,
    ) -> AsyncProcess:
        """Join a process's output, and input; logs: with what it wrote before."""
        call = subscriptions.attach(container, exec, stdin=stdin, logs=logs)
        return await AsyncProcess.begin(self.path, container, call, exec or "")

    async def run_attached(self, container: str, **how: Unpack[Creation]) -> AsyncProcess:
        """Create and start a container; its output, from the first byte."""
        call = subscriptions.run_attached(container, **how)
        return await AsyncProcess.begin(self.path, container, call)
