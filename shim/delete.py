# SPDX-License-Identifier: Apache-2.0
"""Delete: an exec process, or the container with all that there is of it. It can be repeated."""

from __future__ import annotations

from shim import exits, ttrpc, works
from shim.lent import Request
from shim.task import exit_values, find
from shim.ttrpc import RpcError
from shim.words import hears
from shim.worker import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.daemon import Daemon
    from shim.protobuf import Values
    from shim.server import Call
    from shim.task import Process, Task

_INIT_DRAIN, _EXEC_DRAIN = 10.0, 2.0  # seconds for the output that is left; containerd's own


def delete(daemon: Daemon, call: Call) -> None:
    """Remove an exec process, or the container, that has ended or was never started."""
    being_made = daemon.tasks.get(call.values["id"])
    if being_made is not None and not being_made.is_made:
        being_made.abandoned = True
        abandon(being_made, call)
        return
    task, process = find(daemon.tasks, call)
    if process.starting or (process.running and process.end is None):
        raise RpcError(ttrpc.FAILED_PRECONDITION, "cannot delete a running process")
    process.deletions.append(call)
    if len(process.deletions) > 1:
        return  # the answer is the same for all
    if process.exec_id:
        task.drain(process, _EXEC_DRAIN, lambda: _delete_exec(task, process))
    elif process.end is not None:
        task.drain(process, _INIT_DRAIN, lambda: _delete_container(task))
    elif process.pid:
        _end_created(task)
    else:
        _delete_container(task)  # to be restored, and was not


def abandon(task: Task, call: Call) -> None:
    """End a Create: its caller was killed, and who came after has no use for the container.

    Where the container is there already, this comes once more, at the end of the Create.
    """
    daemon = task.daemon

    def done(_result: object, error: RpcError | None) -> None:
        if error is not None:
            daemon.warn(f"{task.place.id}: {error.message}")
        if call.values.get("bundle"):  # the Create itself
            del daemon.tasks[task.place.id]
            task.close()
            daemon.settle()
        call.fail(ttrpc.NOT_FOUND, f"container {task.place.id!r}: deleted while it was made")

    daemon.workers.start(lambda _: works.do_delete(task.place), done)


def _delete_exec(task: Task, process: Process) -> None:
    task.execs.pop(process.exec_id, None)
    process.close()
    exits.forget(task.place.bundle, process.exec_id)
    for call in process.waiting:
        call.fail(ttrpc.NOT_FOUND, f"process {process.exec_id}: deleted before it was started")
    for call in process.deletions:
        call.reply(_deleted(process))


def _end_created(task: Task) -> None:
    """A container that was never started: its init is ended, and then it is as any other."""

    def done(_result: object, error: RpcError | None) -> None:
        if error is not None:
            _not_deleted(task, error)
        elif task.init.end is None:
            task.on_end = lambda: _delete_container(task)
        else:
            _delete_container(task)

    task.daemon.workers.start(lambda _: works.do_end(task.place), done)


def _delete_container(task: Task) -> None:
    def done(_result: object, error: RpcError | None) -> None:
        if error is not None:
            _not_deleted(task, error)
            return
        values = _deleted(task.init)
        task.publish("/tasks/delete", **values)
        task.daemon.tasks.pop(task.place.id, None)
        task.close()
        for call in task.init.deletions:
            call.reply(values)
        task.daemon.settle()

    work = bound(works.do_delete, task.place)
    request = Request("delete", task.place.texts, task.daemon.reaper)
    task.daemon.workers.start(work, done, heard=hears(task.init), request=request)


def _not_deleted(task: Task, error: RpcError) -> None:
    """The container is kept, and Delete can be called again."""
    calls, task.init.deletions = task.init.deletions, []
    for call in calls:
        call.fail(error.code, error.message, error.details)


def _deleted(process: Process) -> Values:
    values: Values = {"pid": process.pid}
    if process.end is not None:
        values.update(exit_values(process.end))
    return values
