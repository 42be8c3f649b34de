# SPDX-License-Identifier: Apache-2.0
"""List the containers under the state root."""

from __future__ import annotations

import os
import sys

from runtime import container, options
from runtime.log import describe as describe_error
from runtime.options import Flag
from runtime.report import describe
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cli import Globals
    from runtime.container import Container
    from runtime.options import Options

USAGE = "list [flags]"
FLAGS = (
    Flag(
        "format",
        "table (the default) or json",
        options.VALUE,
        short="f",
        metavar="FORMAT",
        choices=("table", "json"),
    ),
    Flag("quiet", "print ids only", short="q"),
)
ARGUMENTS = (0, 0)
_COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def run(call: Globals, options: Options, arguments: Sequence[str]) -> int:  # noqa: ARG001 - none
    """Print the list."""
    form = options.text("format", "table")
    if call.options.given("root") and not os.path.isdir(call.root):
        raise OrlopError(f"state root {call.root}: no such file or directory")
    found = container.every(call.root, _complain)
    try:
        if options.flag("quiet"):
            sys.stdout.write("".join(f"{item.record.id}\n" for item in found))
            return 0
        rows = [describe(item, _owner(item)) for item in found]
    finally:
        for item in found:
            item.close()
    # runc prints null for an empty list, and its readers know that
    sys.stdout.write(jsontext.dumps(rows or None) + "\n" if form == "json" else _table(rows))
    return 0


def _complain(container_id: str, error: Exception) -> None:
    """One that is damaged hides none of the others, as in runc."""
    sys.stderr.write(f"orlop: load container {container_id}: {describe_error(error)}\n")


def _owner(item: Container) -> str:
    import pwd

    uid = item.record.owner
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _table(rows: Sequence[dict[str, object]]) -> str:
    lines = [_COLUMNS, *(tuple(_cell(row[name.lower()]) for name in _COLUMNS) for row in rows)]
    # runc's columns: its tabwriter has a least width of 12, and a padding of 3
    widths = [max(12, *(len(line[i]) + 3 for line in lines)) for i in range(len(_COLUMNS))]
    text = ""
    for line in lines:
        text += "".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        text = text.rstrip() + "\n"
    return text


def _cell(value: object) -> str:
    """On one line, and with nothing that a terminal obeys: a bundle's path may be anything."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
