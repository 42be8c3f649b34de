# SPDX-License-Identifier: Apache-2.0
"""What orlopd has to say, on stderr: a line for each thing, with its facts by name.

Facts are ids, paths, numbers and errors: never parameters of a request, for they may hold the
values of environment variables. Whoever reads stderr slowly makes nobody wait: what doesn't fit is
left out, and counted.
"""

from __future__ import annotations

import json
import os
import select
import traceback

from runtime.state import now
from supervisor.settings import LEVELS

_LINE = 4096  # PIPE_BUF: a pipe that is writable takes that many at once (pipe(7))


class Journal:
    """Lines of a level and above. form: auto, text or json; fd: where they go."""

    def __init__(self, level: str = "info", form: str = "auto", fd: int = 2) -> None:
        self._least = LEVELS.index(level)
        self._is_text = form == "text" or (form == "auto" and os.isatty(fd))
        self._fd = fd
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        self._dropped = 0

    def debug(self, what: str, **facts: object) -> None:
        """What somebody wants to know who looks for a fault."""
        self._say("debug", what, facts)

    def info(self, what: str, **facts: object) -> None:
        """What happened, as it should."""
        self._say("info", what, facts)

    def warning(self, what: str, **facts: object) -> None:
        """What should not have happened, and could be dealt with."""
        self._say("warning", what, facts)

    def error(self, what: str, cause: BaseException | None = None, **facts: object) -> None:
        """What could not be done. cause: an error that nobody expected, with its places."""
        if cause is not None:
            facts["error"] = f"{type(cause).__name__}: {cause}"
            frames = traceback.extract_tb(cause.__traceback__)
            facts["places"] = [
                f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in frames
            ]
        self._say("error", what, facts)

    def _say(self, level: str, what: str, facts: dict[str, object]) -> None:
        if LEVELS.index(level) < self._least:
            return
        if self._dropped and self._write(
            self._line("warning", "nobody read stderr", {"lost": self._dropped})
        ):
            self._dropped = 0
        if not self._write(self._line(level, what, facts)):
            self._dropped += 1

    def _line(self, level: str, what: str, facts: dict[str, object]) -> str:
        if self._is_text:
            shown = "".join(f" {name}={_word(value)}" for name, value in facts.items())
            return f"{now()} {level} {what}{shown}"
        return json.dumps({"time": now(), "level": level, "message": what, **facts}, default=str)

    def _write(self, line: str) -> bool:
        """Whether it could be written at once. A line too long for that is shortened."""
        data = line.encode("utf-8", "backslashreplace")
        if len(data) >= _LINE and not self._is_text:
            data = json.dumps({"time": now(), "level": "warning", "message": "a line was too long",
                               "begins": line[: _LINE // 4]}).encode()  # fmt: skip
        try:
            if not self._room.poll(0):
                return False
            os.write(self._fd, data[: _LINE - 1] + b"\n")
        except OSError:
            return False  # nobody reads any more
        return True


def _word(value: object) -> str:
    """A value for people: quoted where it could be taken for more than one."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
