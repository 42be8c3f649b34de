# SPDX-License-Identifier: Apache-2.0
"""Output as lines of a log: as the kubelet has them (cri), or Docker (json).

Lines that came together have one time. A readable line that is longer than readers of CRI's take
is several entries, all but the last of them partial.
"""

from __future__ import annotations

import time

from spec import jsontext

_LINE = 16384  # the longest that CRI's readers take as one piece


class Lines:
    """One stream's lines. layout: "cri" or "json"; stream: "stdout" or "stderr"."""

    def __init__(self, layout: str, stream: str) -> None:
        self._is_cri = layout == "cri"
        self._stream = stream
        self._rest = b""  # has no end of line yet

    def add(self, data: bytes) -> bytes:
        """The entries of what has become whole by these bytes."""
        head, end, rest = (self._rest + data).rpartition(b"\n")
        at = _now()
        text = self._whole(head, at) if end else b""
        if len(rest) >= _LINE:
            pieces = _cut(rest)
            rest = pieces.pop() if len(pieces[-1]) < _LINE else b""
            text += b"".join(self._entry(piece, at, whole=False) for piece in pieces)
        self._rest = rest
        return text

    def flush(self) -> bytes:
        """The entry of what has no end of line yet: a part, which goes on in the next."""
        return self._rest_as(whole=False)

    def end(self) -> bytes:
        """The entry of what has no end of line."""
        return self._rest_as(whole=not self._is_cri)

    def _rest_as(self, *, whole: bool) -> bytes:
        rest, self._rest = self._rest, b""
        return self._entry(rest, _now(), whole=whole) if rest else b""

    def _whole(self, head: bytes, at: str) -> bytes:
        lines = head.split(b"\n")
        if self._is_cri and len(max(lines, key=len)) <= _LINE:
            mark = f"{at} {self._stream} F ".encode()
            return mark + (b"\n" + mark).join(lines) + b"\n"
        entries = []
        for line in lines:
            *pieces, last = _cut(line) if len(line) > _LINE else (line,)
            entries += [self._entry(piece, at, whole=False) for piece in pieces]
            entries.append(self._entry(last, at, whole=True))
        return b"".join(entries)

    def _entry(self, line: bytes, at: str, *, whole: bool) -> bytes:
        if self._is_cri:
            return f"{at} {self._stream} {'F' if whole else 'P'} ".encode() + line + b"\n"
        text = line.decode("utf-8", "replace") + ("\n" if whole else "")
        return jsontext.dumps({"log": text, "stream": self._stream, "time": at}).encode() + b"\n"


def _cut(line: bytes) -> list[bytes]:
    return [line[at : at + _LINE] for at in range(0, len(line), _LINE)]


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
