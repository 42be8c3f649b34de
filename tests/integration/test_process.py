# SPDX-License-Identifier: Apache-2.0
"""The container's process: its signals, streams, arguments, user, limits and names."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container


pytestmark = requires("root")

beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise")


# Signals


@pytest.fixture
def spoiled_signals() -> Iterator[None]:
    """Ignored and blocked signals that a careless caller hands down."""
    ignored = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGUSR1, signal.SIGTERM)}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGRTMIN])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for number, handler in ignored.items():
        signal.signal(number, handler)


CLEAN = {"SigPnd": "0" * 16, "ShdPnd": "0" * 16, "SigBlk": "0" * 16, "SigIgn": "0" * 16}


@beyond_runc
@pytest.mark.usefixtures("spoiled_signals")
def test_no_signal_is_ignored_or_blocked(run_probe: RunProbe) -> None:
    assert probe.facts(run_probe("signals")).items() >= CLEAN.items()


@beyond_runc
@pytest.mark.usefixtures("spoiled_signals")
def test_no_signal_is_ignored_or_blocked_in_exec(container: Container) -> None:
    started(container)
    assert probe.facts(container.exec("signals").stdout).items() >= CLEAN.items()


# Standard streams


def test_the_user_can_open_its_stdout_again(container: Container) -> None:
    """Log files that are links to /dev/stdout: only a pipe's owner may open it."""
    container.bundle.process["user"] = {"uid": 1000, "gid": 1000}
    container.bundle.args("write", "/proc/self/fd/1", "through the link")
    container.run_detached()
    assert container.output() == "through the link"


def test_the_user_of_an_exec_can_open_its_stdout_again(container: Container) -> None:
    started(container)
    program = ("/bin/probe", "write", "/dev/stdout", "text")
    result = container.cli("exec", "--user", "1000:1000", container.id, *program)
    assert result.stdout == "text"


