# SPDX-License-Identifier: Apache-2.0
"""The errors that a client of orlopd sees: JSON-RPC's own codes, and ours above them."""

from __future__ import annotations

import json
import re

from shim import ttrpc
from spec.errors import InvalidSpec, OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ttrpc import RpcError

# JSON-RPC 2.0, section 5.1
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
# ours, outside the range that JSON-RPC reserves
NOT_FOUND = 1
EXISTS = 2
WRONG_STATE = 3
INVALID_SPEC = 4
BUSY = 5
TIMEOUT = 6
CANCELLED = 7
RUNTIME_FAILED = 8

#: code -> what it means; docs/rpc.md and rpc.discover are made from it
CODES = {
    PARSE_ERROR: "the text is not JSON",
    INVALID_REQUEST: "the JSON is not a request, or breaks a limit",
    METHOD_NOT_FOUND: "there is no such method",
    INVALID_PARAMS: "a parameter is missing, unknown or wrong; data.pointer names it",
    INTERNAL_ERROR: "a fault of orlopd's own",
    NOT_FOUND: "there is no such container or process",
    EXISTS: "the id, or the bundle, is in use",
    WRONG_STATE: "the container's status does not allow it",
    INVALID_SPEC: "config.json is wrong; data.violations says where",
    BUSY: "a limit of orlopd's is reached",
    TIMEOUT: "the request's timeout is over; what it began goes on to its end",
    CANCELLED: "the request was cancelled; what it began goes on to its end",
    RUNTIME_FAILED: "the runtime refused or failed; data has pointer (the part of config.json),"
    " operation, step (the system call) and errno, where there are any",
}
_OF_TTRPC = {
    ttrpc.INVALID_ARGUMENT: INVALID_PARAMS,
    ttrpc.NOT_FOUND: NOT_FOUND,
    ttrpc.ALREADY_EXISTS: EXISTS,
    ttrpc.RESOURCE_EXHAUSTED: BUSY,
    ttrpc.FAILED_PRECONDITION: WRONG_STATE,
}


#: What containerd's users look for; ours know which method they called.
_PREFIX = re.compile(r"OCI runtime \w+ failed: ")


class Failure(Exception):
    """A request's failure: one of CODES, a line for people, and data for programs."""

    def __init__(self, code: int, message: str, **data: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def body(self) -> dict[str, object]:
        """The response's `error` member."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        return {**body, "data": self.data} if self.data else body


def of_shim(error: RpcError) -> Failure:
    """What a shim answered."""
    data = json.loads(error.details) if error.details else {}
    code = INVALID_SPEC if "violations" in data else _OF_TTRPC.get(error.code, RUNTIME_FAILED)
    return Failure(code, _PREFIX.sub("", error.message, count=1), **data)


def of_spec(error: OrlopError) -> Failure:
    """What loading a bundle, or a rule of the runtime, has to say."""
    if not isinstance(error, InvalidSpec):
        names = ("pointer", "hint", "operation", "step", "errno")
        data = {name: getattr(error, name) for name in names if getattr(error, name, None)}
        return Failure(RUNTIME_FAILED, str(error), **data)
    violations = [
        {"pointer": v.pointer, "found": v.found, "allowed": v.allowed, "line": v.line}
        for v in error.violations
    ]
    return Failure(INVALID_SPEC, str(error), violations=violations)
