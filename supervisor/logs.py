# SPDX-License-Identifier: Apache-2.0
"""The output of a container, as its shim wrote it: a JSON object per line."""

from __future__ import annotations

import json
import os
from collections import deque

LINES = 1000  # that one answer has at most
_BYTES = 512 << 10  # of the file's end that are looked at


def tail(path: str, lines: int) -> list[dict[str, str]]:
    """The last entries (`log`, `stream`, `time`); none where there is no output. Raises OSError."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BYTES))
            if size > _BYTES:
                file.readline()  # the rest of a line
            kept = deque(file, maxlen=lines)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in kept if line.endswith(b"\n")]
