# SPDX-License-Identifier: Apache-2.0
"""containerd's Task service, versions 2 and 3: every method, each a thin call.

What may block is a worker's; the rest answers at once.
"""

from __future__ import annotations

import _signal
import os

from runtime import kill as runtime_kill
from runtime.errors import NotRunning
from shim import messages, metrics, options, ttrpc, works
from shim.create import add_exec, create
from shim.delete import delete
from shim.start import start
from shim.task import find, find_task
from shim.ttrpc import RpcError
from shim.words import hears
from shim.worker import bound, failure
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.daemon import Daemon
    from shim.protobuf import Values
    from shim.server import Call, Methods
    from shim.worker import Work

    Serve = Callable[[Daemon, Call], None]

NAMES = ("containerd.task.v2.Task", "containerd.task.v3.Task")


def methods(daemon: Daemon) -> Methods:
    """The service's table."""
    process, empty = messages.PROCESS_ID, messages.EMPTY
    table = {
        "State": (process, messages.STATE, state),
        "Create": (messages.CREATE, messages.PID, create),
        "Start": (process, messages.PID, start),
        "Delete": (process, messages.DELETED, delete),
        "Pids": (process, messages.PIDS, pids),
        "Pause": (process, empty, pause),
        "Resume": (process, empty, resume),
        "Checkpoint": (messages.CHECKPOINT, empty, checkpoint),
        "Kill": (messages.KILL, empty, kill),
        "Exec": (messages.EXEC, empty, add_exec),
        "ResizePty": (messages.RESIZE, empty, resize_pty),
        "CloseIO": (messages.CLOSE_IO, empty, close_io),
        "Update": (messages.UPDATE, empty, update),
        "Wait": (process, messages.EXITED, wait),
        "Stats": (process, messages.STATS, stats),
        "Connect": (process, messages.CONNECTED, connect),
        "Shutdown": (messages.SHUTDOWN, empty, shutdown),
    }
    return {name: (*tables, guarded(daemon, serve)) for name, (*tables, serve) in table.items()}  # type: ignore[misc]


def guarded(daemon: Daemon, serve: Serve) -> Callable[[Call], None]:
    """A method whose errors become answers."""

    def guarded(call: Call) -> None:
        try:
            serve(daemon, call)
        except NotRunning as error:
            call.fail(ttrpc.NOT_FOUND, str(error))  # what a kill that came too late is told
        except (RpcError, OrlopError, OSError, ValueError) as error:
            call.fail(*failure(error))

    return guarded


def state(daemon: Daemon, call: Call) -> None:
    """The process's status, stdio and exit."""
    task, process = find(daemon.tasks, call)
    call.reply(task.state(process))


def wait(daemon: Daemon, call: Call) -> None:
    """Answer when the process has ended."""
    _, process = find(daemon.tasks, call)
    process.answer(call)


def pids(daemon: Daemon, call: Call) -> None:
    """All processes of the container; those of Exec with their ids."""
    task = find_task(daemon.tasks, call)
    found = [task.init.pid] if task.init.is_alive else []
    if task.cgroup is not None:
        found = task.cgroup.pids()
    names = {process.pid: process.exec_id for process in task.execs.values()}
    processes: list[Values] = [{"pid": pid} for pid in found]
    for process in processes:
        if process["pid"] in names:
            details = messages.PROCESS_DETAILS.encode({"exec_id": names[process["pid"]]})
            url = "containerd.runc.v1.ProcessDetails"
            process["info"] = {"type_url": url, "value": details}
    call.reply({"processes": processes})


def stats(daemon: Daemon, call: Call) -> None:
    """The usage of the container's cgroup."""
    task = find_task(daemon.tasks, call)
    if task.cgroup is None or not task.cgroup.exists():
        raise RpcError(ttrpc.NOT_FOUND, "cgroup does not exist")
    call.reply({"stats": metrics.encode(task.cgroup.mode, task.cgroup.stats())})


def connect(daemon: Daemon, call: Call) -> None:
    """The shim's own pid, and the init's, 0 where there is none.

    A containerd that is back asks for it first, of a container that is being made too: an error
    would make it leave us to ourselves.
    """
    task = daemon.tasks.get(call.values["id"])
    pid = task.init.pid if task is not None else 0
    call.reply({"shim_pid": os.getpid(), "task_pid": pid})


def kill(daemon: Daemon, call: Call) -> None:
    """Send a signal to a process."""
    task, process = find(daemon.tasks, call)
    signal, place = call.values["signal"], task.place
    if not process.is_alive or process.withheld is not None:
        raise RpcError(ttrpc.NOT_FOUND, "process already finished")
    if signal == _signal.SIGKILL:
        process.is_unwanted = True
    if process.exec_id:
        os.kill(process.pid, signal)  # our child, not reaped yet: the pid is its own
        call.reply()
    elif signal == _signal.SIGKILL and task.shares_pids:
        everything = call.values["all"]
        _change(daemon, call, lambda _: works.do_kill(place, signal, all_processes=everything))
    else:
        runtime_kill.kill(place.root, place.id, signal)
        call.reply()


def pause(daemon: Daemon, call: Call) -> None:
    """Freeze the container."""
    task = find_task(daemon.tasks, call)
    _change(daemon, call, lambda _: works.do_pause(task.place), "/tasks/paused")


def resume(daemon: Daemon, call: Call) -> None:
    """Let it go on."""
    task = find_task(daemon.tasks, call)
    _change(daemon, call, lambda _: works.do_resume(task.place), "/tasks/resumed")


def update(daemon: Daemon, call: Call) -> None:
    """Change the container's limits: JSON of the standard's LinuxResources."""
    task, text = find_task(daemon.tasks, call), (call.values["resources"] or {}).get("value", b"")
    _change(daemon, call, lambda _: works.do_update(task.place, text))


def _change(
    daemon: Daemon, call: Call, work: Work, topic: str = "", event: Values | None = None
) -> None:
    task = find_task(daemon.tasks, call)

    def done(_result: object, error: RpcError | None) -> None:
        if error is not None:
            call.fail(error.code, error.message, error.details)
            return
        if topic:
            task.publish(topic, **(event or {}))
        call.reply()

    daemon.workers.start(work, done, heard=hears(task.init))


def checkpoint(daemon: Daemon, call: Call) -> None:
    """Write the container's processes to images, and end them where that was asked for."""
    task, path = find_task(daemon.tasks, call), call.values["path"]
    given = options.load_checkpoint(call.values["options"])
    event = {"checkpoint": path}
    _change(
        daemon,
        call,
        bound(works.do_checkpoint, task.place, path, given),
        "/tasks/checkpointed",
        event,
    )


def resize_pty(daemon: Daemon, call: Call) -> None:
    """Change the size of a process's terminal."""
    _, process = find(daemon.tasks, call)
    if process.stdio is None:
        raise RpcError(ttrpc.FAILED_PRECONDITION, "the process is not started")
    process.stdio.resize(call.values["width"], call.values["height"])
    call.reply()


def close_io(daemon: Daemon, call: Call) -> None:
    """The master writes no more to stdin."""
    _, process = find(daemon.tasks, call)
    if call.values["stdin"] and process.stdio is not None:
        process.stdio.close_stdin()
    call.reply()


def shutdown(daemon: Daemon, call: Call) -> None:
    """End the shim, unless it has containers yet."""
    call.reply()
    if not daemon.tasks:
        daemon.shutdown()
