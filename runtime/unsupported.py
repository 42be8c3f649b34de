# SPDX-License-Identifier: Apache-2.0
"""Properties that the standard has and this version does not: refused, never ignored."""

from __future__ import annotations

from runtime.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spec.types import Spec

_PROPERTIES = (
    "/process/apparmorProfile",
    "/process/selinuxLabel",
    "/process/scheduler",
    "/process/ioPriority",
    "/process/execCPUAffinity",
    "/linux/mountLabel",
    "/linux/netDevices",
    "/linux/memoryPolicy",
    "/linux/personality",
    "/linux/intelRdt",
)


def check(spec: Spec) -> None:
    """Raise Unsupported for the first property that asks for what is not implemented yet."""
    for pointer in _PROPERTIES:
        value: object = spec
        for key in pointer[1:].split("/"):
            value = value.get(key) if isinstance(value, dict) else None
        if value:
            message = f"{pointer.rpartition('/')[2]} is not supported yet"
            raise Unsupported(message, pointer=pointer)
