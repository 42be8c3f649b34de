# SPDX-License-Identifier: Apache-2.0
"""A container as `state` and `list` show it: the standard's state and what runc adds to it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.container import Container


def describe(container: Container, owner: str = "") -> dict[str, object]:
    """The object in runc's order of members; pid 0 when stopped."""
    record = container.record
    status = container.status()
    shown: dict[str, object] = {
        "ociVersion": record.oci_version,
        "id": record.id,
        "pid": record.init.pid if record.init and status != "stopped" else 0,
        "status": status,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
    }
    if record.annotations:
        shown["annotations"] = record.annotations
    shown["owner"] = owner
    return shown
