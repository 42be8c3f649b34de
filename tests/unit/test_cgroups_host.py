# SPDX-License-Identifier: Apache-2.0
"""Hierarchies are found from /proc/self/cgroup and mountinfo as recorded on hosts of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.cgroups import host
from spec.errors import OrlopError

if TYPE_CHECKING:
    from pathlib import Path

V1_CGROUP = """\
12:freezer:/
11:memory:/user.slice/user-1000.slice/session-2.scope
10:cpuset:/
9:hugetlb:/
8:devices:/user.slice
7:net_cls,net_prio:/
6:pids:/user.slice/user-1000.slice/session-2.scope
5:perf_event:/
4:cpu,cpuacct:/user.slice
3:blkio:/user.slice
2:rdma:/
1:name=systemd:/user.slice/user-1000.slice/session-2.scope
"""
V1_MOUNTS = """\
22 27 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:14 - cgroup cgroup rw,memory
35 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:15 - cgroup cgroup rw,cpu,cpuacct
36 30 0:32 / /sys/fs/cgroup/net_cls,net_prio rw shared:16 - cgroup cgroup rw,net_cls,net_prio
37 30 0:33 / /sys/fs/cgroup/cpuset rw,nosuid shared:17 - cgroup cgroup rw,cpuset
"""
HYBRID_CGROUP = V1_CGROUP + "0::/user.slice/user-1000.slice/session-2.scope\n"
HYBRID_MOUNTS = V1_MOUNTS + (
    "32 30 0:28 / /sys/fs/cgroup/unified rw,nosuid shared:11 - cgroup2 cgroup2 rw,nsdelegate\n"
)
V2_CGROUP = "0::/\n"
V2_MOUNTS = "28 22 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec - cgroup2 none rw\n"
SYSTEMD_CGROUP = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n"
SYSTEMD_MOUNTS = (
    "24 22 0:22 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 "
    "- cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)
# In a container on a v1 host, without a cgroup namespace: paths of the host, mounts of a part.
DIND_CGROUP = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/x\n"
DIND_MOUNTS = """\
612 611 0:30 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:14 - cgroup cgroup rw,memory
613 611 0:31 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
614 611 0:27 /docker/abc /sys/fs/cgroup/systemd ro - cgroup cgroup rw,xattr,name=systemd
"""


def found(cgroup: str, mounts: str) -> host.Host:
    return host.from_mounts(host.parse_memberships(cgroup), host.parse_mountinfo(mounts))


def places(found: host.Host) -> dict[str, tuple[str, str]]:
    return {",".join(h.controllers): (h.mountpoint, h.own) for h in found.hierarchies}


def test_v1() -> None:
    v1 = found(V1_CGROUP, V1_MOUNTS)
    assert v1.mode == "v1"
    assert v1.unified is None
    assert places(v1) == {
        "memory": ("/sys/fs/cgroup/memory", "/user.slice/user-1000.slice/session-2.scope"),
        "cpuset": ("/sys/fs/cgroup/cpuset", "/"),
        "net_cls,net_prio": ("/sys/fs/cgroup/net_cls,net_prio", "/"),
        "cpu,cpuacct": ("/sys/fs/cgroup/cpu,cpuacct", "/user.slice"),
        "name=systemd": ("/sys/fs/cgroup/systemd", "/user.slice/user-1000.slice/session-2.scope"),
    }


def test_hybrid() -> None:
    hybrid = found(HYBRID_CGROUP, HYBRID_MOUNTS)
    assert hybrid.mode == "hybrid"
    assert hybrid.unified is not None
    assert hybrid.unified.mountpoint == "/sys/fs/cgroup/unified"
    assert hybrid.unified.own == "/user.slice/user-1000.slice/session-2.scope"
    assert len(hybrid.hierarchies) == 5


@pytest.mark.parametrize(
    ("cgroup", "mounts", "own"),
    [
        (V2_CGROUP, V2_MOUNTS, "/"),
        (
            SYSTEMD_CGROUP,
            SYSTEMD_MOUNTS,
            "/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope",
        ),
    ],
)
def test_v2(cgroup: str, mounts: str, own: str) -> None:
    v2 = found(cgroup, mounts)
    assert (v2.mode, v2.hierarchies) == ("v2", [])
    assert v2.unified is not None
    assert (v2.unified.mountpoint, v2.unified.own) == ("/sys/fs/cgroup", own)


def test_v2_with_a_lone_v1_hierarchy_is_v2() -> None:
    extra = "99 1 0:77 / /opt/vpn/net_cls rw - cgroup net_cls rw,net_cls\n"
    assert found("1:net_cls:/\n0::/x.scope\n", SYSTEMD_MOUNTS + extra).mode == "v2"


def test_container_without_a_cgroup_namespace() -> None:
    inside = found(DIND_CGROUP, DIND_MOUNTS)
    assert inside.mode == "v1"
    assert places(inside)["memory"] == ("/sys/fs/cgroup/memory", "/")
    assert {h.root for h in inside.hierarchies} == {"/docker/abc"}


def test_own_cgroup_outside_of_the_namespace_counts_as_its_root() -> None:
    outside = found("0::/../other.scope\n", V2_MOUNTS)
    assert outside.unified is not None
    assert outside.unified.own == "/"


def test_mount_that_shows_the_own_cgroup_is_preferred() -> None:
    mounts = (
        "50 1 0:25 /somewhere/else /mnt/part rw - cgroup2 cgroup2 rw\n"
        "51 1 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    )
    assert found("0::/a/b\n", mounts).unified.mountpoint == "/sys/fs/cgroup"  # type: ignore[union-attr]


def test_escaped_mountpoint() -> None:
    mounts = host.parse_mountinfo(
        "50 1 0:25 / /mnt/with\\040space\\134n rw - cgroup2 cgroup2 rw\n"
        "51 1 0:25 / /cgroup rw - tmpfs cgroup rw\n"
    )
    assert [mount.mountpoint for mount in mounts] == ["/mnt/with space\\n"]


def test_no_hierarchy_is_an_error() -> None:
    with pytest.raises(OrlopError, match="no cgroup hierarchy is mounted"):
        found("0::/\n", "22 27 0:21 / /sys rw - sysfs sysfs rw\n")


def test_conventional_layouts_need_no_mountinfo(tmp_path: Path) -> None:
    for name in ("memory", "cpu,cpuacct", "systemd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "release_agent").touch()
    memberships = host.parse_memberships("2:memory:/a\n1:cpu,cpuacct:/\n3:name=systemd:/s\n0::/u\n")
    v1 = host.conventional(memberships, str(tmp_path))
    assert v1 is not None
    assert v1.mode == "v1"
    assert places(v1)["name=systemd"] == (f"{tmp_path}/systemd", "/s")
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").touch()
    hybrid = host.conventional(memberships, str(tmp_path))
    assert hybrid is not None
    assert hybrid.mode == "hybrid"
    assert hybrid.unified is not None
    assert hybrid.unified.own == "/u"


@pytest.mark.parametrize("missing", ["memory/release_agent", "unified/cgroup.controllers"])
def test_other_layouts_are_left_to_mountinfo(tmp_path: Path, missing: str) -> None:
    for name in ("memory/release_agent", "unified/cgroup.controllers"):
        (tmp_path / name).parent.mkdir()
        if name != missing:
            (tmp_path / name).touch()
    memberships = host.parse_memberships("2:memory:/\n0::/\n")
    assert host.conventional(memberships, str(tmp_path)) is None


def test_part_of_a_v2_hierarchy_is_left_to_mountinfo(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    whole = host.conventional(host.parse_memberships("0::/a\n"), str(tmp_path))
    assert whole is not None
    assert whole.mode == "v2"
    (tmp_path / "cgroup.type").touch()
    assert host.conventional(host.parse_memberships("0::/\n"), str(tmp_path)) is None
