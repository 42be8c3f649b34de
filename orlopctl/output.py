# SPDX-License-Identifier: Apache-2.0
"""Tables, sizes, times and colours, for people."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_KIBI = 1024
_COLOURS = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2"}
#: status, or health -> colour
OF_STATUS = {
    "running": "green", "healthy": "green", "paused": "yellow", "created": "blue",
    "starting": "yellow", "stopped": "dim", "unhealthy": "red",
}  # fmt: skip


def has_colours(fd: int = 1) -> bool:
    """Whether colours are welcome: on a terminal that has some, unless NO_COLOR is set."""
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    return os.isatty(fd) and not dumb and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, *, colours: bool) -> str:
    """The text in a colour, "" for none."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colours and colour else text


def cell(value: object) -> str:
    """On one line, and with nothing that a terminal obeys: names and paths may be anything."""
    if value is None:
        return "-"
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()
) -> str:
    """Columns as wide as they must be; those with a heading in `right` are numbers."""
    colours = has_colours()
    lines = [list(headings), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    text = ""
    for number, line in enumerate(lines):
        shown = []
        for value, width, heading in zip(line, widths, headings, strict=True):
            padded = f"{value:>{width}}" if heading in right else f"{value:<{width}}"
            colour = "bold" if number == 0 else ""
            if heading in ("STATUS", "HEALTH"):
                colour = colour or OF_STATUS.get(value, "")
            shown.append(paint(padded, colour, colours=colours))
        text += "  ".join(shown).rstrip() + "\n"
    return text


def size(number: object) -> str:
    """Bytes: `1.5 GiB`."""
    if not isinstance(number, int | float):
        return "-"
    value, unit = float(number), _UNITS[0]
    for unit in _UNITS:  # noqa: B007 - the last one counts
        if value < _KIBI:
            break
        value /= _KIBI
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def seconds(nanoseconds: object) -> str:
    """Processor time: `12.34s`."""
    return f"{nanoseconds / 1e9:.2f}s" if isinstance(nanoseconds, int | float) else "-"


def moment(time: object) -> str:
    """A time of RFC 3339 to the second: `2026-11-22 17:51:34`."""
    return str(time)[:19].replace("T", " ") if time else "-"


def complain(text: str) -> None:
    """A line on standard error."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
