# SPDX-License-Identifier: Apache-2.0
"""Where and how a program runs: scheduler, I/O priority, CPUs, memory policy, personality."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import hierarchies, probe
from tests.support.cli import ENVIRONMENT, is_orlop
from tests.support.features import requires
from tests.support.namespaces import map_root
from tests.support.refusal import Refusal
from tests.support.running import started
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.v2,
    pytest.mark.skipif(not is_orlop(), reason="runc 1.1 has none of it"),
]

ALL = probe.facts(Path("/proc/self/status").read_text().replace(":\t", " "))["Cpus_allowed_list"]
two_cpus = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one CPU")
DEADLINE = {
    "policy": "SCHED_DEADLINE",
    "runtime": 1_000_000,
    "deadline": 50_000_000,
    "period": 100_000_000,
}
RESET = {"flags": ["SCHED_FLAG_RESET_ON_FORK"]}


@pytest.fixture
def refuse(container: Container, watch: Watch) -> Refusal:
    return Refusal(container.cli, watch, container.bundle)


def in_user_namespace(bundle: Bundle) -> None:
    """The same, with a user namespace in which the capabilities of sched(7) count for nothing."""
    bundle.linux["namespaces"].append({"type": "user"})
    map_root(bundle, 100)


# Scheduler

SCHEDULERS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"policy": "SCHED_OTHER"}, {"policy": "0", "nice": "0"}),
    ({"policy": "SCHED_OTHER", "nice": 7}, {"policy": "0", "nice": "7"}),
    ({"policy": "SCHED_OTHER", "nice": -7}, {"policy": "0", "nice": "-7"}),
    ({"policy": "SCHED_BATCH", "nice": -20}, {"policy": "3", "nice": "-20"}),
    ({"policy": "SCHED_IDLE"}, {"policy": "5"}),
    ({"policy": "SCHED_BATCH", **RESET}, {"policy": "3", "flags": "1"}),
    (
        DEADLINE,
        {"policy": "6", "runtime": "1000000", "deadline": "50000000", "period": "100000000"},
    ),
]


@pytest.mark.parametrize(("asked", "seen"), SCHEDULERS)
def test_the_scheduler_is_the_one_asked_for(
    run_probe: RunProbe, bundle: Bundle, asked: dict[str, Any], seen: dict[str, str]
) -> None:
    bundle.process["scheduler"] = asked
    assert probe.facts(run_probe("sched")).items() >= seen.items()


@pytest.mark.parametrize("asked", [SCHEDULERS[2], SCHEDULERS[4]])
def test_in_a_user_namespace_too(
    run_probe: RunProbe, bundle: Bundle, asked: tuple[dict[str, Any], dict[str, str]]
) -> None:
    """Where the program's own root could not: the runtime does it from outside."""
    in_user_namespace(bundle)
    bundle.process.update(
        scheduler=asked[0], ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 3}
    )
    output = run_probe("sched", "--", "ioprio")
    assert probe.facts(output).items() >= asked[1].items()
    assert output.splitlines()[-2:] == ["1 3", "1 3"]


