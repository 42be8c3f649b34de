# SPDX-License-Identifier: Apache-2.0
"""Namespaces: made, joined by path, or left the host's, in the combinations that engines use."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.namespaces import (
    FILES,
    Holder,
    join,
    links,
    map_root,
    set_namespaces,
    unmap_tty_group,
)
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import RunProbe
    from tests.support import leaks
    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = requires("root")

needs_time = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 has no time namespaces")
beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc 1.1 can't do this")
#: For tests of each type.
KINDS = [pytest.param(kind, marks=needs_time) if kind == "time" else kind for kind in FILES]


@pytest.fixture
def hold(watch: leaks.Watch) -> Iterator[Holder]:
    """Processes whose namespaces can be joined; they end with the test."""
    assert not watch.found()
    holder = Holder()
    yield holder
    holder.close()


def bare(bundle: Bundle) -> None:
    """Nothing that depends on who owns which namespace: no file systems, no names."""
    proc = {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}
    bundle.spec["mounts"] = [proc]
    del bundle.spec["hostname"], bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]


def run_and_look(container: Container) -> dict[str, str]:
    """Start `sleep` in the container; its namespaces, seen from outside."""
    return links(started(container).pid)


def make_new(bundle: Bundle, kind: str) -> None:
    """Let the container have one of its own; the default configuration has most."""
    if kind not in {n["type"] for n in bundle.linux["namespaces"]}:
        bundle.linux["namespaces"].append({"type": kind})
    if kind == "user":
        map_root(bundle)
        unmap_tty_group(bundle)


@pytest.mark.parametrize("kind", KINDS)
def test_a_namespace_is_the_containers_own(run_probe: RunProbe, bundle: Bundle, kind: str) -> None:
    make_new(bundle, kind)
    assert links("self")[kind] not in run_probe("ns").splitlines()


@pytest.mark.parametrize("kind", [k for k in FILES if k not in ("mount", "user", "time")])
def test_a_type_that_is_not_listed_stays_the_hosts(
    run_probe: RunProbe, bundle: Bundle, kind: str
) -> None:
    bundle.drop_namespace(kind)
    if kind == "uts":
        del bundle.spec["hostname"]
    assert links("self")[kind] in run_probe("ns").splitlines()


@pytest.mark.parametrize("kind", ["time", "user"])
def test_the_default_configuration_keeps_the_hosts(run_probe: RunProbe, kind: str) -> None:
    assert links("self")[kind] in run_probe("ns").splitlines()


@beyond_runc
def test_without_a_mount_namespace_the_rootfs_is_the_root_of_the_hosts(
    container: Container,
) -> None:
    bare(container.bundle)
    container.bundle.spec["mounts"] = []
    container.bundle.drop_namespace("mount")
    found = run_and_look(container)
    assert found["mount"] == links("self")["mount"]
    assert os.readlink(f"/proc/{container.pid}/root") == str(container.bundle.rootfs)


@needs_time
def test_all_eight_types_at_once_are_new(container: Container) -> None:
    bundle = container.bundle
    for kind in FILES:
        make_new(bundle, kind)
    found, host = run_and_look(container), links("self")
    assert [kind for kind in FILES if found[kind] == host[kind]] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("owner", ["host", "user"])
def test_a_namespace_is_joined_by_its_path(
    container: Container, hold: Holder, kind: str, owner: str
) -> None:
    """Whether it belongs to the host's user namespace, or to one that is joined too."""
    paths = hold(*dict.fromkeys(["user", kind] if owner == "user" else [kind]))
    bare(container.bundle)
    wanted = {"mount": "", "pid": "", **paths}
    if "user" in paths:
        map_root(container.bundle)  # engines write the maps next to a joined namespace too
    set_namespaces(container.bundle, wanted)
    found = run_and_look(container)
    assert {k: found[k] for k in paths} == {k: os.readlink(p) for k, p in paths.items()}


def test_all_types_are_joined_at_once(container: Container, hold: Holder) -> None:
    kinds = [kind for kind in FILES if kind != "time" or is_orlop()]
    paths = hold(*kinds)
    bare(container.bundle)
    map_root(container.bundle)
    set_namespaces(container.bundle, paths)
    found = run_and_look(container)
    assert {k: found[k] for k in kinds} == {k: os.readlink(path) for k, path in paths.items()}


