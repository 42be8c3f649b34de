# SPDX-License-Identifier: Apache-2.0
"""SIGKILL for containerd, the shim and the init, at every step of a task, by containerd's own API.

Steps that take a while are held by a hook, which says that it runs and waits for the test.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.engines.calls import CallError, Calls
from tests.engines.messages import decode
from tests.engines.task import CREATED, RUNNING, STOPPED, Task, names
from tests.engines.tree import children, outside, parent, same_namespace
from tests.support import waiting
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.engines.containerd import Containerd
    from tests.engines.room import Room

pytestmark = [requires("root", "containerd"), pytest.mark.slow]

WAITS = ("sh", "-c", "sleep 1000")


class Step:
    """A task that was brought to a step. pid: of its init, in the room; exec_id, where one is."""

    def __init__(self, task: Task, name: str) -> None:
        self.task, self.name = task, name
        self.pid = task.add().create()
        if name != "created":
            task.start()
        if name in ("exec added", "exec runs"):
            task.add_exec("e", "sleep", "1000")
        if name == "exec runs":
            task.start_exec("e")
        if name == "ended":
            task.kill()
            task.wait()


STEPS = ("created", "runs", "exec added", "exec runs", "ended")
LIVING = STEPS[:-1]


@pytest.mark.parametrize("name", LIVING)
def test_a_killed_init_is_an_exit_like_any_other(
    containerd: Containerd, calls: Calls, rootfs: Path, name: str
) -> None:
    step = Step(Task(calls, rootfs, "victim", *WAITS), name)
    (init,) = outside(containerd.room, step.pid)
    with ThreadPoolExecutor(2) as threads:
        waits = [threads.submit(step.task.wait)]
        if name == "exec runs":
            waits.append(threads.submit(step.task.wait, "e"))
        os.kill(init, signal.SIGKILL)
        assert [wait.result() for wait in waits] == [137] * len(waits)
    assert step.task.status() == STOPPED
    if name == "created":
        with pytest.raises(CallError, match="cannot start"):
            step.task.start()
    if name == "exec added":
        with pytest.raises(CallError, match="cannot exec in a stopped container"):
            step.task.start_exec("e")
    assert step.task.delete() == 137
    step.task.remove()


@pytest.mark.parametrize("name", STEPS)
def test_a_killed_shim_is_a_task_that_ended(
    containerd: Containerd, calls: Calls, rootfs: Path, name: str
) -> None:
    """containerd runs the shim's `delete`, which ends what is left."""
    step = Step(Task(calls, rootfs, "victim", *WAITS), name)
    shim = shim_of_task(containerd.room, "victim")
    inits = outside(containerd.room, step.pid)
    with containerd.events() as events:
        os.kill(shim, signal.SIGKILL)
        assert f'"pid":{step.pid},"exit_status":137' in events.until("/tasks/exit")
        events.until("/tasks/delete")
    for pid in inits:
        waiting.ended(pid)
    step.task.clear()
    assert list(names(calls)) == []


def shim_of_task(room: Room, name: str) -> int:
    """The shim that was started for a task: the parent of its workers."""
    found = shims_of_task(room, name)
    (shim,) = (pid for pid in found if parent(pid) not in found)
    return shim


def shims_of_task(room: Room, name: str) -> list[int]:
    """The shim that was started for a task, and its workers, by their command line."""
    return [pid for pid, words in room.processes().items() if f"-id {name} " in f"{words} "]


def test_a_killed_containerd_finds_tasks_at_every_step(
    own_containerd: Containerd, rootfs: Path
) -> None:
    with Calls(own_containerd.room, "default") as calls:
        steps = [
            Step(Task(calls, rootfs, f"task-{number}", *WAITS), name)
            for number, name in enumerate(STEPS)
        ]
        before = {step.name: outside(own_containerd.room, step.pid) for step in steps}
        own_containerd.daemon.stop(signal.SIGKILL)
        own_containerd.daemon.start()
        wanted = dict.fromkeys(STEPS, RUNNING) | {"created": CREATED, "ended": STOPPED}
        assert {step.name: step.task.status() for step in steps} == wanted
        assert {step.name: outside(own_containerd.room, step.pid) for step in steps} == before
        by_name = {step.name: step.task for step in steps}
        by_name["created"].start()
        by_name["exec added"].start_exec("e")
        for name in ("exec added", "exec runs"):
            by_name[name].kill(9, "e")
            assert by_name[name].wait("e") == 137
            assert by_name[name].delete_exec("e") == 137
        for name in LIVING:
            by_name[name].kill()
            assert by_name[name].wait() == 137
        for task in by_name.values():
            assert task.delete() == 137
            task.remove()


