# SPDX-License-Identifier: Apache-2.0
"""Containers from Python: through orlopd (`Client`, `AsyncClient`), or in process (`Runtime`).

The one package of this project that is meant to be imported by others; docs/python.md has examples.
Importing it imports nothing else: a name is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orlop.aio import AsyncClient as AsyncClient
    from orlop.aio_process import AsyncProcess as AsyncProcess
    from orlop.aio_stream import AsyncStream as AsyncStream
    from orlop.client import Client as Client
    from orlop.connection import default_path as default_path
    from orlop.errors import AlreadyExists as AlreadyExists
    from orlop.errors import Busy as Busy
    from orlop.errors import Cancelled as Cancelled
    from orlop.errors import DeadlineOver as DeadlineOver
    from orlop.errors import InvalidParameter as InvalidParameter
    from orlop.errors import InvalidSpec as InvalidSpec
    from orlop.errors import Lost as Lost
    from orlop.errors import NotFound as NotFound
    from orlop.errors import OrlopError as OrlopError
    from orlop.errors import PlanFailed as PlanFailed
    from orlop.errors import ProtocolError as ProtocolError
    from orlop.errors import Refused as Refused
    from orlop.errors import RuntimeFailed as RuntimeFailed
    from orlop.errors import Unreachable as Unreachable
    from orlop.errors import WrongStatus as WrongStatus
    from orlop.items import Completed as Completed
    from orlop.items import Event as Event
    from orlop.items import Missed as Missed
    from orlop.items import Output as Output
    from orlop.process import Process as Process
    from orlop.runtime import Runtime as Runtime
    from orlop.stream import Stream as Stream

#: module -> the names that are public
_NAMES = {
    "aio": ("AsyncClient",),
    "aio_process": ("AsyncProcess",),
    "aio_stream": ("AsyncStream",),
    "client": ("Client",),
    "connection": ("default_path",),
    "errors": (
        *("AlreadyExists", "Busy", "Cancelled", "DeadlineOver", "InvalidParameter", "InvalidSpec"),
        *("Lost", "NotFound", "OrlopError", "PlanFailed", "ProtocolError", "Refused"),
        *("RuntimeFailed", "Unreachable", "WrongStatus"),
    ),
    "items": ("Completed", "Event", "Missed", "Output"),
    "process": ("Process",),
    "runtime": ("Runtime",),
    "stream": ("Stream",),
}
__all__ = sorted(name for names in _NAMES.values() for name in names)  # noqa: PLE0605 - computed


def __getattr__(name: str) -> object:
    for module, names in _NAMES.items():
        if name in names:
            found = getattr(__import__(f"orlop.{module}", fromlist=[name]), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'orlop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
