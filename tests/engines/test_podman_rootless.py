# SPDX-License-Identifier: Apache-2.0
"""Podman of an unprivileged user.

On cgroup v1 it gives containers no cgroup and ignores limits, whatever the runtime: no pause, no
stats. What remains is tried with both runtimes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.client import Terminal
from tests.engines.podman import IMAGE
from tests.engines.runtime import orlop, runc
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.engines.podman import PodmanRootless
    from tests.engines.runtime import Runtime

pytestmark = [
    requires("root", "rootless", "podman", "runc", "newuidmap", "slirp4netns"),
    pytest.mark.slow,
]

_IDS = "cat /proc/self/uid_map /proc/self/gid_map; id; touch /tmp/x; stat -c %u:%g /tmp/x"


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ("", _IDS),
        ("--user=sailor", "id; pwd; grep Cap /proc/self/status"),
        ("--userns=keep-id", _IDS),
        ("--userns=auto:size=500", _IDS),
        ("--uidmap=0:1:100 --gidmap=0:1:100", _IDS),
        ("--network=host", "ls /sys/class/net; cat /proc/net/route"),
        ("--network=slirp4netns", "ip -4 -o address; ip route"),
        ("--privileged", "grep Cap /proc/self/status; mount -t tmpfs x /tmp && echo mounted"),
        ("--read-only --init --hostname=deck", "hostname; touch /x 2>&1; cat /proc/1/comm"),
        ("--security-opt=no-new-privileges", "grep -E 'NoNew|Seccomp:' /proc/self/status"),
        ("--tmpfs=/work:mode=700,size=64k", "stat -c %a /work; grep ' /work ' /proc/mounts"),
        ("--ulimit=nofile=55:66", "ulimit -n; ulimit -H -n"),
    ],
)
def test_the_container_sees_what_it_sees_with_runc(
    rootless_podman: PodmanRootless, options: str, command: str
) -> None:
    network = () if "--network" in options else ("--network=none",)
    argv = ("run", "--rm", *network, *options.split(), IMAGE, "sh", "-c", command)
    outputs = [rootless_podman.using(each, *argv) for each in (orlop(), runc())]
    assert outputs[0] == outputs[1]
    assert outputs[0].strip()


@pytest.mark.parametrize(
    ("command", "status"),
    [("nope", 127), ("/nope", 127), ("/bin/no-permission", 126), ("/bin", 126), ("false", 1)],
)
def test_a_command_that_can_not_run_gives_the_status_of_runc(
    rootless_podman: PodmanRootless, command: str, status: int
) -> None:
    for each in (orlop(), runc()):
        run = ("--runtime", each.name, "run", "--rm", "--network=none", IMAGE, command)
        assert rootless_podman(*run, check=False).returncode == status


def test_a_container_lives(rootless_podman: PodmanRootless, runtime: Runtime) -> None:
    podman = rootless_podman
    script = "trap 'echo told; exit 7' TERM; echo out; sleep 1000 & while :; do wait; done"
    options = ("--detach", "--name=c", "--network=none", "--memory=32m")
    podman.using(runtime, "run", *options, IMAGE, "sh", "-c", script)
    result = podman("exec", "c", "sh", "-c", "echo inside; exit 4", check=False)
    assert (result.returncode, result.stdout) == (4, "inside\n")
    assert podman("exec", "--user=sailor", "c", "id", "-G").stdout == "1000 1001\n"
    assert podman("exec", "c", "nope", check=False).returncode == 127
    assert "sleep" in podman("top", "c", "pid", "huser", "args").stdout
    podman("stop", "c")
    assert podman("wait", "c").stdout == "7\n"
    assert podman("logs", "c").stdout == "out\ntold\n"
    podman("start", "c")
    podman("kill", "c")
    assert podman("wait", "c").stdout == "137\n"
    podman("start", "c")
    podman("rm", "--force", "--time=0", "c")


def test_at_a_terminal_it_is_interactive(rootless_podman: PodmanRootless, runtime: Runtime) -> None:
    run = ("--runtime", runtime.name, "run", "-it", "--rm", "--network=none", IMAGE, "sh")
    with Terminal(rootless_podman.client(*run)) as terminal:
        terminal.until("# ")
        terminal.type("tty; exit 5\n")
        terminal.until("/dev/pts/0")
        assert terminal.end()[0] == 5


def test_the_containers_of_a_pod_share_its_network(
    rootless_podman: PodmanRootless, runtime: Runtime
) -> None:
    podman = rootless_podman
    podman.using(runtime, "pod", "create", "--name=ship", "--network=none")
    inode = ("stat", "-L", "-c", "%i", "/proc/self/ns/net")
    podman.using(runtime, "run", "--detach", "--pod=ship", "--name=c", IMAGE, "sleep", "1000")
    one = podman("exec", "c", *inode).stdout
    other = podman.using(runtime, "run", "--rm", "--pod=ship", IMAGE, *inode)
    assert f"{other}\n" == one
    podman("pod", "rm", "--force", "--time=0", "ship")
