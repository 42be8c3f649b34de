# SPDX-License-Identifier: Apache-2.0
"""What keeps a bundle from running: where, what, and what to do about it."""

from __future__ import annotations

from spec.errors import InvalidSpec, OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from spec.errors import Violation


class Problem:
    """pointer: JSON pointer of the property, "" for the bundle as a whole. hint: or ""."""

    __slots__ = ("hint", "pointer", "text")

    def __init__(self, pointer: str, text: str, hint: str = "") -> None:
        self.pointer = pointer
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        """Return `POINTER: TEXT (hint: HINT)`, on one line, as errors are shown."""
        shown = str(OrlopError(self.text, pointer=self.pointer))
        return f"{shown} (hint: {self.hint})" if self.hint else shown


def of_violation(violation: Violation) -> Problem:
    """A violation of the schema or of a rule."""
    place = f" ({violation.file} line {violation.line})" if violation.line else ""
    return Problem(violation.pointer, violation.message + place)


def of_error(error: OrlopError) -> Iterator[Problem]:
    """What an error of a start would say; one for each of its violations."""
    if isinstance(error, InvalidSpec) and error.violations:
        yield from map(of_violation, error.violations)
    else:
        yield Problem(error.pointer, error.message, error.hint)
