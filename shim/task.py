# SPDX-License-Identifier: Apache-2.0
"""A task: a container as a shim sees it, with the init and the exec processes in it.

Its events come in containerd's order: create, start, those of exec processes, an OOM before the
exit that it caused, the exit of the init last, delete.
"""

from __future__ import annotations

from runtime.container import Container
from shim import exits, ttrpc, works
from shim.exits import timestamp
from shim.oom import OomWatch
from shim.ttrpc import RpcError
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.cgroups.cgroup import Cgroup
    from shim.attach import Attached
    from shim.daemon import Daemon
    from shim.exits import Exit
    from shim.loop import Timer
    from shim.protobuf import Values
    from shim.server import Call
    from shim.stdio import Paths, Stdio
    from shim.works import Images, Place

CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4
_KILLED = 128 + 9
_OTHERS_END = 10.0  # seconds that the exit of an init waits for those of its exec processes


class Process:
    """The init (exec_id "") or an exec process.

    pid: 0 until it is there. starting: its start is at work, and an exit waits for the end of that.
    """

    __slots__ = (
        "attached",
        "deletions",
        "end",
        "exec_id",
        "is_unwanted",
        "paths",
        "pid",
        "running",
        "spec",
        "starting",
        "stdio",
        "task",
        "waiting",
        "withheld",
    )

    def __init__(self, task: Task, exec_id: str, paths: Paths) -> None:
        self.task = task
        self.exec_id = exec_id
        self.paths = paths
        self.stdio: Stdio | None = None
        self.attached: list[Attached] = []  # before there was any stdio
        self.pid = 0
        self.running = False
        self.is_unwanted = False  # a master has killed it
        self.starting = False
        self.withheld: Exit | None = None
        self.end: Exit | None = None
        self.waiting: list[Call] = []
        self.deletions: list[Call] = []
        self.spec = b""

    @property
    def status(self) -> int:
        """Created, running or stopped."""
        if self.end is not None:
            return STOPPED
        return RUNNING if self.running else CREATED

    @property
    def is_alive(self) -> bool:
        """Whether it is there, as far as anybody was told."""
        return self.pid != 0 and self.end is None

    def exited(self, end: Exit) -> None:
        """It was reaped. Told now, or when the start that is at work has been told of."""
        self.withheld = end
        if not self.starting:
            self.settle()

    def settle(self) -> None:
        """Tell of an exit that waited, if nothing else keeps it back."""
        self.starting = False
        if self.withheld is None:
            return
        if not self.exec_id and not self.task.may_end():
            return
        end, self.withheld = self.withheld, None
        self.end = end
        self.task.tell_exit(self, end)

    def close(self) -> None:
        """Let go of its descriptors."""
        if self.stdio is not None:
            self.stdio.close()
        for attached in self.attached:
            attached.close()

    def never_ran(self, end: Exit) -> None:
        """Its start failed: whoever waits is answered, and nobody else is told of an exit."""
        self.starting = False
        self.end = end
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call.reply(exit_values(end))
        self.task.exec_ended()

    def answer(self, call: Call) -> None:
        """Answer a Wait, now or at the exit."""
        if self.end is None:
            self.waiting = [other for other in self.waiting if other.is_open]
            self.waiting.append(call)
        else:
            call.reply(self.task.exit_answer(self, self.end, call))


