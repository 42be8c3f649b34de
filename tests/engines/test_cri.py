# SPDX-License-Identifier: Apache-2.0
"""A pod by containerd's CRI plugin, as Kubernetes starts it for a RuntimeClass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engines import image
from tests.engines.cri import Cri, CriError, decode
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.containerd import Containerd
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "containerd", "runc", "curl"), pytest.mark.slow]

NODE = 2  # NamespaceMode: the network of the node, for which no CNI plugin is needed
EXITED = 2  # ContainerState

#: PodSandboxConfig: metadata (name, uid, namespace), linux.security_context.namespace_options
POD = {1: {1: "pod", 2: "uid-1", 3: "default"}, 8: {2: {1: {1: NODE}}}}


class Pod:
    """A sandbox of the runtime, and its containers."""

    def __init__(self, cri: Cri, runtime: Runtime) -> None:
        self.cri = cri
        self.id = cri("RunPodSandbox", {1: POD, 2: runtime.name})[1].decode()

    def create(self, name: str, *command: str, limits: dict[int, int] | None = None) -> str:
        """Create a container; its id. limits: LinuxContainerResources."""
        config: dict[int, Any] = {1: {1: name}, 2: {1: image.NAME}, 3: list(command)}
        if limits:
            config[15] = {1: limits}
        request = {1: self.id, 2: config, 3: POD}
        found: bytes = self.cri("CreateContainer", request)[1]
        return found.decode()

    def start(self, name: str, *command: str, limits: dict[int, int] | None = None) -> str:
        """Create a container and start it; its id."""
        container = self.create(name, *command, limits=limits)
        self.cri("StartContainer", {1: container})
        return container

    def exec(self, container: str, *command: str) -> tuple[int, str]:
        """ExecSync: the status and the output."""
        found = self.cri("ExecSync", {1: container, 2: list(command), 3: 60})
        return found.get(3, 0), found.get(1, b"").decode()

    def status(self, container: str) -> dict[int, Any]:
        """ContainerStatus."""
        return decode(self.cri("ContainerStatus", {1: container})[1])


@pytest.fixture
def pod(containerd: Containerd, runtime: Runtime) -> Iterator[Pod]:
    cri = Cri(containerd)
    pod = Pod(cri, runtime)
    yield pod
    cri("StopPodSandbox", {1: pod.id})
    cri("RemovePodSandbox", {1: pod.id})


def test_a_container_of_a_pod_runs_and_is_joined(pod: Pod) -> None:
    container = pod.start("one", "sleep", "1000")
    assert pod.exec(container, "sh", "-c", "echo in; exit 7") == (7, "in\n")
    pod.cri("StopContainer", {1: container, 2: 0})
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
    pod.cri("UpdateContainerResources", {1: container, 2: {4: 67108864}})
    assert limits_of(pod, container) == ["67108864", "77"]


def limits_of(pod: Pod, container: str) -> list[str]:
    """The memory limit and the shares of the processor, as the container sees them."""
    files = ("memory/memory.limit_in_bytes", "cpu/cpu.shares")
    return pod.exec(container, "cat", *(f"/sys/fs/cgroup/{name}" for name in files))[1].split()


def test_a_missing_program_is_the_error_of_the_start(pod: Pod, runtime: Runtime) -> None:
    container = pod.create("wrong", "nope")
    with pytest.raises(CriError, match="executable file not found") as raised:
        pod.cri("StartContainer", {1: container})
    assert ("runc create failed" in str(raised.value)) == (runtime.name == "runc")
