# SPDX-License-Identifier: Apache-2.0
"""`orlop planner` as orlopd's child: kept running, while orlopd runs.

Another one that has the socket (systemd's, say) is left alone; ours is tried again, later
and later.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import prctl

if TYPE_CHECKING:
    from supervisor.backoff import Backoff
    from supervisor.journal import Journal

_ALONE = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET")  # these are orlopd's
_SAID = 4096  # bytes of what it says at its end


class Planner:
    """The child, and what becomes of it.

    program: `orlop`, of our own installation; address: its socket, "" for the usual one.
    """

    def __init__(self, program: str, address: str, journal: Journal, backoff: Backoff) -> None:
        self._words = [program, "planner", *(["--socket", address] if address else [])]
        self._journal = journal
        self._backoff = backoff
        self.pid = 0  # while it serves
        self.starts = 0

    async def run(self) -> None:
        """Keep it running until cancelled; then end it."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                await self._once()
            except OSError as error:
                self._journal.error("the planner can't be started", error)
            failures = 0 if self._backoff.is_good(loop.time() - began) else failures + 1
            await asyncio.sleep(self._backoff.delay(failures))

    async def _once(self) -> None:
        """One life of it. Raises OSError."""
        environment = {name: value for name, value in os.environ.items() if name not in _ALONE}
        process = await asyncio.create_subprocess_exec(
            *self._words, env=environment, preexec_fn=_with_parent,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.starts += 1
        try:
            await asyncio.gather(self._hear_ready(process), self._hear_end(process))
        finally:
            self.pid = 0
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.shield(process.wait())

    async def _hear_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        if await process.stdout.readline() == b"ready\n":
            self.pid = process.pid
            self._journal.info("the planner serves", planner=process.pid)

    async def _hear_end(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 - for the type checker
        said = b""
        while data := await process.stderr.read(_SAID):
            said = (said + data)[-_SAID:]
        self._journal.warning("the planner ended", status=await process.wait(),
                              said=said.decode(errors="replace").strip())  # fmt: skip


def _with_parent() -> None:
    """In the child: it ends with orlopd, also with one that is killed, and so frees its socket."""
    prctl.set_pdeathsig(signal.SIGTERM)
