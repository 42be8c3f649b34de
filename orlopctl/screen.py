# SPDX-License-Identifier: Apache-2.0
"""The whole terminal as a screen that is drawn again and again, and given back at any end."""

from __future__ import annotations

import os

from runtime.raw_mode import RawMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

# xterm's control sequences, as every terminal of today has them: the alternate screen, no cursor,
# no wrapping of lines
_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = b"\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_WIDTH, _HEIGHT = 80, 24  # of a terminal that doesn't know


class Screen:
    """Nothing is cleared before it is drawn over: so nothing flickers."""

    def __init__(self) -> None:
        self._raw = RawMode()

    def __enter__(self) -> Self:
        """Take the terminal on stdin and stdout; if we are killed, it is put back as well."""
        self._raw.enter(_LEAVE)
        self._write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        try:
            self._write(_LEAVE)
        finally:
            self._raw.leave()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        try:
            width, height = os.get_terminal_size(1)
        except OSError:
            width = height = 0
        return width or _WIDTH, height or _HEIGHT

    def draw(self, lines: Sequence[str]) -> None:
        """Draw lines that are no wider, nor more, than `size` says; in one write."""
        text = "\r\n".join(f"{line}{_END_OF_LINE}" for line in lines)
        self._write(f"{_HOME}{text}{_BELOW}".encode())

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]
