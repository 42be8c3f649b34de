# SPDX-License-Identifier: Apache-2.0
"""A pod, as a kubelet has it made: the calls of CRI.

The numbers are those of k8s.io/cri-api, pkg/apis/runtime/v1/api.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.engines import image
from tests.engines.messages import Message, decode
from tests.support.waiting import Replacements

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.calls import Calls
    from tests.engines.containerd import Containerd
    from tests.engines.runtime import Runtime

_SERVICE = "runtime.v1.RuntimeService"
_NODE = 2  # NamespaceMode: the network of the node, for which no CNI plugin is needed

PARENT = "/pods"  # the cgroup of a pod is the kubelet's, who tells the plugin where it is

RUNNING, EXITED = 1, 2  # ContainerState


class Pod:
    """A sandbox of the runtime, and its containers.

    calls: in containerd's namespace k8s.io. logs: where those of the containers are written.
    """

    def __init__(self, containerd: Containerd, calls: Calls, runtime: Runtime, logs: Path) -> None:
        self._calls = calls
        self._statuses = containerd.root / "io.containerd.grpc.v1.cri" / "containers"
        self.logs = logs
        # PodSandboxConfig: metadata (name, uid, namespace), log_directory,
        # linux: cgroup_parent, security_context.namespace_options
        self._config: Message = {1: {1: "pod", 2: "uid-1", 3: "default"}, 3: str(logs)}
        self._config[8] = {1: PARENT, 2: {1: {1: _NODE}}}
        self.id = self.text("RunPodSandbox", {1: self._config, 2: runtime.name})

    def __call__(self, method: str, request: Message) -> Message:
        """Make a call. Raises CallError."""
        return self._calls(f"{_SERVICE}/{method}", request)

    def raw(self, method: str, request: Message) -> bytes:
        """The same, with the answer's bytes."""
        return self._calls.raw(f"{_SERVICE}/{method}", request)

    def text(self, method: str, request: Message) -> str:
        """Make a call whose answer is a text: an id, or a URL."""
        found: bytes = self(method, request)[1]
        return found.decode()

    def create(self, name: str, *command: str, **config: Any) -> str:  # noqa: ANN401
        """Create a container; its id.

        config: limits (LinuxContainerResources), stdin, tty: fields of ContainerConfig.
        """
        wanted: Message = {1: {1: name}, 2: {1: image.NAME}, 3: list(command), 11: f"{name}.log"}
        numbers = {"stdin": 12, "stdin_once": 13, "tty": 14}
        for key, value in config.items():
            if key == "limits":
                wanted[15] = {1: value}
            else:
                wanted[numbers[key]] = int(value)
        return self.text("CreateContainer", {1: self.id, 2: wanted, 3: self._config})

    def start(self, name: str, *command: str, **config: Any) -> str:  # noqa: ANN401
        """Create a container and start it; its id."""
        container = self.create(name, *command, **config)
        self("StartContainer", {1: container})
        return container

    def exec(self, container: str, *command: str) -> tuple[int, str]:
        """ExecSync: the status and the output."""
        found = self("ExecSync", {1: container, 2: list(command), 3: 60})
        return found.get(3, 0), found.get(1, b"").decode()

    def status(self, container: str) -> Message:
        """ContainerStatus."""
        return decode(self("ContainerStatus", {1: container})[1])

    def wait(self, container: str) -> None:
        """Wait until a container has ended by itself, and the plugin says so.

        CRI has no call for it: the plugin replaces a file when the status changes.
        """
        with Replacements(self._statuses / container) as statuses:
            while self.status(container)[3] != EXITED:
                statuses.next()

    def remove(self) -> None:
        """Stop and remove all of it."""
        self("StopPodSandbox", {1: self.id})
        self("RemovePodSandbox", {1: self.id})
