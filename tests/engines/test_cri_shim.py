# SPDX-License-Identifier: Apache-2.0
"""A pod's life by our shim: one shim for all of it, statistics, and a containerd that is killed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.engines.calls import CallError, Calls
from tests.engines.containerd import TASKS
from tests.engines.messages import Message, decode, fields, within
from tests.engines.pod import EXITED, RUNNING, Pod
from tests.engines.runtime import BOTH_SHIMS, shim
from tests.engines.tree import outside, shim_of
from tests.support import waiting
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.containerd import Containerd

pytestmark = [requires("root", "containerd", "runc"), pytest.mark.slow]

OURS = pytest.mark.parametrize("runtime", ["shim"], indirect=True)


def pid_of(containerd: Containerd, container: str) -> int:
    """The pid, in the room, of a container's first process."""
    return containerd.pid(container, namespace="k8s.io")


@OURS
def test_one_shim_is_the_parent_of_all_containers(containerd: Containerd, pod: Pod) -> None:
    containers = [pod.id, *(pod.start(name, "sleep", "1000") for name in ("one", "two"))]
    parents = {shim_of(containerd.room, pid_of(containerd, each)) for each in containers}
    assert len(parents) == 1
    pod("StopContainer", {1: containers[1], 2: 0})
    pod("RemoveContainer", {1: containers[1]})
    again = pod.start("three", "sleep", "1000")
    assert {shim_of(containerd.room, pid_of(containerd, again))} == parents


@BOTH_SHIMS
def test_the_usage_of_a_container_and_of_the_pod_is_shown(pod: Pod) -> None:
    container = pod.start(
        "busy", "sh", "-c", "i=0; while test $i != 9999; do i=$((i+1)); done; cat"
    )
    pod.wait(container)
    container = pod.start("idle", "sleep", "1000")
    found = decode(pod("ContainerStats", {1: container})[1])
    assert within(found, 2, 2, 1) > 0  # cpu.usage_core_nano_seconds
    assert within(found, 3, 2, 1) > 0  # memory.working_set_bytes
    listed = fields_of(pod, "ListContainerStats", {1: {2: pod.id}})
    assert container in [within(decode(each), 1, 1).decode() for each in listed]
    found = decode(pod("PodSandboxStats", {1: pod.id})[1])
    assert within(found, 2, 1, 2, 1) > 0  # linux.cpu.usage_core_nano_seconds
    assert within(found, 2, 2, 2, 1) > 0  # linux.memory.working_set_bytes
    assert within(found, 2, 4, 2, 1) > 0  # linux.process.process_count


def fields_of(pod: Pod, method: str, request: Message) -> list[bytes]:
    """The answer's first field, which is repeated."""
    return [value for number, value in fields(pod.raw(method, request)) if number == 1]


@OURS
def test_memory_that_ran_out_is_the_reason(pod: Pod) -> None:
    limits = {4: 16 << 20, 10: 16 << 20}  # memory_limit_in_bytes, memory_swap_limit_in_bytes
    container = pod.start("hungry", "tail", "/dev/zero", limits=limits)
    pod.wait(container)
    status = pod.status(container)
    assert (status[3], status[7], status[10]) == (EXITED, 137, b"OOMKilled")


@BOTH_SHIMS
def test_a_stop_asks_first(pod: Pod) -> None:
    program = "trap 'exit 5' TERM; mkfifo /up; sleep 1000 & while :; do wait; done"
    container = pod.start("asked", "sh", "-c", program)
    pod.exec(container, "sh", "-c", "until test -p /up; do :; done")
    pod("StopContainer", {1: container, 2: 30})
    assert pod.status(container)[7] == 5
    with pytest.raises(CallError, match=r"not running|is in CONTAINER_EXITED state"):
        pod.exec(container, "true")


@pytest.fixture
def lonely(own_containerd: Containerd, tmp_path: Path) -> Iterator[Pod]:
    """A pod of our shim, in a containerd of the test's own."""
    with Calls(own_containerd.room, "k8s.io") as calls:
        pod = Pod(own_containerd, calls, shim(), tmp_path / "logs")
        yield pod
        pod.remove()


def test_a_pod_outlives_containerd(own_containerd: Containerd, lonely: Pod) -> None:
    pod, room = lonely, own_containerd.room
    program = "mkfifo /f; read line </f; echo $line; sleep 1000"
    kept = pod.start("kept", "sh", "-c", program)
    pod.exec(kept, "sh", "-c", "until test -p /f; do :; done")
    ended = pod.start("ended", "sleep", "1000")
    parent = shim_of(room, pid_of(own_containerd, kept))
    (init,) = outside(room, pid_of(own_containerd, ended))
    own_containerd.daemon.stop(signal.SIGKILL)
    os.kill(init, signal.SIGKILL)
    waiting.ended(init)
    own_containerd.start_again()
    assert (pod.status(ended)[3], pod.status(ended)[7]) == (EXITED, 137)
    assert pod.status(kept)[3] == RUNNING
    assert shim_of(room, pid_of(own_containerd, kept)) == parent
    assert pod.exec(kept, "sh", "-c", "echo gone on >/f; echo in") == (0, "in\n")
    assert shim_of(room, pid_of(own_containerd, pod.start("new", "sleep", "1000"))) == parent
    pod("StopContainer", {1: kept, 2: 0})
    pod("RemoveContainer", {1: kept})
    assert (pod.logs / "kept.log").read_text().endswith(" stdout F gone on\n")


def test_a_killed_shim_is_a_pod_that_can_be_removed(
    own_containerd: Containerd, lonely: Pod
) -> None:
    container = lonely.start("one", "sleep", "1000")
    parent = shim_of(own_containerd.room, pid_of(own_containerd, container))
    (init,) = outside(own_containerd.room, pid_of(own_containerd, container))
    os.kill(parent, signal.SIGKILL)
    waiting.ended(init)  # by the shim's delete, which containerd runs
    lonely("StopContainer", {1: container, 2: 0})
    assert lonely.status(container)[3] == EXITED
    # The plugin doesn't wait for that delete; a containerd that ends before it keeps the bundle
    # for the next one.
    for each in (container, lonely.id):
        bundle = own_containerd.room.path(TASKS / "k8s.io" / each)
        waiting.removed(bundle)
        waiting.removed(bundle.with_name(f".{each}"))
