# SPDX-License-Identifier: Apache-2.0
"""A pod by containerd's CRI plugin, as Kubernetes starts it for a RuntimeClass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.calls import CallError
from tests.engines.pod import EXITED
from tests.engines.runtime import EVERY_WAY
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.engines.pod import Pod
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "containerd", "runc"), pytest.mark.slow, EVERY_WAY]


def test_a_container_of_a_pod_runs_and_is_joined(pod: Pod) -> None:
    container = pod.start("one", "sleep", "1000")
    assert pod.exec(container, "sh", "-c", "echo in; exit 7") == (7, "in\n")
    pod("StopContainer", {1: container, 2: 0})
    status = pod.status(container)
    assert (status[3], status[7]) == (EXITED, 137)


def test_containers_of_a_pod_share_its_namespaces(pod: Pod) -> None:
    first, second = (pod.start(name, "sleep", "1000") for name in ("first", "second"))
    look = "for kind in ipc uts net pid mnt; do readlink /proc/self/ns/$kind; done"
    seen = [pod.exec(each, "sh", "-c", look)[1].split() for each in (first, second)]
    assert len(seen[0]) == 5
    assert seen[0][:4] == seen[1][:4]
    assert seen[0][4] != seen[1][4]


def test_limits_are_set(pod: Pod) -> None:
    container = pod.start("limited", "sleep", "1000", limits={4: 33554432, 3: 77})
    assert limits_of(pod, container) == ["33554432", "77"]


def test_limits_are_updated(pod: Pod) -> None:
    container = pod.start("limited", "sleep", "1000", limits={4: 33554432, 3: 77})
    pod("UpdateContainerResources", {1: container, 2: {4: 67108864}})
    assert limits_of(pod, container) == ["67108864", "77"]


def limits_of(pod: Pod, container: str) -> list[str]:
    """The memory limit and the shares of the processor, as the container sees them."""
    files = ("memory/memory.limit_in_bytes", "cpu/cpu.shares")
    return pod.exec(container, "cat", *(f"/sys/fs/cgroup/{name}" for name in files))[1].split()


def test_a_missing_program_is_the_error_of_the_start(pod: Pod, runtime: Runtime) -> None:
    container = pod.create("wrong", "nope")
    with pytest.raises(CallError, match="executable file not found") as raised:
        pod("StartContainer", {1: container})
    assert ("runc create failed" in str(raised.value)) == (runtime.name == "runc")