def test_a_pods_second_container_shares_network_ipc_and_names(
    make_container: Callable[[Bundle], Container], make_bundle: Callable[[], Bundle]
) -> None:
    sandbox, member = make_container(make_bundle()), make_container(make_bundle())
    sandbox.bundle.spec["hostname"] = "the-pod"
    run_and_look(sandbox)
    kinds = ("network", "ipc", "uts")
    join(member.bundle, {kind: f"/proc/{sandbox.pid}/ns/{FILES[kind]}" for kind in kinds})
    del member.bundle.spec["hostname"]
    member.bundle.args("hostname", "--", "ns", "--", "pid")
    name, *answers = member.run().stdout.splitlines()
    shared = {k for k, link in links(sandbox.pid).items() if link in answers}
    assert name == "the-pod"
    assert shared >= {"network", "ipc", "uts"}
    assert shared.isdisjoint({"pid", "mount"})
    assert "pid 1" in answers


def test_a_joined_pid_namespace_shows_its_processes(
    make_container: Callable[[Bundle], Container], make_bundle: Callable[[], Bundle]
) -> None:
    first, second = make_container(make_bundle()), make_container(make_bundle())
    run_and_look(first)
    join(second.bundle, {"pid": f"/proc/{first.pid}/ns/pid"})
    second.bundle.args("cat", "/proc/1/cmdline", "--", "pid")
    answer = second.run().stdout
    assert answer.startswith("/bin/probe\0sleep\0")
    assert probe.facts(answer.rpartition("\0")[2])["pid"] != "1"


def test_the_first_process_of_a_new_pid_namespace_is_pid_1(run_probe: RunProbe) -> None:
    facts = probe.facts(run_probe("pid"))
    assert facts == {"pid": "1", "ppid": "0", "pgid": "1", "sid": "1"}


def test_without_a_pid_namespace_the_process_has_the_hosts_number(container: Container) -> None:
    container.bundle.drop_namespace("pid")
    container.bundle.args("pid", "--", "sleep")
    container.run_detached()
    assert container.read_line() == f"pid {container.pid}"


def test_a_new_network_namespace_has_loopback_alone_and_up(run_probe: RunProbe) -> None:
    assert run_probe("netif").splitlines() == ["lo 1 up loopback"]


def test_a_joined_network_namespace_is_left_as_it_is(
    run_probe: RunProbe, bundle: Bundle, hold: Holder
) -> None:
    join(bundle, hold("network"))
    assert run_probe("netif").splitlines() == ["lo 1 down loopback"]


def test_a_new_cgroup_namespace_has_the_containers_cgroup_as_its_root(run_probe: RunProbe) -> None:
    lines = run_probe("cat", "/proc/self/cgroup").splitlines()
    assert lines
    assert {line.split(":", 2)[2] for line in lines} == {"/"}


def test_without_a_cgroup_namespace_the_hosts_paths_show(
    run_probe: RunProbe, bundle: Bundle
) -> None:
    bundle.drop_namespace("cgroup")
    lines = run_probe("cat", "/proc/self/cgroup").splitlines()
    assert any(line.endswith(f":{bundle.cgroup}") for line in lines)


@needs_time
def test_clocks_have_the_offsets_of_a_new_time_namespace(
    run_probe: RunProbe, bundle: Bundle
) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {
        "monotonic": {"secs": 100_000, "nanosecs": 500_000_000},
        "boottime": {"secs": 700_000},
    }
    clocks = {"monotonic": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME}
    offsets = {"monotonic": 100_000.5, "boottime": 700_000.0}
    before = {name: time.clock_gettime(clock) for name, clock in clocks.items()}
    facts = {name: float(value) for name, value in probe.facts(run_probe("time")).items()}
    for name, clock in clocks.items():
        assert before[name] <= facts[name] - offsets[name] <= time.clock_gettime(clock)


@needs_time
def test_exec_sees_the_offsets_too(container: Container) -> None:
    container.bundle.linux["namespaces"].append({"type": "time"})
    container.bundle.linux["timeOffsets"] = {"boottime": {"secs": 900_000}}
    run_and_look(container)
    facts = probe.facts(container.exec("time").stdout)
    assert float(facts["boottime"]) >= 900_000 + float(facts["monotonic"])
