# SPDX-License-Identifier: Apache-2.0
"""What a shim holds on to: its memory and its descriptors, once its workers have gone."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import waiting


def anonymous(pid: int) -> int:
    """A process's own memory in KiB (RssAnon, proc_pid_status(5)).

    Not what nobody shares with it: that grows when another process ends, which had the same files
    mapped, or was forked from this one.
    """
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0])


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def workers_ended(shim: int) -> None:
    """Wait until the workers of a shim have ended, which they do after the answer.

    The shim sees that before any call that is made after this.
    """
    children = Path(f"/proc/{shim}/task/{shim}/children").read_text()
    program = os.readlink(f"/proc/{shim}/exe")
    for pid in map(int, children.split()):
        try:
            is_worker = os.readlink(f"/proc/{pid}/exe") == program
        except FileNotFoundError:
            continue  # it has
        if is_worker:
            waiting.ended(pid)
