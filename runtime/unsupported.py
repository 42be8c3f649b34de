# SPDX-License-Identifier: Apache-2.0
"""Properties that the standard has and this version does not: refused, never ignored."""

from __future__ import annotations

from runtime.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spec.types import Spec


def check(spec: Spec) -> None:
    """Raise Unsupported for the first property that asks for what is not implemented yet."""
    for index, mount in enumerate(spec.get("mounts", ())):
        if mount.get("uidMappings") or mount.get("gidMappings"):
            message = "id-mapped mounts are not supported yet"
            raise Unsupported(message, pointer=f"/mounts/{index}/uidMappings")
