# SPDX-License-Identifier: Apache-2.0
"""`exec --cgroup`: its forms, and what the container's hierarchies have to say to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.cgroups.cgroupfs_v1 import CgroupfsV1
from runtime.cgroups.paths import Directory
from runtime.errors import UsageError
from runtime.exec_cgroup import Place, parse

if TYPE_CHECKING:
    from runtime.cgroups.cgroup import Sub


@pytest.mark.parametrize(
    ("words", "sub"),
    [
        ([], ""),
        ([""], ""),
        (["a/b"], "a/b"),
        (["cpu:a"], {"cpu": "a"}),
        (["cpu,memory:a", "pids:b:c"], {"cpu": "a", "memory": "a", "pids": "b:c"}),
        (["name=systemd:a"], {"name=systemd": "a"}),
    ],
)
def test_forms(words: list[str], sub: Sub) -> None:
    assert parse(words) == sub


@pytest.mark.parametrize("words", [["a", "b"], ["cpu:a", "b"], [":a"], ["cpu:a", "pids,cpu:b"]])
def test_forms_that_are_none(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--cgroup"):
        parse(words)


def comounted() -> CgroupfsV1:
    """A host where cpu and cpuacct are one hierarchy; nothing of it exists."""
    directory = Directory(1, ("cpu", "cpuacct"), "/nowhere", "/", "/nowhere/box")
    return CgroupfsV1("v1", [directory])


def test_a_hierarchy_has_one_place() -> None:
    with pytest.raises(UsageError, match="'cpuacct' is in one hierarchy with another"):
        Place(comounted(), {"cpu": "a", "cpuacct": "b"}, 1)


def test_controllers_that_the_container_lacks() -> None:
    with pytest.raises(UsageError, match="no cgroup of controller 'pids'") as caught:
        Place(comounted(), {"pids": "a"}, 1)
    assert caught.value.hint == "there are cpu, cpuacct"


def test_a_container_without_cgroup() -> None:
    assert (Place(None, "", 1).clone_fd, Place(None, "", 1).join_fds) == (-1, {})
    with pytest.raises(UsageError, match="the container has no cgroup"):
        Place(None, "a", 1)
