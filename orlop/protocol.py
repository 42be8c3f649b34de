# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC 2.0 as orlopd speaks it, without any input or output: bytes in, messages out.

Both clients are loops around this.
"""

from __future__ import annotations

from orlop.errors import ProtocolError, Refused, refusal
from spec import jsontext
from spec.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Answer:
    """The end of a request: its result, or why there is none."""

    __slots__ = ("error", "number", "result")

    def __init__(self, number: int, result: object, error: Refused | None) -> None:
        self.number = number
        self.result = result
        self.error = error

    def value(self) -> object:
        """The result. Raises Refused."""
        if self.error is not None:
            raise self.error
        return self.result


class Notification:
    """What comes without being asked, of a subscription."""

    __slots__ = ("method", "params", "subscription")

    def __init__(self, method: str, params: dict[str, object]) -> None:
        self.method = method
        self.params = params
        number = params.get("subscription")
        self.subscription = number if isinstance(number, int) else 0


class Protocol:
    """One connection's conversation."""

    __slots__ = ("_number", "_rest")

    def __init__(self) -> None:
        self._number = 0
        self._rest = bytearray()

    def request(self, method: str, params: Mapping[str, object]) -> tuple[int, bytes]:
        """A request's number, and the bytes to send."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        return self._number, jsontext.dumps(message).encode() + b"\n"

    def receive(self, data: bytes) -> list[Answer | Notification]:
        """The messages that these bytes complete. Raises ProtocolError."""
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        return [_message(bytes(line)) for line in lines if line]


def _message(line: bytes) -> Answer | Notification:
    try:
        message = jsontext.loads(line.decode(), lone_surrogates=True)
    except (InvalidSpec, UnicodeDecodeError) as error:
        raise ProtocolError(f"what came from orlopd is no JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("what came from orlopd is no message of JSON-RPC")
    if "method" in message:
        params = message.get("params")
        return Notification(str(message["method"]), params if isinstance(params, dict) else {})
    number = message.get("id")
    if "error" in message:
        refused = refusal(message["error"])
        if number is None:  # it could not tell whose: all that we asked is in doubt
            raise refused
        return Answer(_number(number), None, refused)
    return Answer(_number(number), message.get("result"), None)


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise ProtocolError(f"an answer came from orlopd to what was not asked: {value!r}")
    return value
