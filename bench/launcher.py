# SPDX-License-Identifier: Apache-2.0
"""A small process that starts the commands and looks at the clock.

It is forked before anything else, so that starting a command costs the same from first to last,
and it may live in a mount namespace of its own: crun refuses a host with controllers on both
versions of cgroups, and works where the unified tree is not mounted.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class Launcher:
    """Starts commands one after the other, or many at once; `close` ends it.

    directory: for their output. prepare: called in the new process before it serves.
    """

    def __init__(self, directory: Path, prepare: Callable[[], None] = lambda: None) -> None:
        self._output = directory / f"output-{os.getpid()}-{id(self)}"
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            with contextlib.suppress(KeyboardInterrupt):
                ours.close()
                prepare()
                _serve(theirs, self._output)
            os._exit(0)
        theirs.close()
        self._socket, self._file = ours, ours.makefile("rwb")

    def time(self, *commands: Sequence[str], env: Mapping[str, str] | None = None) -> float:
        """Run the commands, all at once, to their ends: milliseconds until the last.

        Raises RuntimeError, with their output, where one fails.
        """
        answer = self._ask([list(c) for c in commands], dict(env or {}))
        if any(answer["statuses"]):
            failed = commands[[bool(s) for s in answer["statuses"]].index(True)]
            text = self._output.read_text(errors="replace")[-400:]
            raise RuntimeError(f"{' '.join(failed)}: status {max(answer['statuses'])}\n{text}")
        return float(answer["seconds"]) * 1000

    def text(self) -> str:
        """What the last commands wrote."""
        return self._output.read_text(errors="replace")

    def _ask(self, commands: list[list[str]], env: dict[str, str]) -> dict[str, Any]:
        self._file.write(json.dumps([commands, env]).encode() + b"\n")
        self._file.flush()
        line = self._file.readline()
        if not line:
            raise RuntimeError("the launcher has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        # Launchers that were forked later have our end, too: closing it would not be its end.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()
        os.waitpid(self._pid, 0)
        self._output.unlink(missing_ok=True)


def _serve(connection: socket.socket, output: Path) -> None:
    file = connection.makefile("rwb")
    nothing = os.memfd_create("stdin")  # not /dev/null: crun gives that to the container's user
    for line in file:
        commands, env = json.loads(line)
        out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        actions = [
            (os.POSIX_SPAWN_DUP2, nothing, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, out, 2),
        ]
        environment = {**_ENVIRONMENT, **env}
        begin = time.perf_counter()
        pids = [os.posix_spawn(c[0], c, environment, file_actions=actions) for c in commands]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        seconds = time.perf_counter() - begin
        os.close(out)
        file.write(json.dumps({"seconds": seconds, "statuses": statuses}).encode() + b"\n")
        file.flush()
