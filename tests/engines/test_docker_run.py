# SPDX-License-Identifier: Apache-2.0
"""`docker run` and what its options make of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.docker import IMAGE
from tests.engines.runtime import EVERY_WAY
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.docker import Docker, Plugged
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "docker", "runc"), pytest.mark.slow]

#: All capabilities but one, which a machine may not have itself, and no filter.
_MOST = ("--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt", "seccomp=unconfined")


@EVERY_WAY
def test_input_and_both_outputs_pass(docker: Docker, runtime: Runtime) -> None:
    command = ("run", "--rm", "-i", "--runtime", runtime.name, IMAGE)
    result = docker(*command, "sh", "-c", "cat; echo err >&2; exit 3", stdin="in", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (3, "in", "err\n")


@pytest.mark.parametrize(
    ("options", "command", "seen"),
    [
        ((), "id -u; id -g; pwd; echo $$", "0\n0\n/\n1"),
        (("--user", "sailor"), "id -u; id -G", "1000\n1000 1001"),
        (("--user", "12:34", "--group-add", "56"), "id -u; id -G", "12\n34 56"),
        (("--workdir", "/not/there/yet"), "pwd", "/not/there/yet"),
        (("--hostname", "deck", "--env", "SEA=deep"), "hostname; echo $SEA", "deck\ndeep"),
        (
            ("--init",),
            "readlink /proc/1/exe; test $$ -gt 1 && echo child",
            "/sbin/docker-init\nchild",
        ),
        (("--read-only",), "touch /x 2>&1; echo $?", "touch: /x: Read-only file system\n1"),
        (("--read-only", "--tmpfs", "/work:size=1m"), "touch /work/x && echo $?", "0"),
        (("--tmpfs", "/work:size=64k,mode=700"), "stat -c %a /work", "700"),
        (("--cap-drop", "ALL"), "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status", None),
        (("--cap-add", "SYS_TIME", "--cap-drop", "CHOWN"), "grep Cap /proc/self/status", None),
        (("--user", "1000", "--cap-add", "SYS_TIME"), "grep Cap /proc/self/status", None),
        (
            (*_MOST, "--device", "/dev/kmsg", "--security-opt", "systempaths=unconfined"),
            "grep -E 'Cap|Seccomp' /proc/self/status; ls /dev; cat /proc/sys/kernel/osrelease",
            None,
        ),
        (("--security-opt", "no-new-privileges"), "grep NoNew /proc/self/status", None),
        (
            ("--security-opt", "seccomp=unconfined"),
            "grep Seccomp: /proc/self/status",
            "Seccomp:\t0",
        ),
        (("--pids-limit", "77"), "cat /sys/fs/cgroup/pids/pids.max", "77"),
        (("--memory", "32m"), "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "33554432"),
        (("--cpus", "0.5"), "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000"),
        (("--cpu-shares", "512"), "cat /sys/fs/cgroup/cpu/cpu.shares", "512"),
        (("--cpuset-cpus", "0"), "grep Cpus_allowed_list /proc/self/status", None),
        (("--ulimit", "nofile=55:66"), "ulimit -n; ulimit -H -n", "55\n66"),
        (("--sysctl", "net.ipv4.ip_default_ttl=33"), "cat /proc/sys/net/ipv4/ip_default_ttl", "33"),
        (("--sysctl", "kernel.shmmax=4096"), "cat /proc/sys/kernel/shmmax", "4096"),
        (("--shm-size", "1m"), "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024"),
        (("--ipc", "host", "--uts", "host"), "hostname", None),
        (("--pid", "host"), "test $$ -gt 1 && echo yes", "yes"),
        (("--cgroupns", "private"), "cat /proc/self/cgroup | cut -d: -f3 | sort -u", "/"),
        (("--cgroupns", "private"), "head -n 1 /sys/fs/cgroup/pids/cgroup.procs", "1"),
        (("--device", "/dev/kmsg:/dev/log:r"), "stat -c '%F %t:%T' /dev/log", None),
        (("--oom-score-adj", "321"), "cat /proc/self/oom_score_adj", "321"),
        (("--userns", "host"), "cat /proc/self/uid_map", None),
        (("--device-cgroup-rule", "c 42:* rmw"), "sort /sys/fs/cgroup/devices/devices.list", None),
    ],
)
def test_the_container_sees_what_it_sees_with_runc(
    plugs: list[Plugged], options: tuple[str, ...], command: str, seen: str | None
) -> None:
    outputs = [plug.run(*options, IMAGE, "sh", "-c", command).stdout for plug in plugs]
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0].strip()
    if seen is not None:
        assert outputs[0] == f"{seen}\n"


def test_the_mounts_are_those_of_runc(docker: Docker) -> None:
    """But for the order, what masks are made of, and that runc leaves /sys/fs/cgroup writable."""
    kind = '($5 ~ "^/(proc|sys/firmware)") ? "" : $(NF-2)'
    program = f'$5 != "/sys/fs/cgroup" {{print $5, substr($6, 1, 2), {kind}}}'
    command = ("awk", program, "/proc/self/mountinfo")
    outputs = [
        docker("run", "--rm", "--runtime", name, IMAGE, *command).stdout.splitlines()
        for name in ("orlop", "runc")
    ]
    assert len(outputs[0]) > 20
    assert sorted(outputs[0]) == sorted(outputs[1])


def test_a_privileged_container_is_as_privileged_as_with_runc(docker: Docker) -> None:
    """It needs all of the kernel's capabilities; where the machine lacks one, both refuse."""
    command = "grep -E 'Cap|Seccomp|NoNew' /proc/self/status; ls /dev; grep -c . /proc/mounts"
    results = [
        docker(
            *("run", "--rm", "--runtime", name, "--privileged", IMAGE, "sh", "-c", command),
            check=False,
        )
        for name in ("orlop", "runc")
    ]
    assert results[0].stdout == results[1].stdout
    assert results[0].returncode == results[1].returncode
    if results[0].returncode:
        assert "capset: Operation not permitted" in results[0].stderr
        assert "unable to apply caps: operation not permitted" in results[1].stderr


@EVERY_WAY
def test_a_profile_of_the_users_is_obeyed(docker: Docker, runtime: Runtime, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW",'
        ' "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    option = f"seccomp={profile}"
    command = "mkdir /x 2>&1; echo $?"
    shown = docker.run(runtime, "--rm", "--security-opt", option, IMAGE, "sh", "-c", command)
    assert shown == "mkdir: can't create directory '/x': Operation not permitted\n1"


@EVERY_WAY
def test_volumes_are_shared_and_kept(docker: Docker, runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from outside")
    volume = f"ship-{runtime.name}"
    mounts = ("-v", f"{volume}:/hold", "-v", f"{tmp_path}:/bind:ro")
    write = "cp /bind/given /hold/kept; touch /bind/x 2>&1"
    shown = docker.run(runtime, "--rm", *mounts, IMAGE, "sh", "-c", f"{write}; true")
    assert shown == "touch: /bind/x: Read-only file system"
    try:
        shown = docker.run(runtime, "--rm", "-v", f"{volume}:/hold", IMAGE, "cat", "/hold/kept")
    finally:
        docker("volume", "rm", volume)
    assert shown == "from outside"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["given"]
