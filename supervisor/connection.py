# SPDX-License-Identifier: Apache-2.0
"""One client: its requests as they come, their answers as they are ready.

What a client can make us keep is bounded: a line and its descriptors, REQUESTS requests at a time,
and one answer that it has not read. When one of these is full, the client isn't read from, and only
it waits.
"""

from __future__ import annotations

import asyncio
import json
import select
import time
from typing import TYPE_CHECKING

from shim.ttrpc import RpcError
from spec.errors import OrlopError
from supervisor import failure, jsonrpc
from supervisor.channel import close_all
from supervisor.failure import Failure
from supervisor.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from supervisor.channel import Channel
    from supervisor.jsonrpc import Request
    from supervisor.meter import Meter
    from supervisor.method import Method
    from supervisor.relay import Relay

REQUESTS = 64  # of one client, at a time
SUBSCRIPTIONS = 16  # of one client


class Call:
    """A request being served: whose it is, what came with it, what begins once it is answered."""

    def __init__(self, connection: Connection, descriptors: list[int]) -> None:
        self.connection = connection
        self.descriptors = descriptors  # who wants them takes them out
        self.afterwards: list[Callable[[], object]] = []


class _Running:
    """A method at work, in the task of its request."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: a coroutine runs in one
        self.task: asyncio.Task[Any] = task
        self.is_cancelled = False

    def cancel(self) -> bool:
        """End it, once; True."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self.task.cancel()
        return True


