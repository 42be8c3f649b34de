# SPDX-License-Identifier: Apache-2.0
"""SCMP_ACT_NOTIFY with an agent that answers: on any call, those that the runtime lives on too."""

from __future__ import annotations

import errno
import os
import platform
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_seccomp import PLAIN, rule, set_filter
from tests.support import hierarchies, probe
from tests.support.agent import GO_ON, Agent, Answer
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.refusal import Refusal
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bundle import Bundle
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.v2,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64"),
]
beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc's init lives behind its filter")

#: System calls with which an init waits, is told to go on, runs hooks and closes what it held.
OURS = {
    "accept4": 288, "clone": 56, "clone3": 435, "close": 3, "close_range": 436, "dup3": 292,
    "execve": 59, "exit": 60, "futex": 202, "ioctl": 16, "mmap": 9, "openat": 257, "ppoll": 271,
    "read": 0, "recvmsg": 47, "rt_sigreturn": 15, "sendmsg": 46, "waitid": 247, "write": 1,
}  # fmt: skip
GETPPID, MKDIR, EXECVE, CAPSET = 110, 83, 59, 126


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Start an agent for a bundle: `make_agent(bundle, answer)`."""
    made: list[Agent] = []

    def make(bundle: Bundle, answer: Callable[[int], Answer] = lambda _: GO_ON) -> Agent:
        made.append(Agent(tmp_path / f"agent-{len(made)}.sock", answer))
        bundle.linux["seccomp"]["listenerPath"] = str(made[-1].path)
        return made[-1]

    yield make
    for agent in made:
        agent.close()


def notify(bundle: Bundle, *names: str, default: str = "ALLOW", **more: Any) -> None:  # noqa: ANN401 - JSON
    """A profile that notifies of these calls."""
    set_filter(bundle, default, rule("NOTIFY", *names), listenerPath="/none", **more)


def test_the_agents_word_is_the_calls_result(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    notify(container.bundle, "mkdir", "getppid")
    answers = {MKDIR: Answer(error=errno.EDQUOT), GETPPID: Answer(4242)}
    agent = make_agent(container.bundle, answers.__getitem__)
    container.bundle.args("syscall", str(GETPPID), "--", "mkdir", "/tmp/new")
    result = container.run(check=False)
    assert (result.returncode, result.stdout) == (1, "4242\n")
    assert "Disk quota exceeded" in result.stderr
    assert agent.seen == [GETPPID, MKDIR]


def test_the_agent_lets_a_call_pass(container: Container, make_agent: Callable[..., Agent]) -> None:
    notify(container.bundle, "mkdir")
    agent = make_agent(container.bundle)
    container.bundle.args("mkdir", "/tmp/new", "--", "stat", "/tmp/new")
    assert "directory" in container.run().stdout
    assert agent.seen == [MKDIR]


@beyond_runc
@pytest.mark.parametrize("name", OURS)
def test_no_call_of_the_runtimes_own_waits_for_the_agent(
    container: Container, make_agent: Callable[..., Agent], name: str
) -> None:
    """Between create and start nothing is notified of; then execve and the program's own calls."""
    notify(container.bundle, name)
    agent = make_agent(container.bundle)
    container.create()
    assert agent.arrived.is_set()
    assert (agent.seen, container.status) == ([], "created")
    container.start()
    assert container.output() == ""
    assert set(agent.seen) <= {OURS[name]}
    assert (name == "execve") == (agent.seen == [EXECVE])


