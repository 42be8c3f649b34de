# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC 2.0's messages (jsonrpc.org/specification), one JSON text per line."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from supervisor.failure import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Failure

LINE_LIMIT = 1 << 20  # bytes of a request, or of a batch
BATCH_LIMIT = 100  # requests of a batch
_encoder = json.JSONEncoder(separators=(",", ":"))
_MEMBERS = {"jsonrpc", "method", "params", "id"}

Id = str | int | float | None


class Request:
    """One request. `wants_answer`: it has an id, and so is no notification."""

    __slots__ = ("id", "method", "params", "wants_answer")

    def __init__(self, method: str, params: dict[str, Any], id_: Id, *, wants_answer: bool) -> None:
        self.method = method
        self.params = params
        self.id = id_
        self.wants_answer = wants_answer


def parse(line: bytes) -> tuple[list[object], bool]:
    """The messages in a line, and whether they are a batch. Raises Failure."""
    try:
        value = json.loads(line, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Failure(PARSE_ERROR, f"not a JSON text: {error}") from error
    if not isinstance(value, list):
        return [value], False
    if not 0 < len(value) <= BATCH_LIMIT:
        text = f"a batch has 1 to {BATCH_LIMIT} requests, not {len(value)}"
        raise Failure(INVALID_REQUEST, text)
    return value, True


def request(message: object) -> Request:
    """A message as a request. Raises Failure."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Failure(INVALID_REQUEST, 'a request is an object with "jsonrpc": "2.0"')
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str) or message.keys() - _MEMBERS:
        text = "a request has a method, and params and id if need be; nothing else"
        raise Failure(INVALID_REQUEST, text)
    if not is_id(message.get("id")):
        raise Failure(INVALID_REQUEST, "an id is a text, a number or null")
    if not isinstance(params, dict):
        raise Failure(INVALID_PARAMS, "parameters are passed by name, in an object")
    return Request(method, params, message.get("id"), wants_answer="id" in message)


def is_id(value: object) -> bool:
    """Whether JSON-RPC allows it as an id."""
    return not isinstance(value, bool) and isinstance(value, str | int | float | None)


def id_of(message: object) -> Id:
    """The id of a message that may not be a request: null where none can be told."""
    found = message.get("id") if isinstance(message, dict) else None
    return found if is_id(found) else None


def answer(id_: Id, result: object) -> dict[str, object]:
    """A response."""
    return {"jsonrpc": "2.0", "id": id_, "result": result}


def refusal(id_: Id, failure: Failure) -> dict[str, object]:
    """A response that says what failed."""
    return {"jsonrpc": "2.0", "id": id_, "error": failure.body()}


def notification(method: str, params: dict[str, object]) -> dict[str, object]:
    """What is sent without being asked."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def pack(message: object) -> bytes:
    """A message's line; ASCII alone, so that names with lone surrogates pass too."""
    return _encoder.encode(message).encode() + b"\n"


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is no number that could be sent back")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
