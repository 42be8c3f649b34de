# SPDX-License-Identifier: Apache-2.0
"""What a client sends, line by line, each with the descriptors that came with it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from supervisor.channel import close_all
from supervisor.failure import INVALID_REQUEST, Failure
from supervisor.jsonrpc import LINE_LIMIT

if TYPE_CHECKING:
    from supervisor.channel import Channel


class Lines:
    """Lines as they come."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._whole: deque[tuple[bytes, list[int]]] = deque()
        self._part = bytearray()
        self._descriptors: list[int] = []  # of the line whose end is to come

    async def next(self) -> tuple[bytes, list[int]]:
        """A line and its descriptors, the caller's from now on; b"" at the end.

        The last one may lack its end. Raises Failure for one that is too long, ConnectionError.
        """
        while not self._whole:
            if len(self._part) > LINE_LIMIT:
                raise Failure(INVALID_REQUEST, f"a line has at most {LINE_LIMIT} bytes")
            data, descriptors = await self._channel.receive()
            if not data:
                return self._last()
            self._take(data, descriptors)
        return self._whole.popleft()

    def _take(self, data: bytes, descriptors: list[int]) -> None:
        """Cut into lines. Descriptors come with the last bytes of a read, or before more."""
        *lines, rest = data.split(b"\n")
        for number, line in enumerate(lines, 1):
            is_last = number == len(lines) and not rest
            if is_last and descriptors:
                close_all(self._descriptors)
            given = descriptors if is_last and descriptors else self._descriptors
            self._whole.append((bytes(self._part) + line + b"\n", given))
            self._part.clear()
            self._descriptors = []
        self._part += rest
        if descriptors and (rest or not lines):
            close_all(self._descriptors)
            self._descriptors = descriptors

    def _last(self) -> tuple[bytes, list[int]]:
        line, given = bytes(self._part), self._descriptors
        self._part.clear()
        self._descriptors = []
        return line, given

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        close_all(self._descriptors)
        while self._whole:
            close_all(self._whole.popleft()[1])