class Task:
    """One container of the shim. cgroup: None until it is created."""

    def __init__(self, daemon: Daemon, place: Place, paths: Paths) -> None:
        self.daemon = daemon
        self.place = place
        self.init = Process(self, "", paths)
        self.execs: dict[str, Process] = {}
        self.cgroup: Cgroup | None = None
        self.shares_pids = False
        self.is_made = False  # Create has been answered
        self.images: Images | None = None  # what Start is to restore
        self.abandoned = False  # deleted while Create is at work
        self.on_end: Callable[[], None] | None = None
        self.starts: list[Call] = []  # that came before Create was answered
        self.oom_kills = 0  # as far as they were counted
        self._oom: OomWatch | None = None
        self._others: str = ""  # "", "ending" or "ended"
        self._patience: Timer | None = None

    @property
    def is_being_made(self) -> bool:
        """Whether Create is at work, and wanted."""
        return not self.is_made and not self.abandoned

    def process(self, exec_id: str) -> Process:
        """A process by its exec id. Raises RpcError."""
        if not exec_id:
            return self.init
        found = self.execs.get(exec_id)
        if found is None:
            raise RpcError(ttrpc.NOT_FOUND, f"process {exec_id} does not exist")
        return found

    def created(self, pid: int) -> None:
        """The container is there: from now on its exit is expected."""
        self.init.pid = pid
        try:
            container = Container.open(self.place.root, self.place.id)
        except OrlopError as error:
            self.daemon.warn(f"{self.place.id}: {error}")
            return
        try:
            self.cgroup = container.cgroup()
            self.shares_pids = container.record.shares_pids
        finally:
            container.close()
        if self.cgroup is not None and self.cgroup.mode != "none":
            self._oom = OomWatch(self.daemon.loop, self.cgroup, self._tell_oom)

    def expect(self, process: Process) -> None:
        """Have the reaper tell of its exit."""
        self.daemon.reaper.expect(process.pid, process.exited)

    def may_end(self) -> bool:
        """Whether the exit of the init would be the last one; if not, it is told of later."""
        if self._patience is not None and self._patience.act is None:
            return True  # an exec process is stuck in the kernel
        if self.shares_pids and not self._others:
            self._end_others()
        left = any(process.is_alive or process.starting for process in self.execs.values())
        if not left and self._others != "ending":
            return True
        if self._patience is None:
            self._patience = self.daemon.loop.later(_OTHERS_END, self.init.settle)
        return False

    def _end_others(self) -> None:
        """End what the kernel leaves: a container without a pid namespace outlives its init."""
        self._others = "ending"

        def done(_result: object, error: RpcError | None) -> None:
            self._others = "ended"
            if error is not None:
                self.daemon.warn(f"{self.place.id}: {error.message}")
            self.init.settle()

        self.daemon.workers.start(lambda _: works.do_end_others(self.place), done)

    def tell_exit(self, process: Process, end: Exit) -> None:
        """Keep an exit on disk, then tell everybody."""
        end.ran = process.running
        try:
            exits.write(self.place.bundle, process.exec_id, process.pid, end)
        except OSError as error:
            self.daemon.warn(f"{self.place.id}: exit of {process.pid} is not kept: {error}")
        if process.stdio is not None:
            process.stdio.exited()
        if self._oom is not None:
            self._oom.check(unexplained=end.status == _KILLED and not process.is_unwanted)
            self.oom_kills = self._oom.kills
        self.publish(
            "/tasks/exit",
            id=process.exec_id or self.place.id,
            pid=process.pid,
            **exit_values(end),
        )
        waiting, process.waiting = process.waiting, []
        for call in waiting:
            call.reply(self.exit_answer(process, end, call))
        if process.exec_id:
            self.exec_ended()
            return
        self.daemon.make_way()
        self._end_watch()
        act, self.on_end = self.on_end, None
        if act is not None:
            act()

    def exit_answer(self, process: Process, end: Exit, call: Call) -> Values:
        """The answer to a Wait; who wants details of the init's exit learns of OOM kills, too."""
        values = exit_values(end)
        if not process.exec_id and call.wants_details:
            values |= {"counts_kills": True, "oom_kills": self.oom_kills}
        return values

    def exec_ended(self) -> None:
        """An exec process has gone, or did not come: the init's exit may have waited for that."""
        if self.init.withheld is not None and not self.init.starting:
            self.init.settle()

    def _tell_oom(self) -> None:
        self.publish("/tasks/oom")

    def _end_watch(self) -> None:
        if self._oom is not None:
            self.oom_kills = self._oom.kills
            self._oom.close()
            self._oom = None

    def publish(self, topic: str, **event: object) -> None:
        """Send one of its events."""
        self.daemon.publisher.publish(topic, {"container_id": self.place.id, **event})

    def drain(self, process: Process, seconds: float, done: Callable[[], None]) -> None:
        """Call `done` once its output is copied, or after so many seconds."""
        if process.stdio is None:
            done()
        else:
            process.stdio.drain(seconds, done)

    def state(self, process: Process) -> Values:
        """The answer to State."""
        status = process.status
        if status == RUNNING and self.is_paused():
            status = PAUSED
        paths = process.paths
        values = {
            "id": self.place.id,
            "exec_id": process.exec_id,
            "bundle": self.place.bundle,
            "pid": process.pid,
            "status": status,
            "stdin": paths.stdin,
            "stdout": paths.stdout,
            "stderr": paths.stderr,
            "terminal": paths.terminal,
        }
        return values if process.end is None else {**values, **exit_values(process.end)}

    def is_paused(self) -> bool:
        """Whether its cgroup is frozen now."""
        try:
            return self.cgroup is not None and self.cgroup.frozen()
        except OSError:
            return False

    def close(self) -> None:
        """Let go of everything: it is deleted, or was never made."""
        self._end_watch()
        for process in (self.init, *self.execs.values()):
            process.close()


def find(tasks: Mapping[str, Task], call: Call) -> tuple[Task, Process]:
    """The task and the process that are called. Raises RpcError."""
    task = find_task(tasks, call)
    return task, task.process(call.values["exec_id"])


def find_task(tasks: Mapping[str, Task], call: Call) -> Task:
    """The task that is called. Raises RpcError."""
    task = tasks.get(call.values["id"])
    if task is None or not task.is_made:
        raise RpcError(ttrpc.NOT_FOUND, f"container {call.values['id']!r}: container not created")
    return task


def exit_values(end: Exit) -> Values:
    """An exit as the fields of a message."""
    return {"exit_status": end.status, "exited_at": timestamp(end.at)}
