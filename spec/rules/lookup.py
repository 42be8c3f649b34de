# SPDX-License-Identifier: Apache-2.0
"""What several rules ask a spec."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spec.types import LinuxNamespace, NamespaceType, Spec


def namespace(spec: Spec, kind: NamespaceType) -> LinuxNamespace | None:
    """Return the spec's entry for a kind of namespace, or None.

    The container then shares the runtime's.
    """
    for entry in spec.get("linux", {}).get("namespaces", ()):
        if entry["type"] == kind:
            return entry
    return None


def is_new(entry: LinuxNamespace | None) -> bool:
    """Tell whether a namespace is made for the container.

    An empty path is none, as Go writes it.
    """
    return entry is not None and not entry.get("path")


def is_number_list(text: str) -> bool:
    """Tell whether a text is a list of numbers and ranges such as `0-3,7`, or empty.

    cpuset(7), "List format"; runc parses the lists of the spec so, with blanks around a part.
    """
    for part in text.split(",") if text else ():
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit()):
            return False
        if dash and not (last.isascii() and last.isdigit() and int(last) >= int(first)):
            return False
    return True
