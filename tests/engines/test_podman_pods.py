# SPDX-License-Identifier: Apache-2.0
"""Pods: containers that join the namespaces of an infra container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.podman import IMAGE
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.podman import Podman
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "podman", "runc"), pytest.mark.slow]

_NAMESPACES = "cd /proc/self/ns; stat -L -c '%n %i' ipc net uts pid mnt user"

_KUBE = f"""
apiVersion: v1
kind: Pod
metadata:
  name: ship
spec:
  hostNetwork: true
  restartPolicy: Never
  containers:
  - name: deck
    image: {IMAGE}
    command: [sh, -c, "echo $SEA; id -u; touch /x; exec sleep 1000"]
    env: [{{name: SEA, value: deep}}]
    securityContext:
      runAsUser: 1000
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
"""


def shared_by_another(podman: Podman, runtime: Runtime, *options: str) -> set[str]:
    """The namespaces that a new container has in common with the running container `c`."""
    one = podman("exec", "c", "sh", "-c", _NAMESPACES).stdout.splitlines()
    other = podman.using(runtime, "run", "--rm", *options, IMAGE, "sh", "-c", _NAMESPACES)
    return {line.partition(" ")[0] for line in {*one} & {*other.splitlines()}}


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ((), {"ipc", "net", "uts", "user"}),
        (("--share=pid,net",), {"pid", "net", "user"}),
        (("--userns=auto:size=700",), {"ipc", "net", "uts", "user"}),
    ],
)
def test_what_a_pod_shares_is_joined(
    podman: Podman, runtime: Runtime, options: tuple[str, ...], shared: set[str]
) -> None:
    podman.using(runtime, "pod", "create", "--name=ship", "--network=none", *options)
    podman.using(runtime, "run", "--detach", "--pod=ship", "--name=c", IMAGE, "sleep", "1000")
    assert shared_by_another(podman, runtime, "--pod=ship") == shared


def test_a_pod_lives_and_ends_as_one(podman: Podman, runtime: Runtime) -> None:
    podman.using(runtime, "pod", "create", "--name=ship", "--network=none", "--hostname=deck")
    podman.using(runtime, "run", "--detach", "--pod=ship", "--name=c", IMAGE, "sleep", "1000")
    assert podman("exec", "c", "hostname").stdout == "deck\n"
    podman("pod", "pause", "ship")
    assert podman.state("c")["Status"] == "paused"
    podman("pod", "unpause", "ship")
    podman("pod", "stop", "--time=0", "ship")
    assert podman.state("c")["Status"] == "exited"
    podman("pod", "start", "ship")
    assert podman("exec", "c", "hostname").stdout == "deck\n"
    podman("pod", "rm", "--force", "--time=0", "ship")
    assert podman("ps", "--all", "--quiet").stdout == ""


def test_a_container_joins_anothers_namespaces(podman: Podman, runtime: Runtime) -> None:
    options = ("--detach", "--name=c", "--ipc=shareable", "--network=none")
    podman.using(runtime, "run", *options, IMAGE, "sleep", "1000")
    kinds = ("network", "pid", "ipc", "uts")
    join = (f"--{kind}=container:c" for kind in kinds)
    assert shared_by_another(podman, runtime, *join) == {"net", "pid", "ipc", "uts", "user"}


def test_a_kubernetes_pod_is_played_and_taken_down(
    podman: Podman, runtime: Runtime, tmp_path: Path
) -> None:
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(_KUBE)
    podman.using(runtime, "play", "kube", manifest)
    assert podman.inspect("ship-deck")["OCIRuntime"] == runtime.name
    shown = podman("exec", "ship-deck", "sh", "-c", "echo $SEA; id -u; touch /x 2>&1; true").stdout
    assert shown == "deep\n1000\ntouch: /x: Read-only file system\n"
    status = podman("exec", "ship-deck", "grep", "NoNewPrivs", "/proc/self/status").stdout
    assert status.split() == ["NoNewPrivs:", "1"]
    assert "kind: Pod" in podman("generate", "kube", "ship").stdout
    podman("play", "kube", "--down", manifest)
    assert podman("pod", "ps", "--quiet").stdout == ""
