# SPDX-License-Identifier: Apache-2.0
"""Start: the program of the container, an exec process, or what a checkpoint's images hold."""

from __future__ import annotations

import _signal
import os
import time

from runtime.start import begin
from shim import ttrpc, works
from shim.exits import Exit
from shim.lent import Request
from shim.loop import READ
from shim.stdio import Stdio, keep
from shim.task import find
from shim.ttrpc import RpcError
from shim.words import KNOWN, RUNNING, hears, runs
from shim.worker import bound, failure, refuse
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.start import Starting
    from shim.daemon import Daemon
    from shim.server import Call
    from shim.task import Process, Task
    from shim.worker import Done, Heard

_SOON = 0.02  # seconds in which a short program is over
_NEVER_RAN = 255  # the exit status of runc exec that failed


def start(daemon: Daemon, call: Call) -> None:
    """Start a process that was created or added; a container that is being made, once it is."""
    being_made = daemon.tasks.get(call.values["id"])
    if being_made is not None and being_made.is_being_made and not call.values["exec_id"]:
        being_made.starts.append(call)
        return
    task, process = find(daemon.tasks, call)
    if process.running or process.starting or process.end is not None:
        what = "process" if process.exec_id else "container"
        state = "stopped" if process.end is not None else "already running"
        raise RpcError(ttrpc.FAILED_PRECONDITION, f"cannot start an {state} {what}")
    if process.exec_id:
        _start_exec(task, process, call)
    elif task.images is not None:
        _restore(task, task.images, call)
    else:
        _start_init(task, call)


def start_waiting(task: Task) -> None:
    """Serve the calls that came while the container was being made, whatever became of that."""
    calls, task.starts = task.starts, []
    for call in calls:
        try:
            start(task.daemon, call)
        except RpcError as error:
            call.fail(error.code, error.message, error.details)


def _start_init(task: Task, call: Call) -> None:
    process, daemon = task.init, task.daemon
    process.starting = True

    def done(_result: object, error: RpcError | None) -> None:
        if error is not None:
            # Where the program could not be executed, the init has ended, and is to be seen so
            # by who is told: Docker removes what has ended, and leaves what is "created".
            daemon.reaper.collect()
            process.settle()
            refuse(call, "start", error)
        else:
            call.reply({"pid": process.pid})
            daemon.loop.later(_SOON, daemon.make_way)

    heard = hears(process)
    try:
        starting = begin(task.place.root, task.place.id, patient=False)
    except BlockingIOError:  # a verb of somebody else's is at work
        daemon.workers.start(bound(works.do_start, task.place), done, heard=heard)
    except (OrlopError, OSError) as error:
        done(None, RpcError(*failure(error)))
    else:
        _await(daemon, starting, done, heard)


def _await(daemon: Daemon, starting: Starting, done: Done, heard: Heard) -> None:
    """Go on once the init has executed the program, or can't."""
    loop, number = daemon.loop, starting.fileno()

    def answered(_events: int) -> None:
        loop.forget(number)
        if starting.is_over:
            starting.finish(lambda: heard(RUNNING, -1))
            done(None, None)
            return
        work = bound(works.do_finish_start, starting)
        daemon.workers.start(work, done, keep=starting.descriptors, heard=heard)
        starting.close()

    loop.watch(number, READ, answered)


def _restore(task: Task, images: works.Images, call: Call) -> None:
    """Have criu make the processes of the images; they run when it is done.

    One that failed left nothing of the container but its mounts, and can be tried again.
    """
    process, stdio = task.init, task.init.stdio
    assert stdio is not None  # noqa: S101 - for the type checker: Create opened it
    process.starting = True

    def done(result: object, error: RpcError | None) -> None:
        if error is not None:
            process.starting = False
            refuse(call, "restore", error)
            return
        assert isinstance(result, int)  # noqa: S101 - for the type checker
        stdio.started()
        task.images = None
        task.created(result)
        call.reply({"pid": result})
        runs(process)
        task.expect(process)

    work = bound(works.do_restore, task.place, images, stdio)
    task.daemon.workers.start(work, done, keep=keep(stdio), heard=hears(process))


def _start_exec(task: Task, process: Process, call: Call) -> None:
    if not task.init.is_alive or task.init.withheld is not None:
        raise RpcError(ttrpc.FAILED_PRECONDITION, "cannot exec in a stopped container")
    stdio = process.stdio = Stdio(task.daemon.loop, process.paths)
    try:
        for attached in process.attached:
            stdio.connect(attached)
    except RpcError:
        process.close()
        process.stdio = None
        raise
    finally:
        process.attached = []
    process.starting = True
    known: list[int] = []

    def heard(word: str, fd: int) -> None:
        if word == KNOWN:
            known.append(fd)
        else:
            others_heard(word, fd)

    def done(result: object, error: RpcError | None) -> None:
        stdio.started()
        for pidfd in known:
            if error is not None:
                _end(pidfd)
            os.close(pidfd)
        if error is not None:
            stdio.close()
            process.stdio = None
            process.never_ran(Exit(_NEVER_RAN, time.time_ns()))
            refuse(call, "exec", error)
            return
        assert isinstance(result, int)  # noqa: S101 - for the type checker
        process.pid, process.spec = result, b""
        call.reply({"pid": result})
        runs(process)
        task.expect(process)

    others_heard = hears(process)
    work = bound(works.do_exec, task.place, process.spec, stdio)
    request = _request(process, stdio)
    task.daemon.workers.start(work, done, keep=keep(stdio), heard=heard, request=request)


def _request(process: Process, stdio: Stdio) -> Request | None:
    """The work for a worker that is borrowed; None: a logger is to be a child of its own."""
    if stdio.logger is not None:
        return None
    task = process.task
    arguments = (task.place.texts, process.spec, stdio.log_uris, stdio.is_terminal)
    return Request("exec", arguments, task.daemon.reaper, stdio.child)


def _end(pidfd: int) -> None:
    """End a process of an exec that failed: its worker was killed, and could not."""
    try:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has, as after every other failure
