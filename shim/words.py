# SPDX-License-Identifier: Apache-2.0
"""What workers tell of a process while they are at work, and what that leads to."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.task import Process
    from shim.worker import Heard

CONSOLE, KNOWN, RUNNING, WARNING = "console", "known", "running", "warning"


def hears(process: Process) -> Heard:
    """What to do with a worker's words about a process."""
    task = process.task

    def heard(word: str, fd: int) -> None:
        if word == CONSOLE and process.stdio is not None:
            try:
                process.stdio.attach(fd)
            except OSError as error:  # -1: no descriptor was left to take it
                why = error.strerror if fd >= 0 else "no descriptor is left"
                task.daemon.warn(f"{task.place.id}: its terminal is lost: {why}")
        elif word == RUNNING:
            runs(process)
        elif word.startswith(WARNING):
            task.daemon.warn(f"{task.place.id}: {word.removeprefix(WARNING).strip()}")

    return heard


def runs(process: Process) -> None:
    """Its program is being executed: told, and after that perhaps its exit."""
    process.running = True
    if process.exec_id:
        process.task.publish("/tasks/exec-started", exec_id=process.exec_id, pid=process.pid)
    else:
        process.task.publish("/tasks/start", pid=process.pid)
    process.settle()
