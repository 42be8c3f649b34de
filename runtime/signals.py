# SPDX-License-Identifier: Apache-2.0
"""Names and numbers of signals (signal(7))."""

from __future__ import annotations

import _signal

from runtime.errors import UsageError

#: One past the last real-time signal.
COUNT: int = _signal.NSIG
NUMBERS: dict[str, int] = {
    name[3:]: int(getattr(_signal, name))
    for name in dir(_signal)
    if name.startswith("SIG") and not name.startswith(("SIG_", "SIGRTM"))
}


_LONGEST = 16  # no name is; and int() refuses thousands of digits with an error of its own


def parse(text: str) -> int:
    """A number, a name, or a name without SIG, in any case; RTMIN+N and RTMAX-N too.

    0 is none, and asks whether there is a process (kill(2)).

    Raises UsageError.
    """
    name = text.upper().removeprefix("SIG")[:_LONGEST]
    if name.isascii() and name.isdecimal():
        number = int(name)
    elif name.startswith(("RTMIN", "RTMAX")):
        number = _real_time(name)
    else:
        number = NUMBERS.get(name, -1)
    if not 0 <= number < COUNT:
        raise UsageError(f"unknown signal {text!r}")
    return number


def _real_time(name: str) -> int:
    base = _signal.SIGRTMIN if name.startswith("RTMIN") else _signal.SIGRTMAX
    offset = name[5:]
    if not offset:
        return int(base)
    if offset[0] in "+-" and offset[1:].isdecimal():
        return int(base) + int(offset)
    return -1