@beyond_runc
def test_an_agent_may_be_asked_for_everything(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    set_filter(container.bundle, "NOTIFY", listenerPath="/none")
    agent = make_agent(container.bundle, lambda n: Answer(77) if n == GETPPID else GO_ON)
    container.bundle.args("syscall", str(GETPPID))
    assert container.run().stdout == "77\n"
    assert agent.seen[0] == EXECVE


@beyond_runc
@pytest.mark.parametrize("nnp", [True, False])
def test_a_strict_profile_need_not_allow_what_the_runtime_does(
    container: Container,
    make_agent: Callable[..., Agent],
    nnp: bool,  # noqa: FBT001
) -> None:
    """Without no_new_privs capset(2) gives up, behind the filter, what loading it took."""
    bundle = container.bundle
    bundle.process["noNewPrivileges"] = nnp
    allowed = PLAIN if nnp else [*PLAIN, "capset"]
    rules = [rule("NOTIFY", "getppid"), rule("ALLOW", *allowed)]
    set_filter(bundle, "KILL", *rules, listenerPath="/none")
    make_agent(bundle, lambda _: Answer(77))
    bundle.args("syscall", str(GETPPID))
    assert container.run().stdout == "77\n"


@beyond_runc
@pytest.mark.parametrize("uid", [0, 1000])
def test_nothing_of_what_loading_takes_is_left(
    container: Container, make_agent: Callable[..., Agent], uid: int
) -> None:
    bundle = container.bundle
    bundle.process.update(noNewPrivileges=False, user={"uid": uid, "gid": uid})
    notify(bundle, "getppid", "capset")
    agent = make_agent(bundle)
    bundle.args("caps", "--", "fds", "--", "ls", "/proc/self/task")
    output = container.run().stdout
    facts = probe.facts(output)
    held = [int(facts[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    assert not any(caps >> 21 & 1 for caps in held)  # CAP_SYS_ADMIN
    assert (facts["Seccomp"], facts["NoNewPrivs"]) == ("2", "0")
    lines = output.splitlines()[len(facts) - 4 :]
    assert "anon_inode" not in output
    assert lines[-1] == "1"  # one thread, that of pid 1
    assert agent.seen == [CAPSET]


@beyond_runc
def test_a_refused_execve_is_reported(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    notify(container.bundle, "execve", "write")
    agent = make_agent(
        container.bundle, lambda n: Answer(error=errno.EPERM) if n == EXECVE else GO_ON
    )
    container.create()
    result = container.start(check=False)
    assert result.returncode == 1
    assert "operation not permitted" in result.stderr.lower()
    assert agent.seen == [EXECVE, OURS["write"]]
    container.wait()


@beyond_runc
def test_start_container_hooks_are_not_behind_the_filter(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    bundle = container.bundle
    notify(bundle, "execve", "mkdir", "openat", "read", "write")
    agent = make_agent(bundle)
    bundle.spec["hooks"] = {
        "startContainer": [
            {"path": "/bin/probe", "args": ["probe", "save", "/work/state"]},
            {"path": "/bin/probe", "args": ["probe", "mkdir", "/work/made"]},
        ]
    }
    container.create()
    assert not (bundle.rootfs / "work" / "made").exists()
    container.start()
    container.wait()
    assert (bundle.rootfs / "work" / "made").is_dir()
    assert f'"id":"{container.id}"' in (bundle.rootfs / "work" / "state").read_text().replace(
        '": "', '":"'
    )
    assert MKDIR not in agent.seen


@beyond_runc
def test_a_hook_that_fails_ends_the_container(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    notify(container.bundle, "mkdir")
    make_agent(container.bundle)
    hook = {"path": "/bin/probe", "args": ["probe", "exit", "3"]}
    container.bundle.spec["hooks"] = {"startContainer": [hook]}
    container.create()
    result = container.start(check=False)
    assert result.returncode == 1
    assert "exit status 3" in result.stderr
    container.wait()
    assert container.status == "stopped"


@beyond_runc
def test_a_created_container_can_be_killed(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    notify(container.bundle, "exit_group")
    make_agent(container.bundle)
    container.create()
    container.kill("KILL")
    container.wait()
    assert container.status == "stopped"


@beyond_runc
def test_a_created_container_that_was_paused_starts(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    """The freezer interrupts what sleeps: the gate must hold all the same."""
    notify(container.bundle, "getppid", "restart_syscall")
    agent = make_agent(container.bundle, lambda _: Answer(77))
    container.bundle.args("syscall", str(GETPPID))
    container.create()
    container.cli("pause", container.id)
    container.cli("resume", container.id)
    assert (agent.seen, container.status) == ([], "created")
    container.start()
    assert container.output() == "77\n"


@beyond_runc
def test_a_stopped_and_continued_init_still_waits_for_start(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    notify(container.bundle, "getppid")
    agent = make_agent(container.bundle)
    container.create()
    pid = container.pid
    for number in (signal.SIGSTOP, signal.SIGCONT):
        os.kill(pid, number)
    assert (agent.seen, container.status) == ([], "created")
    container.start()
    container.wait()


@beyond_runc
def test_what_is_created_holds_no_host_file(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    notify(container.bundle, "getppid")
    make_agent(container.bundle)
    container.create()
    folder = Path(f"/proc/{container.pid}/fd")
    links = sorted(os.readlink(folder / name) for name in os.listdir(folder) if int(name) > 2)
    assert [link.partition("[")[0] for link in links] == ["anon_inode:", "socket:"]
    assert links[0] == "anon_inode:[userfaultfd]"


@beyond_runc
@pytest.mark.parametrize("nnp", [True, False])
def test_the_filter_of_an_exec_notifies_too(
    container: Container,
    make_agent: Callable[..., Agent],
    nnp: bool,  # noqa: FBT001
) -> None:
    container.bundle.process["noNewPrivileges"] = nnp
    notify(container.bundle, "getppid", "sendmsg", "close", listenerMetadata="either")
    agent = make_agent(container.bundle, lambda n: Answer(77) if n == GETPPID else GO_ON)
    started(container)
    assert container.exec("syscall", str(GETPPID)).stdout == "77\n"
    first, second = agent.states
    assert (first["state"]["status"], second["state"]["status"]) == ("creating", "running")
    assert (first["metadata"], second["metadata"]) == ("either", "either")
    assert first["pid"] == first["state"]["pid"] == second["state"]["pid"] == container.pid
    assert second["pid"] != container.pid


@beyond_runc
def test_a_filter_in_a_user_namespace_notifies(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    bundle = container.bundle
    mapping = {"containerID": 0, "hostID": 0, "size": 100}
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=[mapping], gidMappings=[mapping])
    notify(bundle, "getppid", "sendmsg", "recvmsg", "read", "accept4", "close")
    make_agent(bundle, lambda n: Answer(77) if n == GETPPID else GO_ON)
    bundle.args("syscall", str(GETPPID))
    assert container.run().stdout == "77\n"


@beyond_runc
def test_a_container_without_a_pid_namespace_starts(
    container: Container, make_agent: Callable[..., Agent]
) -> None:
    container.bundle.drop_namespace("pid")
    notify(container.bundle, "getppid", "futex", "read")
    make_agent(container.bundle, lambda n: Answer(77) if n == GETPPID else GO_ON)
    container.bundle.args("syscall", str(GETPPID))
    assert container.run().stdout == "77\n"


class TestFailures:
    """What goes wrong is an error of create, and leaves nothing."""

    @pytest.fixture
    def refuse(self, container: Container, watch: Watch) -> Refusal:
        return Refusal(container.cli, watch, container.bundle)

    def test_nobody_listens(self, refuse: Refusal, tmp_path: Path) -> None:
        notify(refuse.bundle, "getppid")
        refuse.bundle.linux["seccomp"]["listenerPath"] = str(tmp_path / "absent")
        message = refuse.create()
        assert "/linux/seccomp/listenerPath" in message
        assert "absent" in message

    def test_the_processes_allowed_are_too_few(
        self, refuse: Refusal, make_agent: Callable[..., Agent]
    ) -> None:
        """The init takes a second thread until execve."""
        notify(refuse.bundle, "getppid")
        agent = make_agent(refuse.bundle)
        refuse.bundle.resources["pids"] = {"limit": 1}
        message = refuse.create()
        assert "clone" in message
        assert "pids.max" in message
        assert agent.states == []

    def test_an_agent_that_hangs_up_is_no_failure_of_the_runtimes(
        self, container: Container, make_agent: Callable[..., Agent]
    ) -> None:
        """seccomp_unotify(2): without a listener the call fails with ENOSYS."""
        notify(container.bundle, "getppid")
        agent = make_agent(container.bundle)
        container.bundle.args("syscall", str(GETPPID))
        container.create()
        agent.drop()
        container.start()
        assert container.output() == "ENOSYS\n"


def test_it_starts_in_little_memory(container: Container, make_agent: Callable[..., Agent]) -> None:
    """The second thread takes a few pages."""
    if hierarchies.mode() == "none":
        pytest.skip("no cgroups")
    notify(container.bundle, "getppid")
    make_agent(container.bundle, lambda _: Answer(77))
    container.bundle.resources["memory"] = {"limit": 1 << 20 if is_orlop() else 16 << 20}
    container.bundle.args("syscall", str(GETPPID))
    assert container.run().stdout == "77\n"
