# SPDX-License-Identifier: Apache-2.0
"""A process's arguments as others see them (proc_pid_cmdline(5)), which forks change."""

from __future__ import annotations

import os
import sys

#: An argument that makes room for those of a fork.
ROOM = "." * 400


class Title:
    """This process's arguments, in whose place others can be shown."""

    def __init__(self) -> None:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            # arg_start and arg_end: fields 48 and 49, counted from the name's end, field 2
            fields = file.read().rpartition(") ")[2].split()
        self._start, self._end = map(int, fields[45:47])
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        self._program = words[: words.index(os.fsencode(sys.argv[0])) + 1]

    def change(self, *words: str) -> None:
        """Show `words` behind the program's name, cut to the room that there is."""
        size = self._end - self._start
        text = b"\0".join([*self._program, *map(os.fsencode, words)])[: size - 1]
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(memory, text.ljust(size, b"\0"), self._start)
        finally:
            os.close(memory)
