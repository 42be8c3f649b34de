# SPDX-License-Identifier: Apache-2.0
"""The calls that a kubelet makes of containerd's CRI plugin: gRPC over its socket, by curl.

A message of protocol buffers is a dictionary here, from a field's number to its value: int, str,
a dictionary (a message within) or a list (a repeated field). The numbers are those of
k8s.io/cri-api, pkg/apis/runtime/v1/api.proto.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.engines.containerd import Containerd

_SERVICE = "http://localhost/runtime.v1.RuntimeService"


class CriError(Exception):
    """A call that failed, with gRPC's message."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def encode(message: dict[int, Any]) -> bytes:
    """A message's bytes."""
    out = b""
    for field, value in message.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, int):
                out += _varint(field << 3) + _varint(each)
            else:
                data = encode(each) if isinstance(each, dict) else each.encode()
                out += _varint(field << 3 | 2) + _varint(len(data)) + data
    return out


def decode(data: bytes) -> dict[int, Any]:
    """A message's fields: int, or bytes that may be a string or a message."""

    def varint() -> int:
        nonlocal data
        number = shift = 0
        while True:
            byte, data = data[0], data[1:]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    found: dict[int, Any] = {}
    while data:
        field, kind = divmod(varint(), 8)
        if kind == 0:
            found[field] = varint()
        else:
            assert kind == 2, f"wire type {kind}"
            length = varint()
            found[field], data = data[:length], data[length:]
    return found


class Cri:
    """The runtime service of a containerd."""

    def __init__(self, containerd: Containerd) -> None:
        self._room = containerd.room

    def __call__(self, method: str, request: dict[int, Any]) -> dict[int, Any]:
        """Make a call; its response. Raises CriError."""
        body, answer, head = (self._room.directory / f"cri.{n}" for n in ("in", "out", "head"))
        message = encode(request)
        body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        answer.write_bytes(b"")
        self._room.run(
            *("curl", "--silent", "--show-error", "--http2-prior-knowledge"),
            *("--unix-socket", "/run/containerd/containerd.sock"),
            *("--header", "content-type: application/grpc", "--header", "te: trailers"),
            *("--data-binary", f"@{body}", "--output", answer, "--dump-header", head),
            f"{_SERVICE}/{method}",
            join=False,
        )
        headers = dict(
            line.split(": ", 1) for line in head.read_text().splitlines() if ": " in line
        )
        if headers.get("grpc-status", "0") != "0":
            raise CriError(f"{method}: {headers.get('grpc-message')}")
        return decode(answer.read_bytes()[5:])