def test_the_hosts_dev_null_stays_roots(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    run_probe("true")
    assert os.stat("/dev/null").st_uid == 0


# Program, arguments, environment, working directory


def test_arguments_arrive_as_they_are(run_probe: RunProbe) -> None:
    words = ["two words", "", "ünïcode", "$HOME `id` *", "'\"\\", "-x"]
    assert run_probe("args", *words).splitlines() == ["args", *words]


def test_the_program_is_found_on_the_path_of_its_own_environment(
    container: Container,
) -> None:
    container.bundle.process.update(args=["probe", "true"], env=["PATH=/nowhere:/bin"])
    assert container.run().returncode == 0


def test_the_environment_is_the_configurations(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["env"] = ["PATH=/bin", "A=one two", "EMPTY=", "HOME=/work", "E=a=b"]
    assert sorted(run_probe("env").splitlines()) == sorted(bundle.process["env"])


@pytest.mark.parametrize(("uid", "home"), [(0, "/root-of-image"), (1000, "/home/user"), (7, "/")])
def test_home_is_that_of_the_user_where_it_is_not_set(
    run_probe: RunProbe, bundle: Bundle, uid: int, home: str
) -> None:
    """Engines leave it to the runtime, as runc and crun do it: by the image's passwd(5)."""
    accounts = "root:x:0:0::/root-of-image:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
    (bundle.rootfs / "etc" / "passwd").write_text(accounts)
    bundle.process["user"] = {"uid": uid, "gid": uid}
    bundle.process["env"] = ["PATH=/bin"]
    assert run_probe("env", "HOME") == f"{home}\n"


def test_of_two_values_the_later_one_holds(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["env"] = ["PATH=/bin", "A=first", "A=second"]
    assert run_probe("env", "A") == "second\n"


def test_a_variable_of_exec_replaces_the_containers(container: Container) -> None:
    container.bundle.process["env"].append("A=container")
    started(container)
    program = ("/bin/probe", "env", "A")
    assert container.cli("exec", "-e", "A=exec", container.id, *program).stdout == "exec\n"


def test_the_working_directory_is_entered(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/work"
    assert run_probe("cwd") == "/work\n"


@pytest.mark.parametrize("fd", [0, 1, 3, 5, 7, 9, 11])
def test_a_working_directory_outside_is_refused(container: Container, fd: int) -> None:
    """CVE-2024-21626: /proc/self/fd/N of a directory that the runtime left open."""
    container.bundle.process["cwd"] = f"/proc/self/fd/{fd}"
    container.bundle.args("ls", ".")
    result = container.run(check=False)
    assert result.returncode == 1
    assert result.stdout == ""


@pytest.mark.parametrize("fd", [3, 5, 7, 9, 11])
def test_a_working_directory_outside_is_refused_to_exec(container: Container, fd: int) -> None:
    started(container)
    program = ("/bin/probe", "ls", ".")
    cwd = f"/proc/self/fd/{fd}"
    result = container.cli("exec", "--cwd", cwd, container.id, *program, check=False)
    assert result.returncode in (1, 255)
    assert result.stdout == ""


def test_a_working_directory_that_is_a_file_is_refused(container: Container) -> None:
    (container.bundle.rootfs / "work" / "file").write_text("")
    container.bundle.process["cwd"] = "/work/file"
    result = container.run(check=False)
    assert result.returncode == 1
    assert "not a directory" in result.stderr.lower()


def test_a_working_directory_of_the_user_alone_is_entered(
    run_probe: RunProbe, bundle: Bundle
) -> None:
    (bundle.rootfs / "work").chmod(0o700)
    os.chown(bundle.rootfs / "work", 1000, 1000)
    bundle.process.update(user={"uid": 1000, "gid": 1000}, cwd="/work")
    assert run_probe("cwd") == "/work\n"


# User


def test_user_and_groups_are_the_configurations(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 2000, "additionalGids": [5, 3000, 60000]}
    ids = {"uid": "1000", "euid": "1000", "gid": "2000", "egid": "2000"}
    assert probe.facts(run_probe("id")) == {**ids, "groups": "5 3000 60000"}


@pytest.fixture
def callers_groups() -> Iterator[None]:
    """Supplementary groups of the caller."""
    before = os.getgroups()
    os.setgroups([4321])
    yield
    os.setgroups(before)


@pytest.mark.usefixtures("callers_groups")
@pytest.mark.parametrize("uid", [0, 1000])
def test_the_callers_groups_are_given_up(run_probe: RunProbe, bundle: Bundle, uid: int) -> None:
    bundle.process["user"] = {"uid": uid, "gid": 0}
    assert probe.facts(run_probe("id"))["groups"] == ""


@pytest.mark.parametrize(("umask", "expected"), [(None, "0022"), (0o027, "0027"), (0, "0000")])
def test_the_umask_is_set(
    run_probe: RunProbe, bundle: Bundle, umask: int | None, expected: str
) -> None:
    if umask is not None:
        bundle.process["user"]["umask"] = umask
    assert run_probe("umask") == f"{expected}\n"


# Limits


def test_all_resource_limits_are_set(run_probe: RunProbe, bundle: Bundle) -> None:
    limits = {
        "AS": 1 << 34, "CORE": 0, "CPU": 1000, "DATA": 1 << 33, "FSIZE": 1 << 30, "LOCKS": 500,
        "MEMLOCK": 65536, "MSGQUEUE": 100000, "NICE": 0, "NOFILE": 200, "NPROC": 9000,
        "RSS": 1 << 32, "RTPRIO": 0, "RTTIME": 1 << 30, "SIGPENDING": 700, "STACK": 1 << 22,
    }  # fmt: skip
    soft = {name: value // 2 for name, value in limits.items()}
    bundle.process["rlimits"] = [
        {"type": f"RLIMIT_{name}", "soft": soft[name], "hard": hard}
        for name, hard in limits.items()
    ]
    expected = {f"RLIMIT_{name}": f"{soft[name]} {hard}" for name, hard in limits.items()}
    assert probe.facts(run_probe("rlimits")) == expected


def test_a_limit_may_be_unlimited(run_probe: RunProbe, bundle: Bundle) -> None:
    infinity = 2**64 - 1
    bundle.process["rlimits"] = [{"type": "RLIMIT_CPU", "soft": 100, "hard": infinity}]
    assert probe.facts(run_probe("rlimits"))["RLIMIT_CPU"] == "100 -1"


@beyond_runc
def test_exec_has_the_containers_limits(container: Container) -> None:
    container.bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]
    started(container)
    assert probe.facts(container.exec("rlimits").stdout)["RLIMIT_NOFILE"] == "77 88"


def test_the_oom_score_is_set(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["oomScoreAdj"] = 345
    assert run_probe("oom_score_adj") == "345\n"


# Names and sysctls


@beyond_runc
def test_host_and_domain_name_are_the_containers(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.spec.update(hostname="inside", domainname="example.org")
    before = os.uname().nodename
    assert run_probe("hostname", "--", "domainname").split() == ["inside", "example.org"]
    assert os.uname().nodename == before != "inside"


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("net.ipv4.ip_unprivileged_port_start", ("80", "81")),
        ("net/ipv4/conf/lo/forwarding", ("1", "0")),
        ("kernel.msgmax", ("4321", "4322")),
        ("fs.mqueue.msg_max", ("17", "18")),
    ],
)
def test_a_sysctl_of_the_containers_namespaces_is_set(
    run_probe: RunProbe, bundle: Bundle, key: str, values: tuple[str, str]
) -> None:
    file = Path("/proc/sys", key if "/" in key else key.replace(".", "/"))
    host = file.read_text()
    value = next(value for value in values if f"{value}\n" != host)
    bundle.linux["sysctl"] = {key: value}
    assert run_probe("cat", str(file)) == f"{value}\n"
    assert file.read_text() == host


@pytest.mark.parametrize("key", ["kernel.panic", "vm.swappiness", "fs.file-max"])
def test_a_sysctl_of_the_host_is_refused(container: Container, key: str) -> None:
    container.bundle.linux["sysctl"] = {key: Path("/proc/sys", *key.split(".")).read_text()}
    result = container.run(check=False)
    assert result.returncode == 1
    assert key in result.stderr


def test_a_sysctl_without_its_namespace_is_refused(container: Container) -> None:
    container.bundle.drop_namespace("network")
    container.bundle.linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "80"}
    result = container.run(check=False)
    assert result.returncode == 1
    assert "net.ipv4.ip_unprivileged_port_start" in result.stderr
