# SPDX-License-Identifier: Apache-2.0
"""The steps of a start, told to whoever asked to know when each began (`--timeline`).

Nobody has asked, in general: then a step costs one comparison.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native.plan import Op, Plan
    from runtime.timeline import Timeline


class _Watch:
    """Who is told; one for the process, as there is one command line."""

    __slots__ = ("timeline",)

    def __init__(self) -> None:
        self.timeline: Timeline | None = None


_watch = _Watch()


def watch(timeline: Timeline | None) -> None:
    """From now on tell this one; None: nobody."""
    _watch.timeline = timeline


def begin(name: str, op: Op | None = None) -> None:
    """A step begins, and the one before it ends. op: the operation whose sync is answered."""
    if _watch.timeline is not None:
        _watch.timeline.begin(name, op)


def end() -> None:
    """The start is over; what follows is the process's own time."""
    if _watch.timeline is not None:
        _watch.timeline.end()


def watch_init(made: Plan) -> int:
    """Let the init note its times: a descriptor for the name "clock" in the plan, -1: nobody asks.

    The descriptor stays the timeline's.
    """
    return -1 if _watch.timeline is None else _watch.timeline.watch_init(made)
