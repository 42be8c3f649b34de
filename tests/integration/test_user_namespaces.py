# SPDX-License-Identifier: Apache-2.0
"""User namespaces: maps, whose the files are, and joining one together with others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.namespaces import (
    COUNT,
    FILES,
    FIRST,
    Holder,
    Mapped,
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
#: What can be the host's beside a user namespace that isn't.
HOST_KINDS = [
    "cgroup", "ipc", "network", "pid", pytest.param("time", marks=needs_time), "uts"
]  # fmt: skip


@pytest.fixture
def hold(watch: leaks.Watch) -> Iterator[Holder]:
    """Processes whose namespaces can be joined; they end with the test."""
    assert not watch.found()
    holder = Holder()
    yield holder
    holder.close()


@pytest.fixture
def mapped(make_container: Callable[[Bundle], Container], cgroup: str) -> Iterator[Mapped]:
    """Containers whose root is an unprivileged user of the host."""
    made = Mapped(make_container, cgroup)
    yield made
    made.close()


def bare(bundle: Bundle) -> None:
    """Nothing that depends on who owns which namespace: no file systems, no names."""
    proc = {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}
    bundle.spec["mounts"] = [proc]
    del bundle.spec["hostname"], bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]


def run_and_look(container: Container) -> dict[str, str]:
    """Start `sleep` in the container; its namespaces, seen from outside."""
    return links(started(container).pid)


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_a_new_user_namespace_goes_with_a_joined_one_of_the_host(
    container: Container, hold: Holder, kind: str
) -> None:
    paths = hold(kind)
    bare(container.bundle)
    map_root(container.bundle)
    set_namespaces(container.bundle, {"user": "", "mount": "", **paths})
    found = run_and_look(container)
    assert found[kind] == os.readlink(paths[kind])
    assert found["user"] != links("self")["user"]


@beyond_runc
@pytest.mark.parametrize("kind", HOST_KINDS)
def test_a_joined_user_namespace_goes_with_one_of_the_host(
    container: Container, hold: Holder, kind: str
) -> None:
    paths = {**hold("user"), **hold(kind)}
    bare(container.bundle)
    map_root(container.bundle)
    set_namespaces(container.bundle, {"mount": "", **paths})
    found = run_and_look(container)
    assert {k: found[k] for k in paths} == {k: os.readlink(p) for k, p in paths.items()}


def test_a_joined_user_namespace_owns_the_new_ones(
    run_probe: RunProbe, bundle: Bundle, hold: Holder
) -> None:
    """Otherwise the kernel would refuse its root proc, sysfs and mqueue."""
    map_root(bundle)
    unmap_tty_group(bundle)
    join(bundle, hold("user"))
    mounts = probe.mounts(run_probe("mounts"))
    kinds = [mounts[place].kind for place in ("/proc", "/sys", "/dev/mqueue")]
    assert kinds == ["proc", "sysfs", "mqueue"]


@beyond_runc
def test_a_joined_user_namespace_gives_its_maps(
    run_probe: RunProbe, bundle: Bundle, hold: Holder
) -> None:
    unmap_tty_group(bundle)
    join(bundle, hold("user"))
    assert run_probe("cat", "/proc/self/uid_map").split() == ["0", "0", "1"]


@beyond_runc
def test_a_user_namespace_that_denies_setgroups_is_joined(
    run_probe: RunProbe, bundle: Bundle, hold: Holder
) -> None:
    """Such is the one of a rootless pod: who made it was not privileged (user_namespaces(7))."""
    unmap_tty_group(bundle)
    join(bundle, hold("user", setgroups=False))
    answers = run_probe("cat", "/proc/self/setgroups", "--", "id").splitlines()
    assert answers[0] == "deny"
    assert answers[-1] == "groups"


def test_a_pod_with_a_user_namespace_is_joined_as_a_whole(
    mapped: Mapped,
) -> None:
    sandbox, member = mapped(), mapped()
    run_and_look(sandbox)
    joined = ("network", "ipc", "uts", "user")
    join(member.bundle, {kind: f"/proc/{sandbox.pid}/ns/{FILES[kind]}" for kind in joined})
    del member.bundle.spec["hostname"]
    found = run_and_look(member)
    theirs = links(sandbox.pid)
    assert {kind for kind in FILES if found[kind] == theirs[kind]} - {"time"} == set(joined)


def test_ids_are_those_of_the_maps(mapped: Mapped) -> None:
    container = mapped()
    container.bundle.args("id", "--", "cat", "/proc/self/uid_map", "/proc/self/gid_map")
    *lines, uids, gids = container.run().stdout.splitlines()
    assert probe.facts("\n".join(lines))["uid"] == "0"
    assert uids.split() == gids.split() == ["0", str(FIRST), str(COUNT)]


def test_the_root_of_a_user_namespace_is_nobody_special_outside(
    mapped: Mapped,
) -> None:
    container = mapped()
    container.bundle.args("write", "/work/file", "--", "sleep")
    container.run_detached()
    assert container.read_line() == "ready"
    status = Path(f"/proc/{container.pid}/status").read_text()
    uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    created = (container.bundle.rootfs / "work" / "file").stat()
    assert uids == [str(FIRST)] * 4
    assert (created.st_uid, created.st_gid) == (FIRST, FIRST)


def test_several_ranges_are_mapped(run_probe: RunProbe, bundle: Bundle) -> None:
    ranges = [(0, 0, 1), (1, 200000, 999), (5000, 300000, 10)]
    bundle.linux["namespaces"].append({"type": "user"})
    mappings = [dict(zip(("containerID", "hostID", "size"), r, strict=True)) for r in ranges]
    bundle.linux.update(uidMappings=mappings, gidMappings=mappings)
    lines = run_probe("cat", "/proc/self/uid_map").splitlines()
    assert [tuple(map(int, line.split())) for line in lines] == ranges


def test_a_user_namespace_has_the_hosts_devices(mapped: Mapped) -> None:
    """mknod(2) isn't for its root: the host's nodes are bound."""
    container = mapped()
    container.bundle.args("stat", "/dev/null", "/dev/tty", "--", "write", "/dev/null", "gone")
    numbers = [line.split()[4] for line in container.run().stdout.splitlines()]
    assert numbers == ["1:3", "5:0"]


def test_capabilities_hold_in_the_user_namespace(mapped: Mapped) -> None:
    """CAP_CHOWN over what is mapped: a file is given to another user of the container."""
    container = mapped()
    sets = {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")}
    container.bundle.process["capabilities"] = sets
    container.bundle.args("caps")
    facts = probe.facts(container.run().stdout)
    assert (facts["CapEff"], facts["CapInh"]) == (f"{1:016x}", f"{0:016x}")


@pytest.mark.parametrize("user", ["host", "new"])
def test_exec_is_in_all_namespaces_of_the_container(
    mapped: Mapped, container: Container, user: str
) -> None:
    chosen = mapped() if user == "new" else container
    found = run_and_look(chosen)
    assert set(chosen.exec("ns").stdout.splitlines()) == set(found.values())


@beyond_runc
def test_the_user_can_open_its_stdout_again(mapped: Mapped) -> None:
    """The owner of a pipe has no id in the namespace: the runtime changes it from outside."""
    container = mapped()
    container.bundle.process["user"] = {"uid": 1000, "gid": 1000}
    container.bundle.args("write", "/proc/self/fd/1", "through the link")
    container.run_detached()
    assert container.output() == "through the link"


def test_the_user_of_an_exec_can_open_its_stdout_again(mapped: Mapped) -> None:
    container = mapped()
    run_and_look(container)
    program = ("/bin/probe", "write", "/dev/stdout", "text")
    result = container.cli("exec", "--user", "1000:1000", container.id, *program)
    assert result.stdout == "text"


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_working_directory_that_the_user_may_not_enter_is_refused(
    mapped: Mapped, uid: int
) -> None:
    container = mapped()
    work = container.bundle.rootfs / "work"
    os.chown(work, 0, 0)  # whom the namespace doesn't map: not even its root may
    work.chmod(0o700)
    container.bundle.process.update(user={"uid": uid, "gid": uid}, cwd="/work")
    result = container.run(check=False)
    assert result.returncode == 1
    assert "permission denied" in result.stderr.lower()


def test_limits_are_set_in_a_user_namespace(mapped: Mapped) -> None:
    container = mapped()
    container.bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}]
    container.bundle.args("rlimits")
    assert probe.facts(container.run().stdout)["RLIMIT_NOFILE"] == "55 66"
