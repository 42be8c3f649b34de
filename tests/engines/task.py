# SPDX-License-Identifier: Apache-2.0
"""A task of our shim, step by step by containerd's own API, as its clients make one.

The numbers are those of containerd's api/services/{containers,tasks}/v1.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spec.template import default_spec
from tests.engines.calls import CallError
from tests.engines.messages import Message, fields
from tests.engines.runtime import SHIM_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.calls import Calls

CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4  # Status

_TASKS = "containerd.services.tasks.v1.Tasks"
_CONTAINERS = "containerd.services.containers.v1.Containers"
_SPEC = "types.containerd.io/opencontainers/runtime-spec/1"
#: What calls fail with where there is nothing more to be done.
_GONE = ("NOT_FOUND", "FAILED_PRECONDITION")


class Task:
    """A container and its task. The class's calls raise CallError."""

    def __init__(self, calls: Calls, rootfs: Path, name: str, *argv: str) -> None:
        """rootfs: of a static busybox; shared by all that only read it."""
        self._calls = calls
        self._rootfs = rootfs
        self.name = name
        self.spec: dict[str, Any] = json.loads(json.dumps(default_spec()))
        self.spec["root"] = {"path": "rootfs", "readonly": True}
        self.spec["process"].update(args=list(argv), terminal=False)
        self.spec["linux"]["cgroupsPath"] = f"/default/{name}"

    def annotate(self, **annotations: str) -> Task:
        """Set annotations, whose names have "." for "_"."""
        named = {name.replace("_", "."): value for name, value in annotations.items()}
        self.spec["annotations"] = named
        return self

    def hook(self, kind: str, fifo: Path) -> Task:
        """A hook that says on `fifo`.there that it runs, and waits until `fifo` is opened."""
        script = f"echo >{fifo}.there; read line <{fifo}"
        self.spec.setdefault("hooks", {})[kind] = [
            {"path": "/bin/sh", "args": ["sh", "-c", script]}
        ]
        return self

    def add(self) -> Task:
        """Make the container, which is but an entry of containerd's."""
        spec = {1: f"{_SPEC}/Spec", 2: json.dumps(self.spec)}
        container: Message = {1: self.name, 4: {1: SHIM_TYPE}, 5: spec}
        self._calls(f"{_CONTAINERS}/Create", {1: container})
        return self

    def create(self, **stdio: str) -> int:
        """Make the task; its pid. stdio: stdin, stdout, stderr: FIFOs or URIs."""
        mount = {1: "bind", 2: str(self._rootfs), 4: ["rbind", "ro"]}
        numbers = {"stdin": 4, "stdout": 5, "stderr": 6}
        given = {numbers[name]: value for name, value in stdio.items()}
        pid: int = self._call("Create", {1: self.name, 3: [mount]} | given)[2]
        return pid

    def start(self) -> int:
        """Start its program; its pid."""
        pid: int = self._call("Start", {1: self.name})[1]
        return pid

    def run(self) -> int:
        """All three: its pid."""
        self.add().create()
        return self.start()

    def add_exec(self, exec_id: str, *argv: str) -> None:
        """Take a process to be started in the container."""
        process = self.spec["process"] | {"args": list(argv)}
        spec = {1: f"{_SPEC}/Process", 2: json.dumps(process)}
        self._call("Exec", {1: self.name, 6: spec, 7: exec_id})

    def start_exec(self, exec_id: str) -> int:
        """Start it; its pid."""
        pid: int = self._call("Start", {1: self.name, 2: exec_id})[1]
        return pid

    def wait(self, exec_id: str = "") -> int:
        """Wait for its end, or that of an exec process: the status."""
        status: int = self._call("Wait", {1: self.name, 2: exec_id}).get(1, 0)
        return status

    def kill(self, number: int = 9, exec_id: str = "") -> None:
        """Send a signal."""
        self._call("Kill", {1: self.name, 2: exec_id, 3: number})

    def update(self, **resources: object) -> None:
        """Change limits: LinuxResources."""
        value = {1: f"{_SPEC}/LinuxResources", 2: json.dumps(resources)}
        self._call("Update", {1: self.name, 2: value})

    def status(self, exec_id: str = "") -> int:
        """Created, running, stopped or paused."""
        answer = self._call("Get", {1: self.name, 2: exec_id})
        return int(dict(fields(answer[1]))[4])

    def delete(self) -> int:
        """Remove the task, which has ended: the status."""
        status: int = self._call("Delete", {1: self.name}).get(3, 0)
        return status

    def delete_exec(self, exec_id: str) -> int:
        """Remove an exec process."""
        status: int = self._call("DeleteProcess", {1: self.name, 2: exec_id}).get(3, 0)
        return status

    def remove(self) -> None:
        """Remove the container too."""
        self._calls(f"{_CONTAINERS}/Delete", {1: self.name})

    def clear(self) -> None:
        """Remove all of it, in whatever state it is: what a user does after an accident.

        Raises CallError where it can not be removed.
        """
        for call in (self.kill, self.wait, self.delete):
            try:
                call()
            except CallError as error:
                if error.code not in _GONE and "ttrpc: closed" not in error.text:
                    raise
        self.remove()

    def _call(self, method: str, request: Message) -> Message:
        return self._calls(f"{_TASKS}/{method}", request)


def names(calls: Calls) -> Iterator[str]:
    """The tasks that containerd knows."""
    for number, value in fields(calls.raw(f"{_TASKS}/List", {})):
        if number == 1:
            yield dict(fields(value))[2].decode()
