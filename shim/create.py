# SPDX-License-Identifier: Apache-2.0
"""Create and Exec: a container, or a further process in it, which waits for Start."""

from __future__ import annotations

import os

from runtime import state
from shim import options, ttrpc, works
from shim.delete import abandon
from shim.lent import Request
from shim.start import start_waiting
from shim.stdio import Paths, Stdio, keep
from shim.task import Process, Task, find_task
from shim.ttrpc import RpcError
from shim.words import hears
from shim.worker import bound, refuse
from shim.works import Place
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.daemon import Daemon
    from shim.protobuf import Values
    from shim.server import Call


def create(daemon: Daemon, call: Call) -> None:
    """Make the container; with a checkpoint all that comes before its processes."""
    asked = call.values
    _check_id(asked["id"])
    if asked["id"] in daemon.tasks:
        raise RpcError(ttrpc.ALREADY_EXISTS, f"container {asked['id']!r}: already exists")
    given = options.load(asked["options"])
    root = os.path.join(given.root, daemon.namespace)
    task = Task(daemon, Place(asked["id"], asked["bundle"], root, daemon.namespace), _paths(asked))
    stdio = task.init.stdio = Stdio(daemon.loop, task.init.paths, (given.io_uid, given.io_gid))
    daemon.tasks[asked["id"]] = task
    if asked["checkpoint"]:
        task.images = works.Images(asked["checkpoint"], given)
        work = bound(works.do_prepare, task.place, asked["rootfs"])
    else:
        work = bound(works.do_create, task.place, asked["rootfs"], given, stdio)

    def done(result: object, error: RpcError | None) -> None:
        if task.images is None:
            stdio.started()
        if error is not None:
            del daemon.tasks[task.place.id]
            task.close()
            refuse(call, "create", error)
            start_waiting(task)
            daemon.settle()
            return
        assert isinstance(result, int)  # noqa: S101 - for the type checker
        if task.abandoned:
            start_waiting(task)
            abandon(task, call)
            return
        _created(task, result, call)

    request = None
    if task.images is None and stdio.logger is None and not given.systemd:
        streams = (stdio.log_uris, stdio.is_terminal)
        arguments = (task.place.texts, asked["rootfs"], asked["options"], *streams)
        request = Request("create", arguments, daemon.reaper, stdio.child)
    daemon.workers.start(work, done, keep=keep(stdio), heard=hears(task.init), request=request)


def _created(task: Task, pid: int, call: Call) -> None:
    task.is_made = True
    asked, paths = call.values, task.init.paths
    task.publish(
        "/tasks/create",
        bundle=asked["bundle"],
        rootfs=asked["rootfs"],
        io={
            "stdin": paths.stdin,
            "stdout": paths.stdout,
            "stderr": paths.stderr,
            "terminal": paths.terminal,
        },
        checkpoint=asked["checkpoint"],
        pid=pid,
    )
    call.reply({"pid": pid})  # what follows is done while the master goes on
    if pid:
        task.created(pid)
        task.expect(task.init)
    start_waiting(task)


def add_exec(daemon: Daemon, call: Call) -> None:
    """Take a process to be started in the container."""
    task, asked = find_task(daemon.tasks, call), call.values
    exec_id = asked["exec_id"]
    _check_id(exec_id)
    if exec_id in task.execs:
        raise RpcError(ttrpc.ALREADY_EXISTS, f"process {exec_id!r}: already exists")
    process = Process(task, exec_id, _paths(asked))
    process.spec = (asked["spec"] or {}).get("value", b"")
    task.execs[exec_id] = process
    task.publish("/tasks/exec-added", exec_id=exec_id)
    call.reply()


def _check_id(text: str) -> None:
    try:
        state.check_id(text)
    except OrlopError as error:
        raise RpcError(ttrpc.INVALID_ARGUMENT, str(error)) from error


def _paths(asked: Values) -> Paths:
    return Paths(asked["stdin"], asked["stdout"], asked["stderr"], terminal=asked["terminal"])
