# SPDX-License-Identifier: Apache-2.0
"""What a call of orlopd raises: the runtime's own exceptions.

So who catches them can change between the daemon and the runtime in process. Every
refusal is also a `Refused`, which has what the daemon said as data (docs/rpc.md).
"""

from __future__ import annotations

from runtime.errors import AlreadyExists, InvalidId, NotFound, PlanFailed, UsageError, WrongStatus
from spec.errors import InvalidSpec, OrlopError, Violation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AlreadyExists",
    "Busy",
    "Cancelled",
    "DeadlineOver",
    "InvalidId",
    "InvalidParameter",
    "InvalidSpec",
    "Lost",
    "NotFound",
    "OrlopError",
    "PlanFailed",
    "ProtocolError",
    "Refused",
    "RuntimeFailed",
    "Unreachable",
    "UsageError",
    "Violation",
    "WrongStatus",
]


class Unreachable(OrlopError, ConnectionError):
    """Nobody listens where orlopd should."""


class Lost(OrlopError, ConnectionError):
    """The connection ended before the answer: whether the request was done is not known."""


class ProtocolError(OrlopError):
    """What came is not what docs/rpc.md says: no orlopd, or one that is much newer."""


class Refused(OrlopError):
    """An error that orlopd answered.

    code: as in docs/rpc.md. data: all that came with it. pointer: of config.json, or of the
    parameter. step, errno: the plan's step that failed and its number, "" and 0 where there is
    none.
    """

    def __init__(self, code: int, message: str, data: Mapping[str, object]) -> None:
        pointer, hint = _text(data, "pointer"), _text(data, "hint")
        # The daemon's line begins with the pointer, where it has one.
        OrlopError.__init__(self, message.removeprefix(f"{pointer}: "), pointer=pointer, hint=hint)
        self.code = code
        self.data = dict(data)
        self.operation = _text(data, "operation")
        self.subject = _text(data, "subject")
        self.step = _text(data, "step")
        number = data.get("errno")
        self.errno = number if isinstance(number, int) else 0
        self.violations = [_violation(found) for found in _objects(data.get("violations"))]


class InvalidParameter(Refused, ValueError):
    """A parameter is missing, unknown or wrong; `pointer` names it."""


class Busy(Refused):
    """A limit of orlopd's is reached."""


class DeadlineOver(Refused):
    """The request's timeout is over; what it began goes on to its end."""


class Cancelled(Refused):
    """The request was cancelled; what it began goes on to its end."""


class RuntimeFailed(Refused, PlanFailed):
    """The runtime refused or failed."""


class _NotFound(Refused, NotFound):
    pass


class _AlreadyExists(Refused, AlreadyExists):
    pass


class _WrongStatus(Refused, WrongStatus):
    pass


class _InvalidSpec(Refused, InvalidSpec):
    pass


#: code -> class; all others are Refused itself
CLASSES: Mapping[int, type[Refused]] = {
    -32602: InvalidParameter,
    1: _NotFound,
    2: _AlreadyExists,
    3: _WrongStatus,
    4: _InvalidSpec,
    5: Busy,
    6: DeadlineOver,
    7: Cancelled,
    8: RuntimeFailed,
}


def refusal(error: object) -> Refused:
    """The exception for the `error` member of a response. Raises ProtocolError."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        raise ProtocolError(f"an error without a code came from orlopd: {error!r}")
    data = error.get("data")
    kind = CLASSES.get(error["code"], Refused)
    members = data if isinstance(data, dict) else {}
    return kind(error["code"], str(error.get("message", "")), members)


def _violation(found: Mapping[str, object]) -> Violation:
    line = found.get("line")
    return Violation(
        _text(found, "pointer"),
        _text(found, "found"),
        _text(found, "allowed"),
        line=line if isinstance(line, int) else 0,
    )


def _objects(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
