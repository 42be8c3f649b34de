# SPDX-License-Identifier: Apache-2.0
"""What a shim has to say: lines for containerd's log, through the FIFO `log` in the bundle."""

from __future__ import annotations

import os

from runtime.state import now


class Log:
    """The FIFO, or nothing: a shim that stands alone, or whose master went away, says nothing."""

    def __init__(self, path: str) -> None:
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def warn(self, text: str) -> None:
        """One line, if it can be written at once."""
        if self._fd < 0:
            return
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        line = f'time="{now()}" level=warning msg="{escaped}"\n'
        try:
            os.write(self._fd, line.encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # full, or nobody reads: the container must not wait for its log

    def failure(self, error: BaseException) -> None:
        """An error that nobody expected, with its traceback: nobody reads a daemon's stderr."""
        import traceback

        self.warn("".join(traceback.format_exception(error)))
