# SPDX-License-Identifier: Apache-2.0
"""The errors of this project: they say where in config.json a problem comes from.

The classes are part of the public interface: a caller catches `OrlopError` and reads its
attributes; the text is one line, lower-case and without a full stop, because engines put it in the
middle of their own messages.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class OrlopError(Exception):
    """An operation failed for a reason that a user can understand.

    message: what failed and why, one line. pointer: the JSON pointer (RFC 6901) of the part of
    config.json that asked for it, or "". hint: what the user may do about it, or "".
    """

    def __init__(self, message: str, *, pointer: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.hint = hint

    def __str__(self) -> str:
        """Return `POINTER: MESSAGE`, or the message alone without a pointer; always one line."""
        text = f"{self.pointer}: {self.message}" if self.pointer else self.message
        return text if text.isprintable() else _escaped(text)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling, which by default forgets keyword-only arguments."""
        return _restore, (type(self), dict(self.__dict__))


class Violation:
    """One place where a document breaks its schema or a rule of the standard.

    pointer: the JSON pointer (RFC 6901) of the value, "" for the whole document. found: what is
    there. allowed: what may be there. line: the line of the value in the file, counted from 1, or 0
    when unknown. file: the name that goes with the line.
    """

    __slots__ = ("allowed", "file", "found", "line", "pointer")

    def __init__(
        self, pointer: str, found: str, allowed: str, *, line: int = 0, file: str = "config.json"
    ) -> None:
        self.pointer = pointer
        self.found = found
        self.allowed = allowed
        self.line = line
        self.file = file

    @property
    def message(self) -> str:
        """What was found and what is allowed, without the place."""
        return f"found {self.found}, expected {self.allowed}"

    def __str__(self) -> str:
        """Return `POINTER: found …, expected … (config.json line N)`."""
        place = self.pointer or self.file
        line = f" ({self.file} line {self.line})" if self.line else ""
        return f"{place}: {self.message}{line}"

    def __repr__(self) -> str:
        """Return the text with the class's name, for test reports."""
        return f"<Violation {self}>"


class InvalidSpec(OrlopError, ValueError):
    """A configuration, a process file or a state file isn't what the standard allows.

    violations: every violation found, in the document's order; empty when the text isn't even JSON.
    """

    def __init__(
        self,
        message: str = "",
        *,
        violations: Sequence[Violation] = (),
        pointer: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(
            message or "; ".join(map(str, violations)),
            pointer=pointer,
            hint=hint,
        )
        self.violations = list(violations)


def _escaped(text: str) -> str:
    """Return a text on one line and with nothing that a terminal obeys or UTF-8 refuses.

    Names in documents and paths may hold any character, lone surrogates (PEP 383) included.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _restore(kind: type[OrlopError], attributes: dict[str, object]) -> OrlopError:
    """Build an error from its pickled attributes."""
    error = kind.__new__(kind, attributes["message"])
    error.__dict__.update(attributes)
    return error
