# SPDX-License-Identifier: Apache-2.0
"""An engine's daemon in a room, there from its READY=1 (sd_notify(3)) to its end."""

from __future__ import annotations

import os
import select
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.engines.room import Room


class Daemon:
    """The program `argv`, run in `room`; its output is in `log`."""

    def __init__(self, room: Room, *argv: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.room = room
        self._argv = argv
        self._env = env or {}
        self.name = Path(argv[0]).name
        self.log = room.directory / f"{self.name}.log"

    def start(self) -> None:
        """Start it, and wait until it says that it is ready.

        Raises AssertionError, with what it wrote, where it ends instead.
        """
        inside = Path(f"/run/{self.name}.ready")
        self.room.path(inside).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(self.room.path(inside)))
            env = {**self._env, "NOTIFY_SOCKET": str(inside)}
            self.process = self.room.spawn(*self._argv, output=self.log, env=env)
            self._wait(ready)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; its status, which nsenter passes on."""
        self.room.run("kill", f"-{number.name.removeprefix('SIG')}", str(self.pid))
        return self.process.wait(waiting.limit(60))

    @property
    def pid(self) -> int:
        """Its pid in the room: nsenter, whose pid we have, has it as its one child."""
        outside = self.process.pid
        child = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()[0]
        status = Path(f"/proc/{child}/status").read_text()
        return int(status.partition("NSpid:")[2].splitlines()[0].split()[-1])

    def _wait(self, ready: socket.socket) -> None:
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        ended = waiting.pidfd(self.process.pid)
        try:
            poll.register(ended, select.POLLIN)
            while True:
                events = {fd for fd, _ in poll.poll(waiting.limit(60) * 1000)}
                if ready.fileno() not in events:
                    text = self.log.read_text(errors="replace")
                    raise AssertionError(f"{self.name} is not ready\n{text}")
                if b"READY=1" in ready.recv(4096).split(b"\n"):
                    return
        finally:
            os.close(ended)
