# SPDX-License-Identifier: Apache-2.0
"""What engines write although the standard's schema refuses it, put right before the check.

Applied when a configuration is loaded to be used; `spec.bundle.check` judges the document as it is.
A further tolerance, the recursive values of `linux.rootfsPropagation`, is in the schema itself,
since their meaning must survive.
"""

from __future__ import annotations

_TYPE_BITS = 0o170000
"""S_IFMT of inode(7)."""


def apply(document: object, text: str) -> None:
    """Change a document as parsed from `text` in place.

    - A member that is null is absent: Go encodes empty slices, maps and pointers so. Null inside an
      array stays, and is refused with its index: there it isn't "absent", and dropping it would
      shift the elements after it.
    - The file type in a device's `fileMode` is dropped: older engines copy st_mode of stat(2).
    - `linux.resources.pids` without a limit is no limit: Go leaves out a limit that isn't set.
    """
    if "null" in text:
        _drop_nulls(document)
    linux = _member(document, "linux")
    devices = _member(linux, "devices")
    for device in devices if isinstance(devices, list) else ():
        mode = _member(device, "fileMode")
        if type(mode) is int and mode > 0:
            device["fileMode"] = mode & ~_TYPE_BITS
    resources = _member(linux, "resources")
    if isinstance(resources, dict) and resources.get("pids") == {}:
        del resources["pids"]


def _member(value: object, name: str) -> object:
    """Return a member of a document whose shape isn't known yet, or None."""
    return value.get(name) if isinstance(value, dict) else None


def _drop_nulls(document: object) -> None:
    """Remove every member that is null, at any depth; a loop, since the document may be deep."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            for name in [name for name, member in value.items() if member is None]:
                del value[name]
            pending += value.values()
        elif isinstance(value, list):
            pending += value
