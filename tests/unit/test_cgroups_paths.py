# SPDX-License-Identifier: Apache-2.0
"""cgroupsPath leads to the directories that runc makes, and never out of the hierarchy."""

from __future__ import annotations

import pytest

from runtime import cgroups
from runtime.cgroups import paths
from runtime.cgroups.host import Hierarchy, Host
from spec.errors import OrlopError


def v2(own: str, root: str = "/") -> Host:
    return Host("v2", [], Hierarchy(2, ("",), "/sys/fs/cgroup", root, own))


HYBRID = Host(
    "hybrid",
    [
        Hierarchy(1, ("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "/", "/"),
        Hierarchy(1, ("memory",), "/sys/fs/cgroup/memory", "/", "/own/memory"),
    ],
    Hierarchy(2, ("",), "/sys/fs/cgroup/unified", "/", "/own"),
)


def directory(host: Host, cgroups_path: str) -> str:
    return paths.directories(host, paths.inner(cgroups_path, "box"))[-1].path


@pytest.mark.parametrize(
    ("own", "cgroups_path", "expected"),
    [
        ("/user.slice/s.scope", "/a/b", "/a/b"),
        ("/user.slice/s.scope", "a/b", "/user.slice/a/b"),
        ("/user.slice/s.scope", "", "/user.slice/box"),
        ("/s.scope", "", "/box"),
        ("/", "", "/box"),
        ("/", "a", "/a"),
        ("/x/y", "/../../a", "/a"),
        ("/x/y", "../../a", "/x/a"),
        ("/x/y", "a/../b//c/.", "/x/b/c"),
        ("/x/y", "//a", "/a"),
    ],
)
def test_v2_path(own: str, cgroups_path: str, expected: str) -> None:
    assert directory(v2(own), cgroups_path) == f"/sys/fs/cgroup{expected}"


def test_v1_and_hybrid_paths_are_below_the_own_cgroup_of_each_hierarchy() -> None:
    found = {d.name: d.path for d in paths.directories(HYBRID, paths.inner("", "box"))}
    assert found == {
        "cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct/box",
        "memory": "/sys/fs/cgroup/memory/own/memory/box",
        "unified": "/sys/fs/cgroup/unified/own/box",
    }
    absolute = paths.directories(HYBRID, paths.inner("/p", "box"))
    assert [d.path for d in absolute][1:] == [
        "/sys/fs/cgroup/memory/p",
        "/sys/fs/cgroup/unified/p",
    ]


@pytest.mark.parametrize("cgroups_path", ["/", "..", "/..", "a/..", "."])
def test_root_of_the_hierarchy_is_refused(cgroups_path: str) -> None:
    with pytest.raises(OrlopError, match="is the root of the hierarchy") as caught:
        paths.inner(cgroups_path, "box")
    assert caught.value.pointer == "/linux/cgroupsPath"


@pytest.mark.parametrize("cgroups_path", ["system.slice:runc:1", ":docker:abc", "::"])
def test_systemd_form_is_refused(cgroups_path: str) -> None:
    with pytest.raises(OrlopError, match="slice:prefix:name") as caught:
        paths.inner(cgroups_path, "box")
    assert "--systemd-cgroup" in caught.value.hint


@pytest.mark.parametrize("cgroups_path", ["a\nb", "a\0b"])
def test_names_that_the_kernel_refuses(cgroups_path: str) -> None:
    with pytest.raises(OrlopError, match="can't be named"):
        paths.inner(cgroups_path, "box")


@pytest.mark.parametrize("sub", ["..", "../sibling", "a/../../b", "../box2"])
def test_sub_cgroup_stays_below(sub: str) -> None:
    with pytest.raises(OrlopError, match="bad sub cgroup path"):
        paths.below("/sys/fs/cgroup/box", sub)


def test_sub_cgroup() -> None:
    assert paths.below("/sys/fs/cgroup/box", "a/b") == "/sys/fs/cgroup/box/a/b"
    assert paths.below("/sys/fs/cgroup/box", "/") == "/sys/fs/cgroup/box"


def test_record_survives() -> None:
    cgroup = cgroups.resolve("/a/b", "box", host=HYBRID)
    again = cgroups.load(cgroup.saved())
    assert again.saved() == cgroup.saved()
    assert again.paths() == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/a/b",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/a/b",
        "memory": "/sys/fs/cgroup/memory/a/b",
        "": "/sys/fs/cgroup/unified/a/b",
    }
    assert again.hierarchies() == ["cpu,cpuacct", "memory", "unified"]


@pytest.mark.parametrize(
    "changed",
    [
        {"driver": "systemd"},
        {"mode": "v3"},
        {"directories": [{"version": 2}]},
        {"directories": None},
        {"path": "/etc"},
        {"path": "/sys/fs/cgroup/../../etc"},
        {"path": "/sys/fs/cgroup"},
        {"version": 3},
    ],
)
def test_other_records_are_refused(changed: dict[str, object]) -> None:
    saved = cgroups.resolve("/a", "box", host=v2("/")).saved()
    directories = saved["directories"]
    assert isinstance(directories, list)
    if changed.keys() & directories[0].keys():
        saved["directories"] = [{**directories[0], **changed}]
    else:
        saved.update(changed)
    with pytest.raises(OrlopError, match="saved cgroup"):
        cgroups.load(saved)


def test_unknown_driver_is_refused() -> None:
    with pytest.raises(OrlopError, match='driver "other" is not available'):
        cgroups.resolve("", "box", driver="other", host=v2("/"))


def test_no_cgroup_does_nothing() -> None:
    none = cgroups.load({"driver": "cgroupfs", "mode": "none", "directories": []})
    none.create({})
    none.kill()
    none.thaw()
    none.remove()
    none.add_process(1)
    assert (none.mode, none.paths(), none.hierarchies()) == ("none", {}, [])
    assert (none.join_fds(), none.clone_fd(), none.pids(), none.stats()) == ([], None, [], {})
    assert not none.exists()
    assert not none.frozen()
    assert not none.populated()
    assert none.oom_kills() == 0
    with pytest.raises(OrlopError, match="no cgroup to limit"):
        none.apply({"pids": {"limit": 1}})
    with pytest.raises(OrlopError, match="cannot toggle freezer"):
        none.freeze()