class Connection:
    """A client's connection, from its first byte until its last answer."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        channel: Channel,
        meter: Meter,
    ) -> None:
        self._methods = methods
        self._channel = channel
        self._meter = meter
        self._lines = Lines(channel)
        self._sending = asyncio.Lock()
        self._slots = asyncio.Semaphore(REQUESTS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[str, _Running] = {}
        self._lasting: set[_Running] = set()
        self._streams: dict[int, asyncio.Task[None]] = {}
        self.relays: dict[int, Relay] = {}
        self._stream = 0

    async def serve(self) -> None:
        """Serve it until it goes away."""
        try:
            await self._read()
            await self._finish()
        except (ConnectionError, TimeoutError):
            pass  # it went away
        finally:
            for running in self._lasting:
                running.cancel()
            for task in self._streams.values():
                task.cancel()
            for relay in self.relays.values():
                relay.close()
            self._lines.close()
            self._channel.close()

    async def end(self) -> None:
        """Answer what is being asked; who waits for something that lasts is told that it is off."""
        for running in tuple(self._lasting):
            running.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _read(self) -> None:
        while True:
            try:
                line, descriptors = await self._lines.next()
            except Failure as error:
                await self.send(jsonrpc.refusal(None, error))
                return
            if not line:
                return
            if line.strip():
                await self._slots.acquire()
                self._keep(self._line(line, descriptors))
            else:
                close_all(descriptors)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self) -> None:
        """Answer what was asked by a client that sends no more, unless it doesn't listen either."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()
        with select.epoll() as hang_up:
            hang_up.register(self._channel.socket.fileno(), 0)  # EPOLLHUP alone
            gone = loop.create_task(closed.wait())
            loop.add_reader(hang_up.fileno(), closed.set)
            try:
                waiting = {*self._tasks, *self._streams.values()}
                while waiting and not gone.done():
                    await asyncio.wait({*waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                    waiting = {*self._tasks, *self._streams.values()}
            finally:
                gone.cancel()
                loop.remove_reader(hang_up.fileno())

    async def send(self, message: object) -> None:
        """Send a message, when the ones before are on their way. Raises ConnectionError."""
        async with self._sending:  # packed when its turn comes: one answer at a time takes room
            await self._channel.send(jsonrpc.pack(message))

    async def _line(self, line: bytes, descriptors: list[int]) -> None:
        calls: list[Call] = []
        try:
            answers, is_batch = await self._answers(line, descriptors, calls)
            if answers:
                await self.send(answers if is_batch else answers[0])
            for call in calls:
                for begin in call.afterwards:
                    begin()
        except ConnectionError:
            pass
        finally:
            close_all(descriptors)
            self._slots.release()

    async def _answers(
        self, line: bytes, descriptors: list[int], calls: list[Call]
    ) -> tuple[list[object], bool]:
        try:
            messages, is_batch = jsonrpc.parse(line)
        except Failure as error:
            return [jsonrpc.refusal(None, error)], False
        if len(messages) > 1:
            close_all(descriptors)  # whose would they be?
        if not is_batch:
            done = [await self._message(messages[0], descriptors, calls)]
        else:  # each in a task of its own, as what can be cancelled
            done = await asyncio.gather(
                *(self._message(message, descriptors, calls) for message in messages)
            )
        return [answer for answer in done if answer is not None], is_batch

    async def _message(
        self, message: object, descriptors: list[int], calls: list[Call]
    ) -> object | None:
        try:
            request = jsonrpc.request(message)
        except Failure as error:
            return jsonrpc.refusal(jsonrpc.id_of(message), error)
        call, began = Call(self, descriptors), time.monotonic()
        try:
            result = await self._run(request, call)
        except Failure as error:
            self._meter.answered(request.method, began, error)
            return jsonrpc.refusal(request.id, error) if request.wants_answer else None
        self._meter.answered(request.method, began, None)
        calls.append(call)
        return jsonrpc.answer(request.id, result) if request.wants_answer else None

    async def _run(self, request: Request, call: Call) -> object:
        if request.method == "rpc.cancel":
            return self._cancel(request)
        method = self._methods.get(request.method)
        if method is None:
            raise Failure(failure.METHOD_NOT_FOUND, f"there is no method {request.method!r}")
        key = json.dumps(request.id)
        if request.wants_answer and key in self._running:
            raise Failure(failure.INVALID_REQUEST, f"id {key} is of a request not yet answered")
        running = _Running()
        if request.wants_answer:
            self._running[key] = running
        if method.lasts:
            self._lasting.add(running)
        try:
            return await _guarded(method, call, request.params)
        except asyncio.CancelledError:
            if running.is_cancelled:
                running.task.uncancel()
            elif running.task.cancelling():
                raise  # orlopd ends
            raise Failure(failure.CANCELLED, "cancelled") from None
        finally:
            self._lasting.discard(running)
            if self._running.get(key) is running:
                del self._running[key]

    def _cancel(self, request: Request) -> bool:
        """Cancel a request of this connection; whether there was one."""
        if not jsonrpc.is_id(request.params.get("id")) or request.params.keys() != {"id"}:
            raise Failure(failure.INVALID_PARAMS, "/id: is missing or no id", pointer="/id")
        running = self._running.get(json.dumps(request.params["id"]))
        return running is not None and running.cancel()

    # -- streams

    def open_stream(self) -> int:
        """A number for a stream of notifications. Raises Failure."""
        if self._channel.is_closed:
            raise Failure(failure.CANCELLED, "the client has gone")
        if len({*self._streams, *self.relays}) >= SUBSCRIPTIONS:
            raise Failure(failure.BUSY, f"{SUBSCRIPTIONS} subscriptions at a time")
        self._stream += 1
        return self._stream

    def begin_stream(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        """Send a stream until it is closed, or the client goes away."""
        task = asyncio.get_running_loop().create_task(_until_gone(work))
        self._streams[number] = task
        task.add_done_callback(lambda _: self._end_stream(number))

    def _end_stream(self, number: int) -> None:
        self._streams.pop(number, None)
        self.relays.pop(number, None)

    def close_stream(self, number: int) -> bool:
        """End a stream; whether there was one."""
        task = self._streams.get(number)
        return task is not None and task.cancel()


async def _until_gone(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except ConnectionError:
        pass


async def _guarded(method: Method, call: Call, params: dict[str, Any]) -> object:
    """A method's result; what it raises as a Failure."""
    asked = dict(params)
    try:
        method.check(params)
        async with asyncio.timeout(asked.pop("timeout", None)):
            return await method.serve(call, asked)
    except Failure:
        raise
    except TimeoutError as error:
        raise Failure(failure.TIMEOUT, f"not done in {params.get('timeout')} seconds") from error
    except RpcError as error:
        raise failure.of_shim(error) from error
    except OrlopError as error:
        raise failure.of_spec(error) from error
    except OSError as error:
        raise Failure(failure.RUNTIME_FAILED, str(error), errno=error.errno) from error
    except Exception as error:
        raise Failure(failure.INTERNAL_ERROR, f"{type(error).__name__}: {error}") from error
