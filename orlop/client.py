# SPDX-License-Identifier: Apache-2.0
"""The synchronous client: `Client().run("web", bundle="/srv/web")`."""

from __future__ import annotations

from orlop import calls, subscriptions
from orlop.calls import Call
from orlop.connection import Connection, default_path
from orlop.items import EventFold, LogFold, StatsFold
from orlop.process import Process
from orlop.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, cast

    from orlop.items import Event
    from orlop.types import Creation, Execution, LogEntry, Started, Stats, Topic
    from orlop.types import Stream as StreamName

    P = ParamSpec("P")
    Result = TypeVar("Result")
else:

    def cast(_kind: object, value: object) -> object:
        """As typing's."""
        return value


def _method(make: Callable[P, Call[Result]]) -> Callable[Concatenate[Client, P], Result]:
    """A method that does what `make` asks for."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return cast("Result", self.do(make(*args, **kwargs)))

    method.__doc__ = make.__doc__
    method.__name__ = make.__name__
    method.__qualname__ = f"Client.{make.__name__}"
    return method


class Client:
    """An orlopd, over its socket; of one thread.

    It connects with the first call. A connection that orlopd has closed since the last call is made
    anew; one that ends under a call raises Lost, and nothing is asked twice. Every stream (events,
    logs, processes) has a connection of its own, so that a slow reader holds up nothing else.
    """

    def __init__(self, path: str = "") -> None:
        """path: of the socket; "": `default_path()`."""
        self.path = path or default_path()
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one. Streams go on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def do(self, call: Call[Any]) -> object:
        """Do any call, also of a method that this client doesn't know. Raises as `orlop.calls`."""
        if self._connection is not None and self._connection.is_stale():
            self.close()
        if self._connection is None:
            self._connection = Connection(self.path)
        try:
            return self._connection.call(call)
        except ConnectionError:
            self.close()
            raise

    def call(self, method: str, **params: object) -> object:
        """Call a method by its name, with parameters as on the wire."""
        return self.do(Call(method, params))

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

    # -- streams

    def events(
        self,
        *,
        since: int | None = None,
        containers: Iterable[str] | None = None,
        topics: Iterable[Topic] | None = None,
    ) -> Stream[Event]:
        """Events as they come; with `since`, first all after this number.

        Missed comes in place of those that orlopd keeps no more.
        Where the connection ends, it is made again once, and nothing is lost or told twice.
        """
        return Stream(self.path, EventFold(subscriptions.subscribe(since, containers, topics)))

    def follow(
        self,
        container: str,
        *,
        tail: int | None = None,
        since: str | float | None = None,
        stream: StreamName | None = None,
    ) -> Stream[LogEntry]:
        """Entries of its output, those before as in `logs`, until it has ended."""
        return Stream(self.path, LogFold(subscriptions.follow(container, tail, since, stream)))

    def watch(self, container: str | None = None, *, interval: float = 1) -> Stream[Stats]:
        """What a container uses, or all of them, every `interval` seconds."""
        return Stream(self.path, StatsFold(subscriptions.watch(container, interval)))

    # -- processes

    def exec(self, container: str, args: Sequence[str], **how: Unpack[Execution]) -> Process:
        """Run a further process, with its output; `stdin=True`: and its input."""
        return Process(
            self.path, container, subscriptions.execute(container, args, attach=True, **how)
        )

    def spawn(self, container: str, args: Sequence[str], **how: Unpack[Execution]) -> str:
        """Run a further process on its own; its id, for `wait` and `kill`."""
        call = subscriptions.execute(container, args, attach=False, **how)
        started: Started = self.do(call)  # type: ignore[assignment]
        return started["exec"]

    def attach(
        self,
        container: str,
        *,
        exec: str | None = None,  # noqa: A002 - orlopd's word
        stdin: bool = False,
        logs: bool = False,
    ) -> Process:
        """Join a process's output, and input; logs: with what it wrote before."""
        call = subscriptions.attach(container, exec, stdin=stdin, logs=logs)
        return Process(self.path, container, call, exec or "")

    def run_attached(self, container: str, **how: Unpack[Creation]) -> Process:
        """Create and start a container; its output, from the first byte."""
        return Process(self.path, container, subscriptions.run_attached(container, **how))