def test_an_unprivileged_program_has_it_too(run_probe: RunProbe, bundle: Bundle) -> None:
    """It is set while the init still is root."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    bundle.process["scheduler"] = {"policy": "SCHED_OTHER", "nice": -7}
    assert probe.facts(run_probe("sched"))["nice"] == "-7"


@pytest.mark.parametrize("policy", ["SCHED_FIFO", "SCHED_RR"])
def test_a_real_time_policy_needs_a_cgroup_that_has_time_for_it(
    container: Container, policy: str
) -> None:
    """CONFIG_RT_GROUP_SCHED, cgroup v1: a new cgroup has none (sched-rt-group.rst)."""
    container.bundle.process["scheduler"] = {"policy": policy, "priority": 10}
    container.bundle.args("sched")
    result = container.run(check=False)
    if (hierarchies.directory("cpu", "/") / "cpu.rt_runtime_us").exists():
        assert result.returncode == 1
        assert "/process/scheduler" in result.stderr
        assert "sched_setattr: Operation not permitted" in result.stderr
        assert "realtimeRuntime" in result.stderr
    else:
        expected = {"policy": {"SCHED_FIFO": "1", "SCHED_RR": "2"}[policy], "priority": "10"}
        assert probe.facts(result.stdout).items() >= expected.items()


def test_a_policy_that_the_kernel_lacks_is_refused(refuse: Refusal) -> None:
    refuse.bundle.process["scheduler"] = {"policy": "SCHED_ISO"}
    message = refuse.create()
    assert message.startswith("/process/scheduler: ")
    assert "sched_setattr: Invalid argument" in message


def test_from_outside_it_is_refused_in_the_same_words(refuse: Refusal) -> None:
    in_user_namespace(refuse.bundle)
    refuse.bundle.process["scheduler"] = {"policy": "SCHED_ISO"}
    message = refuse.create()
    assert message.startswith("/process/scheduler: ")
    assert "sched_setattr: Invalid argument" in message
    assert "the kernel has no such policy" in message


HOOK = {"startContainer": [{"path": "/bin/probe", "args": ["probe", "mkdir", "/work/made"]}]}


def test_a_deadline_program_that_cannot_fork_cannot_have_hooks(container: Container) -> None:
    container.bundle.process["scheduler"] = DEADLINE
    container.bundle.spec["hooks"] = HOOK
    container.create()
    result = container.start(check=False)
    assert result.returncode == 1
    assert "SCHED_FLAG_RESET_ON_FORK" in result.stderr


def test_a_deadline_program_whose_children_are_ordinary_can(container: Container) -> None:
    container.bundle.process["scheduler"] = {**DEADLINE, **RESET}
    container.bundle.spec["hooks"] = HOOK
    container.bundle.args("sched")
    assert probe.facts(container.run().stdout)["policy"] == "6"


# I/O priority


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ({"class": "IOPRIO_CLASS_RT", "priority": 0}, "1 0"),
        ({"class": "IOPRIO_CLASS_BE", "priority": 7}, "2 7"),
        ({"class": "IOPRIO_CLASS_IDLE", "priority": 0}, "3 0"),
        ({"class": "IOPRIO_CLASS_BE"}, "2 0"),
    ],
)
def test_the_io_priority_is_that_of_the_program_and_its_group(
    run_probe: RunProbe, bundle: Bundle, asked: dict[str, Any], seen: str
) -> None:
    bundle.process["ioPriority"] = asked
    assert run_probe("ioprio").splitlines() == [seen, seen]


# CPUs


def run_on(cpus: str, container: Container, *argv: str | Path) -> str:
    """Run the runtime itself on these CPUs; its output."""
    command = ["taskset", "-c", cpus, *container.cli.command(*argv)]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=limit(30), check=True
    )
    return done.stdout


def allowed(output: str) -> str:
    return probe.facts(output)["Cpus_allowed_list"]


@two_cpus
def test_the_runtimes_own_affinity_stays_its_own(container: Container) -> None:
    container.bundle.args("affinity").write()
    output = run_on("0", container, "run", "--bundle", container.bundle.path, container.id)
    assert allowed(output) == ALL


@two_cpus
def test_an_execs_neither(container: Container) -> None:
    started(container)
    output = run_on("0", container, "exec", container.id, "/bin/probe", "affinity")
    assert allowed(output) == ALL


@two_cpus
def test_a_cpuset_is_all_there_is(container: Container) -> None:
    container.bundle.resources["cpu"] = {"cpus": "1", "mems": "0"}
    if not cpuset_is_there():
        pytest.skip("no cpuset controller")
    container.bundle.args("sleep").write()
    started(container)
    assert allowed(container.exec("affinity").stdout) == "1"


def cpuset_is_there() -> bool:
    if hierarchies.mode() != "v2":
        return "cpuset" in hierarchies.mountpoints()
    return "cpuset" in (hierarchies.mountpoints()["v2"] / "cgroup.controllers").read_text()


@two_cpus
@pytest.mark.parametrize("final", ["0", "1", "0-1", " 0 , 1 "])
def test_an_exec_runs_on_its_final_cpus(container: Container, final: str) -> None:
    container.bundle.process["execCPUAffinity"] = {"initial": "0", "final": final}
    started(container)
    found = allowed(container.exec("affinity").stdout)
    assert found == {" 0 , 1 ": "0-1"}.get(final, final)


@two_cpus
def test_it_is_not_for_the_containers_own_program(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["execCPUAffinity"] = {"initial": "0", "final": "0"}
    assert allowed(run_probe("affinity")) == ALL


@two_cpus
def test_without_a_final_one_the_kernel_decides(container: Container) -> None:
    """config.md: then the runtime should not change the affinity after the move.

    Since Linux 6.2 a cpuset leaves what a process asked for, as far as it has it.
    """
    container.bundle.process["execCPUAffinity"] = {"initial": "0"}
    started(container)
    assert allowed(container.exec("affinity").stdout) == "0"


@two_cpus
@pytest.mark.parametrize("path", ["initial", "final"])
def test_cpus_that_are_not_there_are_refused(container: Container, watch: Watch, path: str) -> None:
    started(container)
    file = container.cli.directory / "process.json"
    process = {"args": ["/bin/probe", "true"], "cwd": "/", "execCPUAffinity": {path: "4000"}}
    file.write_text(json.dumps(process))
    refuse = Refusal(container.cli, watch, container.bundle)
    message = refuse("exec", "--process", file, container.id, status=255)
    assert message.startswith(f"/process/execCPUAffinity/{path}: ")
    assert "sched_setaffinity: Invalid argument" in message


@two_cpus
def test_a_process_file_has_its_own(container: Container) -> None:
    container.bundle.process["execCPUAffinity"] = {"final": "0"}
    started(container)
    file = container.cli.directory / "process.json"
    process: dict[str, Any] = {"args": ["/bin/probe", "affinity"], "cwd": "/"}
    file.write_text(json.dumps(process))
    assert allowed(container.cli("exec", "--process", file, container.id).stdout) == "0"
    process["execCPUAffinity"] = {"final": "1"}
    file.write_text(json.dumps(process))
    assert allowed(container.cli("exec", "--process", file, container.id).stdout) == "1"


# Memory policy

numa = pytest.mark.skipif(
    not Path("/proc/self/numa_maps").exists(), reason="the kernel is built without NUMA"
)


@numa
@pytest.mark.parametrize(
    ("asked", "mode", "nodes"),
    [
        ({"mode": "MPOL_DEFAULT"}, "0", "0"),
        ({"mode": "MPOL_DEFAULT", "nodes": ""}, "0", "0"),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "0x1", "0x1"),
        ({"mode": "MPOL_BIND", "nodes": "0"}, "0x2", "0x1"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "0x3", "0x1"),
        ({"mode": "MPOL_LOCAL", "nodes": ""}, "0x4", "0"),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "0x5", "0x1"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "0x8002", "0x1"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "0x4002", "0x1"),
    ],
)
def test_the_memory_policy_is_the_one_asked_for(
    run_probe: RunProbe, bundle: Bundle, asked: dict[str, Any], mode: str, nodes: str
) -> None:
    bundle.linux["memoryPolicy"] = asked
    assert run_probe("mempolicy").splitlines() == [f"mode {mode}", f"nodes {nodes}"]


@numa
def test_nodes_that_are_not_there_are_refused(refuse: Refusal) -> None:
    refuse.bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "63"}
    message = refuse.create()
    assert message.startswith("/linux/memoryPolicy: ")
    assert "set_mempolicy: Invalid argument" in message


def test_more_nodes_than_any_kernel_has_are_refused(refuse: Refusal) -> None:
    refuse.bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0-99999999999"}
    assert refuse.create().startswith("/linux/memoryPolicy/nodes: 99999999999 is too large")


# Personality


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the name is that of x86")
@pytest.mark.parametrize(("domain", "machine"), [("LINUX", "x86_64"), ("LINUX32", "i686")])
def test_the_personality_is_what_uname_tells(
    run_probe: RunProbe, bundle: Bundle, domain: str, machine: str
) -> None:
    bundle.linux["personality"] = {"domain": domain}
    assert run_probe("machine") == f"{machine}\n"


# What an exec has


def test_an_exec_has_what_the_container_has(container: Container) -> None:
    bundle = container.bundle
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 3}
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    bundle.linux["personality"] = {"domain": "LINUX32"}
    started(container)
    facts = probe.facts(container.exec("sched").stdout)
    assert (facts["policy"], facts["nice"]) == ("3", "3")
    assert container.exec("ioprio", "--", "machine").stdout.splitlines()[:2] == ["2 6", "2 6"]
    assert container.exec("machine").stdout != os.uname().machine


def test_a_process_file_changes_it(container: Container) -> None:
    container.bundle.process["scheduler"] = {"policy": "SCHED_BATCH"}
    container.bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    started(container)
    file = container.cli.directory / "process.json"
    process = {
        "args": ["/bin/probe", "sched", "--", "ioprio"],
        "cwd": "/",
        "scheduler": {"policy": "SCHED_IDLE"},
    }
    file.write_text(json.dumps(process))
    output = container.cli("exec", "--process", file, container.id).stdout
    assert probe.facts(output)["policy"] == "5"
    assert output.splitlines()[-1] == "2 6"
