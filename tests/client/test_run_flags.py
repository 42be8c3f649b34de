# SPDX-License-Identifier: Apache-2.0
"""Every flag of `orlopctl run` and `create`, on a container that shows what it does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orlopctl import processes
from tests.support import hierarchies

if TYPE_CHECKING:
    import orlop
    from tests.client.command import Orlopctl
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]

PROBE = "/bin/probe"
#: Of the flags of a program in the foreground: the words, the probe's, and a line that it prints.
PRINTED: dict[str, tuple[str, str, str]] = {
    "env": ("-e A=b --env C=d", "env", "C=d"),
    "workdir": ("--workdir /bin", "cwd", "/bin"),
    "user": ("--user 7:8", "id", "gid 8"),
    "volume": ("--volume {made}:/work:ro", "cat /work/said", "said"),
    "mount": ("--mount type=bind,src={made},dst=/work", "cat /work/said", "said"),
    "hostname": ("--hostname deck", "hostname", "deck"),
    "read-only": ("--read-only", "mkdir /made", "probe: mkdir: /made: Read-only file system"),
    "network": ("--network host", "ns", "{net}"),
    "cap-add": ("--cap-add SYS_TIME", "caps", "CapEff 00000000aa0425fb"),
    "cap-drop": ("--cap-drop CHOWN", "caps", "CapEff 00000000a80425fa"),
    "seccomp": ("--seccomp unconfined", "cat /proc/self/status", "Seccomp:\t0"),
    "cpuset-cpus": ("--cpuset-cpus 0", "cat /proc/self/status", "Cpus_allowed_list:\t0"),
    "rm": ("--rm", "cwd", "/"),
}
#: Tried by tests below, and in test_terminal.py.
SHOWN = {
    *("name", "label", "annotation", "key", "memory", "memory-swap", "cpus", "cpu-shares"),
    *("pids-limit", "restart", "health-cmd", "health-interval", "health-timeout"),
    *("health-retries", "health-start-period", "detach", "bundle"),
}
AT_A_TERMINAL = {"interactive", "tty", "detach-keys"}


def test_every_flag_is_tried() -> None:
    flags = [flag.name for verb in ("run", "create") for flag in processes.VERBS[verb].flags]
    assert set(flags) - {"help", "json"} == {*PRINTED, *SHOWN, *AT_A_TERMINAL}


@pytest.mark.parametrize("flag", PRINTED)
def test_the_program_sees_it(orlopctl: Orlopctl, bundle: Bundle, tmp_path: Path, flag: str) -> None:
    (tmp_path / "said").write_text("said\n")
    given, asked, line = PRINTED[flag]
    names = {"made": tmp_path, "net": os.readlink("/proc/self/ns/net")}
    words = given.format(**names).split()
    result = orlopctl("run", *words, bundle.rootfs, PROBE, *asked.split())
    assert line.format(**names) in (result.stdout + result.stderr).splitlines()
    assert (orlopctl.does("ps", "-aq") == "") == (flag == "rm")


def limit_of(pid: int, controller: str, *names: str) -> str:
    """A file of the process's cgroup, by its name on cgroup v1 or on v2."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            directory = hierarchies.directory(controller, path)
            for name in names:
                if (directory / name).exists():
                    return (directory / name).read_text().strip()
    raise FileNotFoundError(names)


def test_limits_are_the_kernels(orlopctl: Orlopctl, bundle: Bundle) -> None:
    orlopctl.does(
        *("create", "--name", "a", "--memory", "64m", "--memory-swap", "64m", "--cpus", "1.5"),
        *("--cpu-shares", "512", "--pids-limit", "9", bundle.rootfs, PROBE, "sleep"),
    )
    pid = json.loads(orlopctl.does("inspect", "a"))["pid"]
    assert limit_of(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    swap = limit_of(pid, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max")
    assert swap in (str(64 << 20), "0")  # on v1 with the memory, on v2 beside it
    assert limit_of(pid, "cpu", "cpu.cfs_quota_us", "cpu.max") in ("150000", "150000 100000")
    assert limit_of(pid, "cpu", "cpu.shares", "cpu.weight") != limit_of(
        os.getpid(), "cpu", "cpu.shares", "cpu.weight"
    )
    assert limit_of(pid, "pids", "pids.max") == "9"


def test_names_labels_annotations_and_keys(orlopctl: Orlopctl, bundle: Bundle) -> None:
    words = ("create", "--name", "a", "--label", "x=y", "--annotation", "of=tests", "--key", "k")
    for _ in range(2):
        assert orlopctl.does(*words, bundle.rootfs, PROBE, "sleep") == ""
    found = json.loads(orlopctl.does("inspect", "a"))
    assert (found["labels"], found["annotations"]) == ({"x": "y"}, {"of": "tests"})
    again = orlopctl("create", "--name", "a", "--key", "other", bundle.rootfs, PROBE, "sleep")
    assert (again.returncode, "in use" in again.stderr) == (125, True)


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        ("no", {"policy": "no", "maximum": 0, "count": 0}),
        ("on-failure:2", {"policy": "on-failure", "maximum": 2, "count": 2}),
    ],
)
def test_a_restart_policy_is_kept_to(
    orlopctl: Orlopctl, client: orlop.Client, bundle: Bundle, policy: str, shown: object
) -> None:
    restarts = shown["count"] if isinstance(shown, dict) else 0
    with client.events(since=0, topics=["exit"]) as events:
        orlopctl.does("run", "-d", "--name", "a", "--restart", policy, bundle.rootfs, PROBE,
                      "exit", "3")  # fmt: skip
        for _ in range(1 + restarts):
            assert next(events).data["exitStatus"] == 3
    found = json.loads(orlopctl.does("inspect", "a"))
    assert (found["status"], found["restart"]) == ("stopped", shown)


def test_always_is_always(orlopctl: Orlopctl, client: orlop.Client, bundle: Bundle) -> None:
    with client.events(since=0, topics=["start"]) as events:
        orlopctl.does("run", "--detach", "--name", "a", "--restart", "always", bundle.rootfs,
                      PROBE, "true")  # fmt: skip
        for _ in range(3):
            next(events)
    orlopctl.does("rm", "-f", "a")


def test_health_is_what_the_command_says(
    orlopctl: Orlopctl, client: orlop.Client, bundle: Bundle
) -> None:
    shell = bundle.rootfs / "bin" / "sh"
    os.link(bundle.rootfs / "bin" / "probe", shell)
    with client.events(since=0, topics=["health"]) as events:
        # the probe as a shell: -c is no fact that it knows, so that it fails
        orlopctl.does(
            *("run", "-d", "--name", "a", "--health-interval", "20ms", "--health-timeout", "30s"),
            *("--health-retries", "2", "--health-start-period", "0s", "--health-cmd", "true"),
            *(bundle.rootfs, PROBE, "sleep"),
        )
        assert next(events).data == {"status": "unhealthy", "failures": 2}
    assert json.loads(orlopctl.does("inspect", "a"))["health"]["status"] == "unhealthy"
