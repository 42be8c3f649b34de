# SPDX-License-Identifier: Apache-2.0
"""`--timeline FILE`: where the time of a start went, step by step.

A trace that Perfetto and chrome://tracing open ("Trace Event Format"), or a picture where FILE ends
in .svg. Two tracks: ours, and the init's, which notes in shared memory when each operation began.
"""

from __future__ import annotations

import os
import time
from array import array

from native.plan import Op, lib
from runtime import steps
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from native.plan import Plan

OURS, INIT = "orlop", "orlop-init"
_WORD = 8  # bytes of a uint64_t


class Span:
    """A step. pointer: what asked for it, or "". begin, end: nanoseconds of CLOCK_REALTIME."""

    __slots__ = ("begin", "end", "name", "pointer", "track")

    def __init__(self, track: str, name: str, begin: int, end: int, pointer: str = "") -> None:
        self.track = track
        self.name = name
        self.begin = begin
        self.end = end
        self.pointer = pointer


class Timeline:
    """What was seen of one start; `end` writes it, once."""

    def __init__(self, path: str) -> None:
        """Begin with the interpreter's own start. Raises OrlopError where FILE can't be made."""
        self.path = path
        self.spans: list[Span] = []
        self._plan: Plan | None = None
        self._clock = -1
        now = time.time_ns()
        # The only span that nobody saw begin: until here we did nothing but compute.
        begun = now - time.process_time_ns()
        self._open: Span | None = Span(OURS, "interpreter, imports, command line", begun, now)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o644)
        except OSError as error:
            raise OrlopError(f"timeline {path}: {(error.strerror or '').lower()}") from error

    def begin(self, name: str, op: Op | None) -> None:
        """See steps.begin."""
        now = time.time_ns()
        self._close(now)
        if op is not None:
            name = f"{name}: {op.text or op.name}"
        self._open = Span(OURS, name, now, now, op.pointer if op is not None else "")

    def _close(self, now: int) -> None:
        if self._open is not None:
            self._open.end = now
            self.spans.append(self._open)
            self._open = None

    def watch_init(self, made: Plan) -> int:
        """See steps.watch_init."""
        if self._clock < 0:
            text = "times of all operations"
            made.ops.insert(0, Op(lib.OP_CLOCK, text, fd="clock"))
            self._clock = os.memfd_create("orlop-times", os.MFD_CLOEXEC)
            os.ftruncate(self._clock, len(made.ops) * _WORD)
        self._plan = made
        return self._clock

    def end(self) -> None:
        """Write all of it. Raises OrlopError."""
        if self._file < 0:
            return
        self._close(time.time_ns())
        self.spans += self._of_init()
        text = _as_picture(self.spans) if self.path.endswith(".svg") else as_trace(self.spans)
        try:
            with open(self._file, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            raise OrlopError(f"timeline {self.path}: {(error.strerror or '').lower()}") from error
        finally:
            self._file = -1
            if self._clock >= 0:
                os.close(self._clock)
                self._clock = -1

    def _of_init(self) -> list[Span]:
        """Its operations; one lasts until the next begins, the last one until the start is over."""
        if self._plan is None:
            return []
        ops = self._plan.ops
        times = array("Q", os.pread(self._clock, len(ops) * _WORD, 0))
        begun = [(at, op) for at, op in zip(times, ops, strict=True) if at]
        last = max(span.end for span in self.spans)
        ends = [*(at for at, _ in begun[1:]), last][: len(begun)]
        found = [
            Span(INIT, op.describe(), at, max(at, end), op.pointer)
            for (at, op), end in zip(begun, ends, strict=True)
        ]
        if begun and begun[-1][1].code == lib.OP_SECCOMP:  # behind it the init can't tell the time
            found[-1].name += "".join(f", {op.name}" for op in ops[ops.index(begun[-1][1]) + 1 :])
        return found


def recorded(path: str, run: Callable[[], int]) -> int:
    """Run a command, and write its timeline even where it fails. Raises as `run` does."""
    timeline = Timeline(path)
    steps.watch(timeline)
    try:
        return run()
    finally:
        steps.watch(None)
        timeline.end()


def as_trace(spans: list[Span]) -> str:
    """Complete events ("X"), in microseconds from the first one, and the tracks' names ("M")."""
    first = min(span.begin for span in spans)
    tracks = {OURS: 1, INIT: 2}
    events: list[dict[str, object]] = [
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": name}}
        for name, number in tracks.items()
    ]
    for span in spans:
        event: dict[str, object] = {
            "name": span.name,
            "cat": span.track,
            "ph": "X",
            "pid": 1,
            "tid": tracks[span.track],
            "ts": (span.begin - first) / 1000,
            "dur": (span.end - span.begin) / 1000,
        }
        if span.pointer:
            event["args"] = {"pointer": span.pointer}
        events.append(event)
    trace = {"traceEvents": events, "displayTimeUnit": "ns"}
    return jsontext.dumps(trace, indent=1) + "\n"


def _as_picture(spans: list[Span]) -> str:
    from runtime.picture import draw

    return draw(spans)
