# SPDX-License-Identifier: Apache-2.0
"""A process's output for several: the sink that it began with, and whoever attached since.

Each gets everything from when it came. The process waits for the slowest of them; one that has gone
is dropped, and stops nobody.
"""

from __future__ import annotations

import os

from shim.copy import FdSink
from shim.loop import WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.log_file import FileSink
    from shim.loop import Loop


class Tee:
    """A sink of shim.copy that is many. main: None where nobody keeps the output.

    What main has not taken when somebody comes is theirs, too.
    """

    chunk = FdSink.chunk

    def __init__(self, loop: Loop, main: FdSink | FileSink | None) -> None:
        self._loop = loop
        self._main = main
        self._rest = b""  # that main has not taken yet
        self._branches: list[_Branch] = []
        self._act: Callable[[], None] | None = None
        self._is_taken = False

    def add(self, fd: int) -> None:
        """Write to this descriptor, too; owned from now on."""
        branch = _Branch(self._loop, fd, self)
        self._branches.append(branch)
        if self._rest:
            branch.give(self._rest)

    def write(self, data: bytes) -> int:
        """All of it once everybody has it, nothing before: the same data is then given again."""
        if self._is_taken:
            self._is_taken = False
            return len(data)
        self._rest = data if self._main is not None else b""
        self._push()
        for branch in list(self._branches):
            branch.give(data)
        return 0 if self._is_behind() else len(data)

    def _push(self) -> None:
        if self._main is None:
            return
        try:
            self._rest = self._rest[self._main.write(self._rest) :]
        except OSError:
            self._main.close()
            self._main, self._rest = None, b""

    def _is_behind(self) -> bool:
        return bool(self._rest) or any(branch.rest for branch in self._branches)

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call `act`, once, when everybody has what was given last."""
        self._act = act
        if self._rest:
            self._wait_for_main()

    def _wait_for_main(self) -> None:
        if self._main is not None:
            self._main.when_ready(self._main_ready)

    def _main_ready(self) -> None:
        self._push()
        if self._rest:
            self._wait_for_main()
        else:
            self.settle()

    def drop(self, branch: _Branch) -> None:
        """One of them has gone."""
        branch.close()
        self._branches.remove(branch)

    def settle(self) -> None:
        """Look whether everybody has everything."""
        if self._act is not None and not self._is_behind():
            act, self._act = self._act, None
            self._is_taken = True
            act()

    def close(self) -> None:
        """End it for all."""
        if self._main is not None:
            self._main.close()
            self._main = None
        for branch in self._branches:
            branch.close()
        self._branches = []
        self._act = None


class _Branch:
    """One who attached. rest: what it has not taken yet."""

    def __init__(self, loop: Loop, fd: int, tee: Tee) -> None:
        self._loop = loop
        self._fd = fd
        self._tee = tee
        self.rest = b""
        self._watch(0)  # a reader that goes away is told even so (epoll_ctl(2), EPOLLERR)

    def _watch(self, events: int) -> None:
        try:
            self._loop.watch(self._fd, events, self._on_event)
        except PermissionError:
            pass  # a regular file, which takes everything at once

    def give(self, data: bytes) -> None:
        """Write what can be written now, and the rest as it can."""
        self.rest = data
        try:
            while self.rest:
                self.rest = self.rest[os.write(self._fd, self.rest) :]
        except BlockingIOError:
            self._watch(WRITE)
            return
        except OSError:
            self._tee.drop(self)
            return
        self._watch(0)

    def _on_event(self, _events: int) -> None:
        if self.rest:
            self.give(self.rest)
        else:
            self._tee.drop(self)
        self._tee.settle()

    def close(self) -> None:
        """Close it; its reader sees the end."""
        self._loop.forget(self._fd)
        os.close(self._fd)
        self.rest = b""
