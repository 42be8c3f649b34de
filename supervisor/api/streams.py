# SPDX-License-Identifier: Apache-2.0
"""Streams of processes: to a client's connection, or to descriptors that came with a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from supervisor import logs
from supervisor.channel import close_all
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.relay import Relay, output

if TYPE_CHECKING:
    from shim.protobuf import Values
    from supervisor.connection import Call
    from supervisor.container import Container
    from supervisor.exit import Exit
    from supervisor.method import Params

_STREAMS = ("stdin", "stdout", "stderr")


class Streams:
    """What one request wants of the streams of one process. result: what its answer says of it."""

    def __init__(self, call: Call, params: Params) -> None:
        """Raises Failure."""
        self._call = call
        self._has_stdin = params.get("stdin", False)
        self._relay: Relay | None = None
        self._descriptors: dict[str, int] = {}
        self._log_end: Values = {}
        self.result: dict[str, object] = {}
        if params.get("descriptors"):
            self._descriptors = self._given()
        elif params.get("attach"):
            self._relay = self._subscribe()

    @property
    def are_wanted(self) -> bool:
        """Whether there is anything to attach."""
        return self._relay is not None or bool(self._descriptors)

    def _given(self) -> dict[str, int]:
        given = list(self._call.descriptors)
        if len(given) not in (1, len(_STREAMS)):
            text = f"/descriptors: {len(given)} came with the request, not 1 or {len(_STREAMS)}"
            raise Failure(INVALID_PARAMS, text, pointer="/descriptors")
        self._call.descriptors.clear()
        if len(given) == 1:
            return {"stdin": given[0], "stdout": given[0]}
        return dict(zip(_STREAMS, given, strict=True))

    def _subscribe(self) -> Relay:
        connection = self._call.connection
        number = connection.open_stream()
        names = _STREAMS if self._has_stdin else _STREAMS[1:]
        relay = connection.relays[number] = Relay(connection, number, names)
        self.result = {"subscription": number}
        return relay

    async def begin(self, container: Container, exec_id: str = "", *, log: bool = False) -> None:
        """Attach to the process, before it starts if need be. Raises Failure, RpcError.

        log: what is in its log will be sent before.
        """
        try:
            if self._relay is not None:
                self._relay.is_lossless = bool(exec_id)
                self._relay.on_end_of_input = lambda: container.end_input(exec_id)
                self._log_end = await container.attach(exec_id, self._relay.theirs, log=log)
            elif self._descriptors:
                fds = dict(self._descriptors)
                if not self._has_stdin:
                    fds.pop("stdin")
                await container.attach(exec_id, fds, ends_input=True)
        except BaseException:
            self.close()
            raise
        finally:
            self._close_ours()

    def _close_ours(self) -> None:
        """The shim has its own now, or refused them."""
        if self._relay is not None:
            self._relay.handed_over()
        close_all(list(set(self._descriptors.values())))
        self._descriptors = {}

    def leave(self) -> None:
        """Nobody waits for the answer any more, and so for the subscription; the work goes on."""
        if self._relay is not None:
            self._relay.close()
            self._call.connection.relays.pop(self._relay.number, None)

    def close(self) -> None:
        """Nothing came of it."""
        self.leave()
        self._close_ours()

    async def through(self, work: asyncio.Task[None]) -> None:
        """Wait for work that goes on although its request is cancelled. Raises what it raises."""
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self.leave()
            raise
        except BaseException:
            self.close()
            raise

    def follow(self, exited: asyncio.Future[Exit], history: str = "") -> None:
        """Have notifications begin after the answer. history: a log to send before."""
        relay = self._relay
        if relay is None:
            return
        entries = logs.before(history, self._log_end) if history else []
        before = [output(entry["stream"], entry["log"].encode()) for entry in entries]
        connection = self._call.connection
        self._call.afterwards.append(
            lambda: connection.begin_stream(relay.number, relay.send(before, exited))
        )
