# SPDX-License-Identifier: Apache-2.0
"""A creator that is killed leaves what `delete --force` finds: the record is written before."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies
from tests.support.cli import is_orlop
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.root,
    pytest.mark.v2,
    pytest.mark.skipif(not is_orlop(), reason="other runtimes leave the cgroups above"),
]

KILL_PARENT = {"path": "/bin/sh", "args": ["sh", "-c", "kill -KILL $PPID"]}


def killed(container: Container) -> None:
    """Create a container whose hook kills the creator, before it could write what it made."""
    container.bundle.spec["hooks"] = {"createRuntime": [KILL_PARENT]}
    done = container.create(check=False)
    assert done.returncode == -signal.SIGKILL


def test_cgroups_above_that_were_missing_go_too(container: Container, cgroup: str) -> None:
    container.bundle.linux["cgroupsPath"] = f"{cgroup}/a/b/c"
    killed(container)
    names = {path.name for path in hierarchies.below(cgroup)}
    assert {"a", "b", "c"} <= names
    container.delete("--force")
    assert hierarchies.below(cgroup) == []


def test_cgroups_above_that_were_there_stay(container: Container, cgroup: str) -> None:
    tops = [top / cgroup.lstrip("/") for top in hierarchies.mountpoints().values()]
    for top in tops:
        (top / "a").mkdir(parents=True)
    container.bundle.linux["cgroupsPath"] = f"{cgroup}/a/b/c"
    killed(container)
    container.delete("--force")
    assert sorted(hierarchies.below(cgroup)) == sorted([*tops, *(top / "a" for top in tops)])
    hierarchies.remove(cgroup)


def test_cgroups_above_that_others_use_by_now_stay(container: Container, cgroup: str) -> None:
    container.bundle.linux["cgroupsPath"] = f"{cgroup}/a/b/c"
    killed(container)
    neighbour = next(iter(hierarchies.mountpoints().values())) / cgroup.lstrip("/") / "a/neighbour"
    neighbour.mkdir()
    container.delete("--force")
    assert hierarchies.below(cgroup) == [neighbour, neighbour.parent, neighbour.parent.parent]
    hierarchies.remove(cgroup)