def test_what_ends_while_containerd_is_away_is_told_once(
    own_containerd: Containerd, rootfs: Path
) -> None:
    with Calls(own_containerd.room, "default") as calls:
        step = Step(Task(calls, rootfs, "task", *WAITS), "exec runs")
        (init,) = outside(own_containerd.room, step.pid)
        own_containerd.daemon.stop(signal.SIGKILL)
        os.kill(init, signal.SIGKILL)
        waiting.ended(init)
        events = task_events(calls)  # from its first moment on
        own_containerd.daemon.start()
        assert step.task.wait() == 137
        assert step.task.status() == STOPPED
        assert step.task.delete() == 137
        with pytest.raises(CallError, match="NOT_FOUND"):
            step.task.delete()
        step.task.remove()
        assert [next(events) for _ in range(3)] == [
            ("/tasks/exit", "e"),
            ("/tasks/exit", "task"),
            ("/tasks/delete", "task"),
        ]


def task_events(calls: Calls) -> Iterator[tuple[str, str]]:
    """The topics of events, and the ids that they are about."""
    subscribe = "containerd.services.events.v1.Events/Subscribe"
    answers = calls.stream(subscribe, {1: ["topic~=/tasks/"]})

    def told() -> Iterator[tuple[str, str]]:
        for envelope in answers:
            event = decode(decode(envelope[4])[2])
            number = 2 if envelope[3] == b"/tasks/exit" else 1
            yield envelope[3].decode(), event[number].decode()

    return told()


class Held:
    """A call that a hook holds, from the hook's beginning until `let_go`."""

    def __init__(self, task: Task, kind: str, directory: Path) -> None:
        self.fifo = directory / f"{task.name}.{kind}"
        for name in (self.fifo, f"{self.fifo}.there"):
            os.mkfifo(name)
        self._there = os.open(f"{self.fifo}.there", os.O_RDWR)
        self._go = os.open(self.fifo, os.O_RDWR)
        task.hook(kind, self.fifo)

    def wait(self) -> None:
        """Until the hook runs."""
        waiting.readable(self._there, 30, f"the hook {self.fifo}")

    def let_go(self) -> None:
        """Let the hook end."""
        os.write(self._go, b"\n")

    def close(self) -> None:
        os.close(self._there)
        os.close(self._go)


@contextmanager
def held(task: Task, kind: str, directory: Path) -> Iterator[tuple[Held, Future[object]]]:
    """A task whose call is held; ends with the call's end, however that is."""
    hold = Held(task, kind, directory)
    task.add()

    def up_to() -> object:
        task.create()
        if kind == "createRuntime":
            return None
        task.start()
        if kind == "poststart":
            return None
        task.kill()
        task.wait()
        return task.delete()

    try:
        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(up_to)
            hold.wait()
            yield hold, future
            hold.let_go()
    finally:
        hold.close()


#: Hooks in the middle of Create, Start and Delete.
KINDS = ("createRuntime", "poststart", "poststop")


def test_an_init_that_is_killed_in_the_middle_of_a_create(
    containerd: Containerd, calls: Calls, rootfs: Path, tmp_path: Path
) -> None:
    task = Task(calls, rootfs, "victim", *WAITS)
    with held(task, "createRuntime", tmp_path) as (hold, future):
        shim = shim_of_task(containerd.room, "victim")
        (worker,) = (pid for pid in shims_of_task(containerd.room, "victim") if parent(pid) == shim)
        (init,) = (pid for pid in children(worker) if not same_namespace("pid", pid, worker))
        os.kill(init, signal.SIGKILL)
        hold.let_go()
        with pytest.raises(CallError, match="OCI runtime create failed"):
            future.result()
    task.remove()
    assert list(names(calls)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_shim_that_is_killed_in_the_middle_of_a_call(
    containerd: Containerd, calls: Calls, rootfs: Path, tmp_path: Path, kind: str
) -> None:
    task = Task(calls, rootfs, "victim", *WAITS)
    with held(task, kind, tmp_path) as (_, future):
        shim = shim_of_task(containerd.room, "victim")
        with containerd.events() as events:
            os.kill(shim, signal.SIGKILL)
            with pytest.raises(CallError):
                future.result()
            if kind != "createRuntime":  # containerd has made no task yet
                events.until("/tasks/delete")
    task.clear()
    assert list(names(calls)) == []


def test_a_containerd_that_is_killed_in_the_middle_of_calls(
    own_containerd: Containerd, rootfs: Path, tmp_path: Path
) -> None:
    """It comes back while they are at work; what then is there, and what is not yet, is removed."""
    with Calls(own_containerd.room, "default") as calls, ExitStack() as stack:
        tasks = {kind: Task(calls, rootfs, kind.lower(), *WAITS) for kind in KINDS}
        futures = [stack.enter_context(held(tasks[kind], kind, tmp_path))[1] for kind in KINDS]
        unwanted = Task(calls, rootfs, "unwanted", *WAITS)
        futures.append(stack.enter_context(held(unwanted, "createRuntime", tmp_path))[1])
        own_containerd.daemon.stop(signal.SIGKILL)
        own_containerd.daemon.start()
        for future in futures:
            with pytest.raises(CallError, match="UNAVAILABLE"):
                future.result()
        unwanted.clear()  # while it is being made
        assert shims_of_task(own_containerd.room, "unwanted") == []
        with own_containerd.events() as events:
            stack.close()
            events.until("/tasks/create")
        for task in tasks.values():
            task.clear()
        assert list(names(calls)) == []
