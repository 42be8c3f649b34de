# SPDX-License-Identifier: Apache-2.0
"""ttrpc's frames and status codes (containerd/ttrpc PROTOCOL.md), for the server and for clients.

u32 length of the payload · u32 stream · u8 type · u8 flags · payload      (big-endian)
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">IIBB")
LIMIT = 4 << 20  # of a payload
REQUEST, RESPONSE, DATA = 1, 2, 3
REMOTE_CLOSED, REMOTE_OPEN = 1, 2  # flags: what a streaming call sends

# codes of google.rpc.Status
UNKNOWN = 2
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
UNIMPLEMENTED = 12


class RpcError(Exception):
    """A call's failure: one of the codes above, and a text for people.

    details: JSON for programs: pointer, operation, step, errno, violations; those that there are.
    """

    def __init__(self, code: int, message: str, details: bytes = b"") -> None:
        super().__init__(message)
        self.details = details
        self.code = code
        self.message = message


class Frame:
    """One message as it was on the wire; `size` is what its header said, which may be too much."""

    __slots__ = ("flags", "kind", "payload", "size", "stream")

    def __init__(self, stream: int, kind: int, flags: int, payload: bytes, size: int = 0) -> None:
        self.stream = stream
        self.kind = kind
        self.flags = flags
        self.payload = payload
        self.size = size or len(payload)

    def pack(self) -> bytes:
        """The frame's bytes."""
        return HEADER.pack(len(self.payload), self.stream, self.kind, self.flags) + self.payload


class Frames:
    """Bytes as they come, cut into frames.

    A payload beyond the limit is passed over as it comes, and its frame is empty: no peer makes us
    keep more than one payload.
    """

    __slots__ = ("_data", "_skip")

    def __init__(self) -> None:
        self._data = bytearray()
        self._skip = 0

    def add(self, data: bytes) -> list[Frame]:
        """What is complete with these bytes."""
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        self._data += data
        found: list[Frame] = []
        while len(self._data) >= HEADER.size:
            size, stream, kind, flags = HEADER.unpack_from(self._data)
            end = HEADER.size + size
            if size > LIMIT:
                self._skip = max(0, end - len(self._data))
                found.append(Frame(stream, kind, flags, b"", size))
            elif end > len(self._data):
                break
            else:
                payload = bytes(self._data[HEADER.size : end])
                found.append(Frame(stream, kind, flags, payload))
            del self._data[:end]
        return found
