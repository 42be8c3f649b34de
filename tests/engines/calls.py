# SPDX-License-Identifier: Apache-2.0
"""Calls of a containerd in a room, by gRPC: its own API, and CRI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import grpc

from tests.engines.messages import Message, decode, encode
from tests.support import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.room import Room

_SOCKET = "run/containerd/containerd.sock"

#: A containerd that is killed is back in a second: so often is it looked for.
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class CallError(Exception):
    """A call that failed. Attributes: `code`, gRPC's name for it, as NOT_FOUND; `text`."""

    def __init__(self, method: str, error: grpc.RpcError) -> None:
        self.code = error.code().name
        self.text = error.details() or ""
        super().__init__(f"{method}: {self.code}: {self.text}")


class Calls:
    """A connection, in a `with` statement. namespace: containerd's; CRI has its own."""

    def __init__(self, room: Room, namespace: str) -> None:
        self._target = f"unix:///proc/{room.pid}/root/{_SOCKET}"
        self._metadata = (("containerd-namespace", namespace),)

    def __enter__(self) -> Self:
        self._channel = grpc.insecure_channel(self._target, options=_OPTIONS)
        return self

    def __exit__(self, *exception: object) -> None:
        self._channel.close()

    def __call__(self, method: str, request: Message, seconds: float = 60) -> Message:
        """Make a call of "package.Service/Method"; the response. Raises CallError.

        Where nobody listens, it waits until somebody does.
        """
        return decode(self.raw(method, request, seconds))

    def raw(self, method: str, request: Message, seconds: float = 60) -> bytes:
        """The same, with the response's bytes."""
        call = self._channel.unary_unary(f"/{method}", encode, bytes)
        try:
            answer: bytes = call(
                request,
                timeout=waiting.limit(seconds),
                metadata=self._metadata,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            raise CallError(method, error) from None
        return answer

    def stream(self, method: str, request: Message, seconds: float = 60) -> Iterator[Message]:
        """The answers to a call that has many; begun when the first metadata is there."""
        call = self._channel.unary_stream(
            f"/{method}", request_serializer=encode, response_deserializer=decode
        )
        answers = call(
            request,
            timeout=waiting.limit(seconds),
            metadata=self._metadata,
            wait_for_ready=True,
        )
        return iter(answers)
