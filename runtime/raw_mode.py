# SPDX-License-Identifier: Apache-2.0
"""Raw mode of the caller's terminal, and the way back from it, whatever happens."""

from __future__ import annotations

import termios

from runtime.terminal_guard import Guard


class RawMode:
    """The terminal on stdin. `leave` puts it back, and may be called at any time, and again."""

    def __init__(self) -> None:
        self._saved: list[int | list[bytes | int]] | None = None
        self._guard: Guard | None = None

    def enter(self, farewell: bytes = b"") -> bool:
        """Raw mode, as cfmakeraw(3); False where stdin is no terminal.

        farewell: what the terminal is sent if we are killed, to undo what we told it.
        """
        try:
            attributes = termios.tcgetattr(0)
        except termios.error:
            return False
        self._saved = [*attributes[:6], list(attributes[6])]
        attributes[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        attributes[1] &= ~termios.OPOST
        attributes[2] = attributes[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        attributes[3] &= ~(
            termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
        )
        termios.tcsetattr(0, termios.TCSANOW, attributes)
        self._guard = Guard(self._saved, farewell)
        return True

    def leave(self) -> None:
        """The terminal as it was."""
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
            self._saved = None
        if self._guard is not None:
            self._guard.end()
            self._guard = None
