# SPDX-License-Identifier: Apache-2.0
"""`podman run` and what its options make of a container, as root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.client import Lines
from tests.engines.podman import IMAGE
from tests.engines.runtime import orlop, runc
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.podman import Podman
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "podman", "runc"), pytest.mark.slow]

_STATUS = "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status"
_IDS = "cat /proc/self/uid_map /proc/self/gid_map; id; touch /x; stat -c %u:%g /x"


def same_with_both(podman: Podman, *argv: str) -> str:
    """What `podman run argv...` writes to stdout with orlop, and with runc as well."""
    outputs = [
        podman("--runtime", each.name, "run", "--rm", *argv).stdout for each in (orlop(), runc())
    ]
    assert outputs[0] == outputs[1]
    return outputs[0]


@pytest.mark.parametrize(
    ("options", "command", "seen"),
    [
        ("--user sailor --workdir /home", "id -u; id -G; pwd", "1000\n1000 1001\n/home"),
        ("--user 12:34 --group-add 56 --umask 077", "id -u; id -G; umask", "12\n34 56\n0077"),
        ("--hostname deck --env SEA=deep", "hostname; echo $SEA", "deck\ndeep"),
        ("--init", "tr '\\0' ' ' </proc/1/cmdline; ps -o pid,args | wc -l", None),
        ("--read-only", "touch /x 2>&1; touch /tmp/x /run/x /dev/shm/x && echo ok", None),
        ("--read-only --read-only-tmpfs=false", "touch /tmp/x 2>&1 || echo no", None),
        ("", _STATUS, None),
        ("--cap-drop all --cap-add net_raw", _STATUS, None),
        ("--user sailor --cap-add sys_time --security-opt no-new-privileges", _STATUS, None),
        ("--privileged", f"{_STATUS}; ls /dev; mount -t tmpfs x /mnt 2>&1 || echo no", None),
        ("--security-opt seccomp=unconfined", f"{_STATUS} | tail -1", "Seccomp:\t0"),
        ("--ulimit=nofile=55:66 --ulimit=nproc=9:9", "ulimit -n; ulimit -H -n", "55\n66"),
        ("--oom-score-adj 321", "cat /proc/self/oom_score_adj", "321"),
        (
            "--sysctl kernel.shmmax=4096 --shm-size 1m",
            "cat /proc/sys/kernel/shmmax; df /dev/shm",
            None,
        ),
        (
            "--ipc host --uts host --pid host --userns host --cgroupns host",
            "cd /proc/self/ns; stat -L -c %i ipc uts pid user cgroup",
            None,
        ),
        (
            "--tmpfs /work:size=64k,mode=700,noexec",
            "stat -c %a /work; grep ' /work ' /proc/mounts",
            None,
        ),
        ("--mount type=tmpfs,dst=/work,tmpfs-size=64k", "grep ' /work ' /proc/mounts", None),
        ("--device /dev/null:/dev/hole:r", "stat -c '%F %t:%T' /dev/hole", None),
        ("--uidmap 0:100000:65536", _IDS, None),
        ("--userns auto:size=700", _IDS, None),
        (
            "--security-opt mask=/etc/group --security-opt unmask=ALL",
            "cat /etc/group; ls /proc",
            None,
        ),
        ("--cgroups no-conmon", "cut -d: -f3 /proc/self/cgroup | cut -c-21 | sort -u", None),
    ],
)
def test_the_container_sees_what_it_sees_with_runc(
    podman: Podman, options: str, command: str, seen: str | None
) -> None:
    network = "--network=none"
    shown = same_with_both(podman, network, *options.split(), IMAGE, "sh", "-c", command)
    assert shown.strip()
    assert seen is None or shown == f"{seen}\n"


@requires("cgroup1")
@pytest.mark.parametrize(
    ("options", "files", "seen"),
    [
        (["--pids-limit=77"], "pids/pids.max", "77"),
        (["--memory=32m"], "memory/memory.limit_in_bytes", "33554432"),
        (["--memory=32m", "--memory-swap=64m"], "memory/memory.memsw.limit_in_bytes", "67108864"),
        (["--cpus=0.5", "--cpu-shares=512"], "cpu/cpu.cfs_quota_us cpu/cpu.shares", "50000\n512"),
        (["--cpuset-cpus=0"], "cpuset/cpuset.cpus", "0"),
        (["--device-cgroup-rule=c 42:* rmw"], "devices/devices.list | sort", None),
    ],
)
def test_limits_are_in_the_cgroup(
    podman: Podman, options: list[str], files: str, seen: str | None
) -> None:
    shown = same_with_both(podman, *options, IMAGE, "sh", "-c", f"cd /sys/fs/cgroup; cat {files}")
    assert seen is None or shown == f"{seen}\n"


def comparable(lines: list[str]) -> list[str]:
    """Targets with options; of masks only whether they can be written.

    runc 1.1 leaves the directory of the cgroup hierarchies writable, though `ro` is asked for.
    """
    found = []
    for target, options in (line.split() for line in lines if "/sys/fs/cgroup " not in line):
        mask = target.startswith(("/proc/", "/sys/"))
        found.append(f"{target} {options.split(',')[0] if mask else options}")
    return sorted(found)


def test_the_mounts_are_those_of_runc(podman: Podman) -> None:
    """But for the order in which masks are laid, and what kind of mounts these are."""
    columns = ("awk", "{print $5, $6}", "/proc/self/mountinfo")
    run = ("run", "--rm", IMAGE, *columns)
    outputs = [podman.using(each, *run).splitlines() for each in (orlop(), runc())]
    assert comparable(outputs[0]) == comparable(outputs[1])


def test_input_and_both_outputs_pass(podman: Podman, runtime: Runtime) -> None:
    command = ("--runtime", runtime.name, "run", "--rm", "-i", "--network=none", IMAGE)
    result = podman(*command, "sh", "-c", "cat; echo err >&2; exit 3", stdin="in", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (3, "in", "err\n")


def test_the_runtime_may_be_given_by_its_path(podman: Podman) -> None:
    result = podman("--runtime", orlop().path, "run", "--rm", "--network=none", IMAGE, "id", "-u")
    assert result.stdout == "0\n"


def test_a_profile_of_the_users_is_obeyed(podman: Podman, runtime: Runtime, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW",'
        ' "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    option = f"--security-opt=seccomp={profile}"
    command = ("run", "--rm", "--network=none", option, IMAGE, "mkdir", "/x")
    result = podman("--runtime", runtime.name, *command, check=False)
    assert result.stderr == "mkdir: can't create directory '/x': Operation not permitted\n"


def test_volumes_are_shared_and_kept(podman: Podman, runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from outside")
    run = ("run", "--rm", "--network=none", "--volume=hold:/hold")
    bind = f"--mount=type=bind,src={tmp_path},dst=/bind,ro,bind-propagation=rslave"
    write = "cp /bind/given /hold/kept; touch /bind/x 2>&1; grep -o master: /proc/self/mountinfo"
    try:
        shown = podman.using(runtime, *run, bind, IMAGE, "sh", "-c", write, check=False)
        kept = podman.using(runtime, *run, IMAGE, "cat", "/hold/kept")
    finally:
        podman("volume", "rm", "--force", "hold")
    assert shown.startswith("touch: /bind/x: Read-only file system")
    assert kept == "from outside"
    assert [entry.name for entry in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize("network", ["none", "host", "bridge"])
def test_it_is_in_the_network_that_was_asked_for(podman: Podman, network: str) -> None:
    """A bridge numbers its containers; on `host`, the room's network is the host's."""
    links = "ls /sys/class/net; ip -4 -o address | sed 's/[0-9.]*\\///'; ip route | cut -d' ' -f1"
    shown = same_with_both(podman, f"--network={network}", IMAGE, "sh", "-c", links)
    assert ("eth0" in shown) == (network == "bridge")


def test_containers_on_a_bridge_reach_each_other_and_the_host_reaches_them(
    podman: Podman, runtime: Runtime
) -> None:
    options = ("--detach", "--name=server", "--publish=8080:80")
    server = "httpd -p 80 -h /etc; echo ready; exec sleep 1000"
    podman.using(runtime, "run", *options, IMAGE, "sh", "-c", server)
    with Lines(podman.client("logs", "--follow", "server")) as logs:
        logs.until("ready")
    address = podman.inspect("server")["NetworkSettings"]["IPAddress"]
    fetch = ("wget", "-q", "-O", "-")
    other = podman.using(runtime, "run", "--rm", IMAGE, *fetch, f"http://{address}/passwd")
    assert other.startswith("root:x:0:0:")
    host = podman.room.run("busybox", *fetch, "http://127.0.0.1:8080/passwd")
    assert host.stdout.startswith("root:x:0:0:")


@requires("cgroup1")
def test_running_out_of_memory_is_told_as_with_runc(podman: Podman) -> None:
    """conmon 2.1 finds the event late or not at all on cgroup v1: the status is what counts."""
    states = []
    for each in (orlop(), runc()):
        run = ("run", f"--name=hungry-{each.name}", "--network=none", "--memory=20m")
        eat = "exec tail -c 100m </dev/zero"
        podman.using(each, *run, "--memory-swap=20m", IMAGE, "sh", "-c", eat, check=False)
        state = podman.state(f"hungry-{each.name}")
        states.append((state["Status"], state["ExitCode"]))
    assert states == [("exited", 137)] * 2
