# SPDX-License-Identifier: Apache-2.0
"""Seccomp filters at work: what the kernel answers to the container's program."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.running import started
from tests.support.waiting import readable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container

beyond_runc = pytest.mark.skipif(
    not is_orlop(), reason="runc 1.1 loads the filter earlier, or can't without no_new_privs here"
)
pytestmark = requires("root")

#: Numbers of system calls that the probe itself has no use for.
GETPPID, GETPRIORITY = {"x86_64": ("110", "140"), "aarch64": ("173", "141")}[platform.machine()]
#: What a static program needs to start, write a line and end.
PLAIN = [
    "arch_prctl", "brk", "execve", "exit_group", "fstat", "getrandom", "ioctl", "mprotect",
    "newfstatat", "prlimit64", "readlink", "readlinkat", "rseq", "set_robust_list",
    "set_tid_address", "uname", "write",
]  # fmt: skip


def rule(action: str, *names: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more}


def set_filter(bundle: Bundle, default: str, *rules: dict[str, Any], **more: Any) -> None:  # noqa: ANN401 - JSON
    """`linux.seccomp` with this default action."""
    profile = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **more}
    bundle.linux["seccomp"] = profile


def test_a_refused_call_fails_with_the_error_asked_for(run_probe: RunProbe, bundle: Bundle) -> None:
    set_filter(bundle, "ALLOW", rule("ERRNO", "getppid", errnoRet=28))
    assert run_probe("syscall", GETPPID) == "ENOSPC\n"


def test_a_refused_call_fails_with_eperm_otherwise(run_probe: RunProbe, bundle: Bundle) -> None:
    set_filter(bundle, "ALLOW", rule("ERRNO", "getppid"))
    assert run_probe("syscall", GETPPID) == "EPERM\n"


def test_a_call_without_a_rule_gets_the_default(run_probe: RunProbe, bundle: Bundle) -> None:
    set_filter(bundle, "ALLOW", rule("ERRNO", "getpriority"))
    assert run_probe("syscall", GETPPID) == "0\n"


@beyond_runc
def test_a_list_of_what_is_allowed_needs_no_call_of_the_runtimes(
    run_probe: RunProbe, bundle: Bundle
) -> None:
    """The filter is loaded last: it must allow execve(2), and what the program itself does."""
    set_filter(bundle, "ERRNO", rule("ALLOW", *PLAIN), defaultErrnoRet=5)
    assert run_probe("syscall", GETPPID) == "EIO\n"


@beyond_runc
def test_without_no_new_privileges_the_list_needs_capset_alone(
    run_probe: RunProbe, bundle: Bundle
) -> None:
    """The capability that loading took is given up behind the filter."""
    bundle.process["noNewPrivileges"] = False
    set_filter(bundle, "ERRNO", rule("ALLOW", *PLAIN, "capset"), defaultErrnoRet=5)
    assert run_probe("syscall", GETPPID) == "EIO\n"


@beyond_runc
def test_a_profile_that_refuses_execve_is_named(container: Container) -> None:
    names = [name for name in PLAIN if name != "execve"]
    set_filter(container.bundle, "ERRNO", rule("ALLOW", *names))
    container.create()
    result = container.start(check=False)
    assert result.returncode == 1
    assert "exec" in result.stderr
    assert "operation not permitted" in result.stderr.lower()


@beyond_runc
def test_an_init_that_may_not_even_exit_ends_all_the_same(container: Container) -> None:
    """Its last resort is a signal that ends the init of a pid namespace too."""
    names = [name for name in PLAIN if name not in ("execve", "exit_group")]
    set_filter(container.bundle, "ERRNO", rule("ALLOW", *names))
    container.create()
    assert container.start(check=False).returncode == 1
    container.wait()
    assert container.status == "stopped"


def test_rules_look_at_arguments(run_probe: RunProbe, bundle: Bundle) -> None:
    """getpriority(PRIO_PGRP = 1) alone."""
    argument = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
    set_filter(bundle, "ALLOW", rule("ERRNO", "getpriority", args=[argument]))
    answers = run_probe("syscall", GETPRIORITY, "0", "--", "syscall", GETPRIORITY, "1")
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    assert answers.splitlines() == [str(20 - nice), "EPERM"]


@pytest.mark.parametrize("action", ["KILL", "KILL_PROCESS", "KILL_THREAD"])
def test_a_deadly_call_ends_the_program(container: Container, action: str) -> None:
    set_filter(container.bundle, "ALLOW", rule(action, "getppid"))
    container.bundle.args("hostname", "--", "syscall", GETPPID, "--", "hostname")
    result = container.run(check=False)
    assert result.returncode == 128 + signal.SIGSYS
    assert "probe" not in result.stderr


def test_a_trapped_call_is_a_signal(container: Container) -> None:
    set_filter(container.bundle, "ALLOW", rule("TRAP", "getppid"))
    container.bundle.args("syscall", GETPPID)
    assert container.run(check=False).returncode == 128 + signal.SIGSYS


@beyond_runc
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("nnp", [True, False])
def test_a_filter_goes_with_and_without_no_new_privileges(
    run_probe: RunProbe,
    bundle: Bundle,
    uid: int,
    nnp: bool,  # noqa: FBT001
) -> None:
    """Without it loading takes CAP_SYS_ADMIN (seccomp(2)), which the program must not have."""
    bundle.process.update(user={"uid": uid, "gid": uid}, noNewPrivileges=nnp)
    set_filter(bundle, "ALLOW", rule("ERRNO", "getppid"))
    facts = probe.facts(run_probe("caps"))
    assert (facts["Seccomp"], facts["NoNewPrivs"]) == ("2", str(int(nnp)))
    held = [int(facts[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    assert not any(caps >> 21 & 1 for caps in held)


@beyond_runc
@pytest.mark.parametrize("nnp", [True, False])
def test_the_filter_holds_for_exec(container: Container, nnp: bool) -> None:  # noqa: FBT001
    container.bundle.process["noNewPrivileges"] = nnp
    set_filter(container.bundle, "ALLOW", rule("ERRNO", "getppid", errnoRet=28))
    started(container)
    assert container.exec("syscall", GETPPID).stdout == "ENOSPC\n"


def test_a_filter_in_a_user_namespace_is_loaded(run_probe: RunProbe, bundle: Bundle) -> None:
    mapping = {"containerID": 0, "hostID": 0, "size": 100}
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=[mapping], gidMappings=[mapping])
    set_filter(bundle, "ALLOW", rule("ERRNO", "getppid"))
    assert run_probe("syscall", GETPPID) == "EPERM\n"


def test_names_that_nobody_knows_are_skipped(run_probe: RunProbe, bundle: Bundle) -> None:
    """Engines' profiles name calls of newer kernels."""
    set_filter(bundle, "ALLOW", rule("ERRNO", "not_a_call_yet", "getppid"))
    assert run_probe("syscall", GETPPID) == "EPERM\n"


def test_an_agent_gets_the_listener_and_the_state(container: Container, tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    set_filter(
        container.bundle,
        "ALLOW",
        rule("NOTIFY", "getppid"),
        listenerPath=str(path),
        listenerMetadata="for the agent",
    )
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen(1)
        container.create()
        readable(agent.fileno(), 20, "the runtime to connect")
        connection, _ = agent.accept()
        with connection:
            message, fds, _, _ = socket.recv_fds(connection, 65536, 4)
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
    for fd in fds:
        os.close(fd)
    said = json.loads(message)
    assert links == ["anon_inode:seccomp notify"]
    assert (said["fds"], said["metadata"]) == (["seccompFd"], "for the agent")
    assert (said["pid"], said["state"]["id"]) == (container.pid, container.id)
