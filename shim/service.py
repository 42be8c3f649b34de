# SPDX-License-Identifier: Apache-2.0
"""containerd's Task service, versions 2 and 3: every method, each a thin call.

What may block is a worker's; the rest answers at once.
"""

from __future__ import annotations

import _signal
import os
import time

from runtime import kill, state
from runtime.errors import NotRunning
from runtime.start import begin
from shim import exits, messages, metrics, options, ttrpc, works
from shim.exits import Exit
from shim.loop import READ
from shim.stdio import Paths, Stdio, keep
from shim.task import Process, Task, exit_values, find, find_task
from shim.ttrpc import RpcError
from shim.worker import failure
from shim.works import Place
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.start import Starting
    from shim.daemon import Daemon
    from shim.protobuf import Values
    from shim.server import Call, Methods
    from shim.worker import Channel, Done, Heard

NAMES = ("containerd.task.v2.Task", "containerd.task.v3.Task")
_NEVER_RAN = 255  # the exit status of runc exec that failed
_INIT_DRAIN, _EXEC_DRAIN = 10.0, 2.0  # seconds for the output that is left; containerd's own


class TaskService:
    """The methods, by what they are called with."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._tasks = daemon.tasks

    def methods(self) -> Methods:
        """The service's table."""
        process, empty = messages.PROCESS_ID, messages.EMPTY
        table = {
            "State": (process, messages.STATE, self.state),
            "Create": (messages.CREATE, messages.PID, self.create),
            "Start": (process, messages.PID, self.start),
            "Delete": (process, messages.DELETED, self.delete),
            "Pids": (process, messages.PIDS, self.pids),
            "Pause": (process, empty, self.pause),
            "Resume": (process, empty, self.resume),
            "Checkpoint": (messages.CHECKPOINT, empty, self.checkpoint),
            "Kill": (messages.KILL, empty, self.kill),
            "Exec": (messages.EXEC, empty, self.add_exec),
            "ResizePty": (messages.RESIZE, empty, self.resize_pty),
            "CloseIO": (messages.CLOSE_IO, empty, self.close_io),
            "Update": (messages.UPDATE, empty, self.update),
            "Wait": (process, messages.EXITED, self.wait),
            "Stats": (process, messages.STATS, self.stats),
            "Connect": (process, messages.CONNECTED, self.connect),
            "Shutdown": (messages.SHUTDOWN, empty, self.shutdown),
        }
        return {name: (*tables, guarded(serve)) for name, (*tables, serve) in table.items()}  # type: ignore[misc]

    def _task(self, call: Call) -> Task:
        """The task that is called. Raises RpcError."""
        return find_task(self._tasks, call)

    def _process(self, call: Call) -> tuple[Task, Process]:
        return find(self._tasks, call)

    # -- create, start, exec

    def create(self, call: Call) -> None:
        """Make the container; its process waits for Start."""
        asked = call.values
        _check_id(asked["id"])
        if asked["id"] in self._tasks:
            raise RpcError(ttrpc.ALREADY_EXISTS, f"container {asked['id']!r}: already exists")
        if asked["checkpoint"]:
            raise RpcError(ttrpc.UNIMPLEMENTED, "create from a checkpoint")
        given = options.load(asked["options"])
        root = os.path.join(given.root, self._daemon.namespace)
        place = Place(asked["id"], asked["bundle"], root, self._daemon.namespace)
        task = Task(self._daemon, place, _paths(asked))
        stdio = task.init.stdio = Stdio(
            self._daemon.loop, task.init.paths, (given.io_uid, given.io_gid)
        )
        self._tasks[place.id] = task

        def done(result: object, error: RpcError | None) -> None:
            stdio.started()
            if error is not None:
                del self._tasks[place.id]
                task.close()
                _fail(call, "create", error)
                self._daemon.settle()
                return
            assert isinstance(result, int)  # noqa: S101 - for the type checker
            if task.abandoned:
                self._abandon(task, call)
                return
            self._created(task, result, call)

        work = _bound(works.do_create, place, asked["rootfs"], given, stdio)
        heard = self._hears(task, task.init)
        self._daemon.workers.start(work, done, keep=keep(stdio), heard=heard)

    def _created(self, task: Task, pid: int, call: Call) -> None:
        task.created(pid)
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
        call.reply({"pid": pid})
        task.expect(task.init)

    def _hears(self, task: Task, process: Process) -> Callable[[str, int], None]:
        """What to do with a worker's words about a process."""

        def heard(word: str, fd: int) -> None:
            if word == works.CONSOLE and process.stdio is not None:
                process.stdio.attach(fd)
            elif word == works.RUNNING:
                self._runs(task, process)
            elif word.startswith(works.WARNING):
                self._daemon.warn(f"{task.place.id}: {word.removeprefix(works.WARNING).strip()}")

        return heard

    def _runs(self, task: Task, process: Process) -> None:
        process.running = True
        if process.exec_id:
            task.publish("/tasks/exec-started", exec_id=process.exec_id, pid=process.pid)
        else:
            task.publish("/tasks/start", pid=process.pid)
        process.settle()

    def start(self, call: Call) -> None:
        """Start the program of the container, or an exec process."""
        task, process = self._process(call)
        if process.running or process.starting or process.end is not None:
            what = "process" if process.exec_id else "container"
            state = "stopped" if process.end is not None else "already running"
            raise RpcError(ttrpc.FAILED_PRECONDITION, f"cannot start an {state} {what}")
        if process.exec_id:
            self._start_exec(task, process, call)
            return
        process.starting = True

        def done(_result: object, error: RpcError | None) -> None:
            if error is not None:
                # Where the program could not be executed, the init has ended, and is to be seen so
                # by who is told: Docker removes what has ended, and leaves what is "created".
                self._daemon.reaper.collect()
                process.settle()
                _fail(call, "start", error)
            else:
                call.reply({"pid": process.pid})

        heard = self._hears(task, process)
        try:
            starting = begin(task.place.root, task.place.id, patient=False)
        except BlockingIOError:  # a verb of somebody else's is at work
            self._daemon.workers.start(_bound(works.do_start, task.place), done, heard=heard)
        except (OrlopError, OSError) as error:
            done(None, RpcError(*failure(error)))
        else:
            self._await_start(starting, done, heard)

    def _await_start(self, starting: Starting, done: Done, heard: Heard) -> None:
        """Go on once the init has executed the program, or can't."""
        loop, number = self._daemon.loop, starting.fileno()

        def answered(_events: int) -> None:
            loop.forget(number)
            if starting.is_over:
                starting.finish(lambda: heard(works.RUNNING, -1))
                done(None, None)
                return
            work = _bound(works.do_finish_start, starting)
            self._daemon.workers.start(work, done, keep=starting.descriptors, heard=heard)
            starting.close()

        loop.watch(number, READ, answered)

    def _start_exec(self, task: Task, process: Process, call: Call) -> None:
        if not task.init.is_alive or task.init.withheld is not None:
            raise RpcError(ttrpc.FAILED_PRECONDITION, "cannot exec in a stopped container")
        stdio = process.stdio = Stdio(self._daemon.loop, process.paths)
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

        def done(result: object, error: RpcError | None) -> None:
            stdio.started()
            if error is not None:
                stdio.close()
                process.stdio = None
                process.never_ran(Exit(_NEVER_RAN, time.time_ns()))
                _fail(call, "exec", error)
                return
            assert isinstance(result, int)  # noqa: S101 - for the type checker
            process.pid, process.spec = result, b""
            call.reply({"pid": result})
            self._runs(task, process)
            task.expect(process)

        work = _bound(works.do_exec, task.place, process.spec, stdio)
        heard = self._hears(task, process)
        self._daemon.workers.start(work, done, keep=keep(stdio), heard=heard)

    def add_exec(self, call: Call) -> None:
        """Take a process to be started in the container."""
        task, asked = self._task(call), call.values
        exec_id = asked["exec_id"]
        _check_id(exec_id)
        if exec_id in task.execs:
            raise RpcError(ttrpc.ALREADY_EXISTS, f"process {exec_id!r}: already exists")
        process = Process(task, exec_id, _paths(asked))
        process.spec = (asked["spec"] or {}).get("value", b"")
        task.execs[exec_id] = process
        task.publish("/tasks/exec-added", exec_id=exec_id)
        call.reply()

    # -- questions

    def state(self, call: Call) -> None:
        """The process's status, stdio and exit."""
        task, process = self._process(call)
        call.reply(task.state(process))

    def wait(self, call: Call) -> None:
        """Answer when the process has ended."""
        _, process = self._process(call)
        process.answer(call)

    def pids(self, call: Call) -> None:
        """All processes of the container; those of Exec with their ids."""
        task = self._task(call)
        found = task.cgroup.pids() if task.cgroup is not None else [task.init.pid]
        names = {process.pid: process.exec_id for process in task.execs.values()}
        processes: list[Values] = [{"pid": pid} for pid in found]
        for process in processes:
            if process["pid"] in names:
                details = messages.PROCESS_DETAILS.encode({"exec_id": names[process["pid"]]})
                url = "containerd.runc.v1.ProcessDetails"
                process["info"] = {"type_url": url, "value": details}
        call.reply({"processes": processes})

    def stats(self, call: Call) -> None:
        """The usage of the container's cgroup."""
        task = self._task(call)
        if task.cgroup is None or not task.cgroup.exists():
            raise RpcError(ttrpc.NOT_FOUND, "cgroup does not exist")
        call.reply({"stats": metrics.encode(task.cgroup.mode, task.cgroup.stats())})

    def connect(self, call: Call) -> None:
        """The shim's own pid, and the init's, 0 where there is none.

        A containerd that is back asks for it first, of a container that is being made too: an error
        would make it leave us to ourselves.
        """
        task = self._tasks.get(call.values["id"])
        pid = task.init.pid if task is not None else 0
        call.reply({"shim_pid": os.getpid(), "task_pid": pid})

    # -- changes

    def kill(self, call: Call) -> None:
        """Send a signal to a process."""
        task, process = self._process(call)
        signal, place = call.values["signal"], task.place
        if not process.is_alive or process.withheld is not None:
            raise RpcError(ttrpc.NOT_FOUND, "process already finished")
        if process.exec_id:
            os.kill(process.pid, signal)  # our child, not reaped yet: the pid is its own
            call.reply()
        elif signal == _signal.SIGKILL and task.shares_pids:
            everything = call.values["all"]
            self._change(call, lambda _: works.do_kill(place, signal, all_processes=everything))
        else:
            kill.kill(place.root, place.id, signal)
            call.reply()

    def pause(self, call: Call) -> None:
        """Freeze the container."""
        task = self._task(call)
        self._change(call, lambda _: works.do_pause(task.place), "/tasks/paused")

    def resume(self, call: Call) -> None:
        """Let it go on."""
        task = self._task(call)
        self._change(call, lambda _: works.do_resume(task.place), "/tasks/resumed")

    def update(self, call: Call) -> None:
        """Change the container's limits: JSON of the standard's LinuxResources."""
        task, text = self._task(call), (call.values["resources"] or {}).get("value", b"")
        self._change(call, lambda _: works.do_update(task.place, text))

    def _change(self, call: Call, work: Callable[[Channel], object], topic: str = "") -> None:
        task = self._task(call)

        def done(_result: object, error: RpcError | None) -> None:
            if error is not None:
                call.fail(error.code, error.message)
                return
            if topic:
                task.publish(topic)
            call.reply()

        self._daemon.workers.start(work, done)

    def checkpoint(self, call: Call) -> None:
        """Write the container's processes to images."""
        raise RpcError(ttrpc.UNIMPLEMENTED, f"checkpoint of {self._task(call).place.id}")

    def resize_pty(self, call: Call) -> None:
        """Change the size of a process's terminal."""
        _, process = self._process(call)
        if process.stdio is None:
            raise RpcError(ttrpc.FAILED_PRECONDITION, "the process is not started")
        process.stdio.resize(call.values["width"], call.values["height"])
        call.reply()

    def close_io(self, call: Call) -> None:
        """The master writes no more to stdin."""
        _, process = self._process(call)
        if call.values["stdin"] and process.stdio is not None:
            process.stdio.close_stdin()
        call.reply()

    # -- the end

    def delete(self, call: Call) -> None:
        """Remove an exec process, or the container, that has ended or was never started."""
        being_made = self._tasks.get(call.values["id"])
        if being_made is not None and not being_made.init.pid:
            being_made.abandoned = True
            self._abandon(being_made, call)
            return
        task, process = self._process(call)
        if process.starting or (process.running and process.end is None):
            raise RpcError(ttrpc.FAILED_PRECONDITION, "cannot delete a running process")
        process.deletions.append(call)
        if len(process.deletions) > 1:
            return  # the answer is the same for all
        if process.exec_id:
            task.drain(process, _EXEC_DRAIN, lambda: self._delete_exec(task, process))
        elif process.end is None:
            self._end_created(task)
        else:
            task.drain(process, _INIT_DRAIN, lambda: self._delete_container(task))

    def _abandon(self, task: Task, call: Call) -> None:
        """End a Create: its caller was killed, and who came after has no use for the container.

        Where the container is there already, this comes once more, at the end of the Create.
        """

        def done(_result: object, error: RpcError | None) -> None:
            if error is not None:
                self._daemon.warn(f"{task.place.id}: {error.message}")
            if call.values.get("bundle"):  # the Create itself
                del self._tasks[task.place.id]
                task.close()
                self._daemon.settle()
            call.fail(ttrpc.NOT_FOUND, f"container {task.place.id!r}: deleted while it was made")

        self._daemon.workers.start(lambda _: works.do_delete(task.place), done)

    def _delete_exec(self, task: Task, process: Process) -> None:
        task.execs.pop(process.exec_id, None)
        process.close()
        exits.forget(task.place.bundle, process.exec_id)
        for call in process.waiting:
            call.fail(ttrpc.NOT_FOUND, f"process {process.exec_id}: deleted before it was started")
        for call in process.deletions:
            call.reply(_deleted(process))

    def _end_created(self, task: Task) -> None:
        """A container that was never started: its init is ended, and then it is as any other."""

        def done(_result: object, error: RpcError | None) -> None:
            if error is not None:
                self._not_deleted(task, error)
            elif task.init.end is None:
                task.on_end = lambda: self._delete_container(task)
            else:
                self._delete_container(task)

        self._daemon.workers.start(lambda _: works.do_end(task.place), done)

    def _delete_container(self, task: Task) -> None:
        def done(_result: object, error: RpcError | None) -> None:
            if error is not None:
                self._not_deleted(task, error)
                return
            values = _deleted(task.init)
            task.publish("/tasks/delete", **values)
            self._tasks.pop(task.place.id, None)
            task.close()
            for call in task.init.deletions:
                call.reply(values)
            self._daemon.settle()

        work = _bound(works.do_delete, task.place)
        self._daemon.workers.start(work, done, heard=self._hears(task, task.init))

    def _not_deleted(self, task: Task, error: RpcError) -> None:
        """The container is kept, and Delete can be called again."""
        calls, task.init.deletions = task.init.deletions, []
        for call in calls:
            call.fail(error.code, error.message)

    def shutdown(self, call: Call) -> None:
        """End the shim, unless it has containers yet."""
        call.reply()
        if not self._tasks:
            self._daemon.shutdown()


def _bound(work: Callable[..., object], *arguments: object) -> Callable[[Channel], object]:
    return lambda channel: work(*arguments, channel)


def _fail(call: Call, verb: str, error: RpcError) -> None:
    """Refuse, in the words by which people find such errors of containerd's own shim."""
    call.fail(error.code, f"OCI runtime {verb} failed: {error.message}")


def _check_id(text: str) -> None:
    try:
        state.check_id(text)
    except OrlopError as error:
        raise RpcError(ttrpc.INVALID_ARGUMENT, str(error)) from error


def _paths(asked: Values) -> Paths:
    return Paths(asked["stdin"], asked["stdout"], asked["stderr"], terminal=asked["terminal"])


def _deleted(process: Process) -> Values:
    values: Values = {"pid": process.pid}
    if process.end is not None:
        values.update(exit_values(process.end))
    return values


def guarded(serve: Callable[[Call], None]) -> Callable[[Call], None]:
    """A method whose errors become answers."""

    def guarded(call: Call) -> None:
        try:
            serve(call)
        except NotRunning as error:
            call.fail(ttrpc.NOT_FOUND, str(error))  # what a kill that came too late is told
        except (RpcError, OrlopError, OSError, ValueError) as error:
            call.fail(*failure(error))

    return guarded
