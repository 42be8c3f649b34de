# SPDX-License-Identifier: Apache-2.0
"""A container's cgroup files are what Debian's runc and crun make of the same resources.

cpu.weight is left out: its formula was another in runc 1.1 and crun 1.8.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import hierarchies
from tests.support.cli import Cli, is_orlop
from tests.support.container import Container
from tests.support.features import requires
from tests.support.peer import Peer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.skipif(not is_orlop(), reason="compares this runtime with others"),
    pytest.mark.v2,
]
MIB = 1 << 20

#: Files that count or trigger instead of limiting, and what differs by design.
NO_LIMITS = {
    "cgroup.procs", "cgroup.threads", "tasks", "cpuacct.usage", "cpu.weight", "cpu.weight.nice",
    "memory.peak", "memory.swap.peak",
}  # fmt: skip

SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "memory": {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}},
    "unlimited-memory": {"memory": {"limit": -1, "swap": -1}},
    "memory-alone": {"memory": {"limit": 64 * MIB}},
    "swappiness": {"memory": {"limit": 64 * MIB, "swappiness": 7, "disableOOMKiller": True}},
    "cpu": {"cpu": {"shares": 300, "quota": 30000, "period": 60000}},
    "cpuset": {"cpu": {"cpus": "0", "mems": "0"}},
    "pids": {"pids": {"limit": 33}},
    "unlimited-pids": {"pids": {"limit": -1}},
    "unified": {"unified": {"memory.high": str(40 * MIB), "cpu.max": "4000 50000"}},
    "hugetlb": {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
    "net_cls": {"network": {"classID": 0x100001}},
    "net_prio": {"network": {"priorities": [{"name": "lo", "priority": 5}]}},
    "devices": {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": True, "type": "b", "major": 7, "access": "r"},
        ]
    },
}
#: Of cgroup v1 alone, and of v2 alone.
ONE_VERSION = {"swappiness": "v1", "net_cls": "v1", "net_prio": "v1", "unified": "v2"}
#: Controllers that not every machine has.
RARE = ("cpuset", "hugetlb", "net_cls", "net_prio")
#: /dev/net/tun, which every container may open with runc alone, and /dev/console with crun.
TUN, CONSOLE = "c 10:200 rwm\n", "c 5:1 rwm\n"


def cases() -> list[tuple[str, str]]:
    """Each setting with each peer; crun 1.8 fails where processes are unlimited."""
    both = [(name, peer) for name in SETTINGS for peer in ("runc", "crun")]
    return [case for case in both if case != ("unlimited-pids", "crun")]


def controllers() -> set[str]:
    """Those of this machine's hierarchies; on a hybrid one, without those that are on v2."""
    places = hierarchies.mountpoints()
    if hierarchies.mode() == "v2":
        return set((places["v2"] / "cgroup.controllers").read_text().split())
    return {name for names in places for name in names.split(",")}


def directories(cgroup: str) -> dict[str, Path]:
    """The container's cgroups, by hierarchy."""
    places = {n: top / cgroup.lstrip("/") for n, top in hierarchies.mountpoints().items()}
    return {
        name: place
        for name, place in places.items()
        if place.is_dir() and name != "misc"  # which runc 1.1 doesn't know
    }


def is_setting(path: Path) -> bool:
    """Whether a cgroup's file is there to be written, and tells what was written."""
    mode = stat.S_IMODE(path.lstat().st_mode)
    return (
        path.is_file()
        and mode & 0o600 == 0o600
        and path.name not in NO_LIMITS
        and not path.name.endswith((".pressure", ".reset_stats", ".failcnt"))
        and ".max_usage" not in path.name
        and ".rsvd." not in path.name  # which runc 1.1 and crun 1.8 don't know
    )


def settings(cgroup: str) -> dict[str, str]:
    """What all files of a container's cgroups say that somebody may set, and devices.list."""
    found = {}
    for name, directory in directories(cgroup).items():
        for path in directory.iterdir():
            if is_setting(path) or path.name == "devices.list":
                text = path.read_text()
                found[f"{name}/{path.name}"] = "".join(sorted(text.splitlines(keepends=True)))
    return found


def seen(cli: Cli, bundle: Bundle) -> dict[str, str]:
    """The settings of a container of the runtime, which is gone afterwards."""
    cli.directory.mkdir()
    container = Container(cli, bundle, type(cli).__name__.lower())
    try:
        container.create()
        return settings(bundle.cgroup)
    finally:
        container.close()
        hierarchies.remove(os.path.dirname(bundle.cgroup))  # runc leaves what is above its own


@pytest.mark.parametrize(
    ("name", "peer"), [pytest.param(*case, marks=requires(case[1])) for case in cases()]
)
def test_the_files_say_the_same(
    tmp_path: Path, bundle: Bundle, watch: Watch, name: str, peer: str
) -> None:
    assert not watch.found()
    version = "v2" if hierarchies.mode() == "v2" else "v1"
    if ONE_VERSION.get(name, version) != version:
        pytest.skip(f"of cgroup {ONE_VERSION[name]} alone")
    if name in RARE and name not in controllers():
        pytest.skip(f"no hierarchy has the controller {name}")
    bundle.spec["ociVersion"] = "1.0.2"  # what crun 1.8 knows
    bundle.resources.update(SETTINGS[name])
    ours = seen(Cli(tmp_path / "ours"), bundle)
    theirs = seen(Peer(tmp_path / "theirs", peer), bundle)
    if peer == "crun":
        # It isn't shown the v2 hierarchy of a hybrid host.
        ours = {file: text.replace(TUN, "") for file, text in ours.items() if file in theirs}
        theirs = {file: text.replace(CONSOLE, "") for file, text in theirs.items()}
    assert len(ours) > 5
    assert ours == theirs
