# SPDX-License-Identifier: Apache-2.0
"""Who gets a container's cgroup: config-linux.md, "Cgroup ownership"."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.cgroups import delegation


def spec(**changes: Any) -> Any:  # noqa: ANN401 - parts of a configuration
    """A container that writes to its own cgroup, as root of a user namespace."""
    base: dict[str, Any] = {
        "process": {"user": {"uid": 0, "gid": 0}},
        "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}],
        "linux": {
            "namespaces": [{"type": "cgroup"}, {"type": "user"}],
            "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}],
        },
    }
    for name, value in changes.items():
        at, _, key = name.partition("_")
        if key:
            base[at][key] = value
        else:
            base[at] = value
    return base


def mount(*options: str, **changes: str) -> list[dict[str, object]]:
    members = {"destination": "/sys/fs/cgroup/", "type": "cgroup", "source": "cgroup", **changes}
    return [{**members, "options": list(options)}]


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({}, 100000),
        ({"process_user": {"uid": 7, "gid": 0}}, 100007),
        ({"process_user": {"uid": 1000, "gid": 0}}, None),
        ({"process": {}}, 100000),
        ({"mounts": mount("nosuid", "rw")}, 100000),
        ({"mounts": mount("ro", "rw")}, 100000),
        ({"mounts": mount("nosuid", "ro")}, None),
        ({"mounts": mount(source="other")}, None),
        ({"mounts": mount(destination="/cgroup")}, None),
        ({"mounts": []}, None),
        ({"linux_namespaces": [{"type": "user"}]}, None),
        ({"linux_namespaces": [{"type": "cgroup", "path": "/x"}, {"type": "user"}]}, None),
        (
            {
                "process_user": {"uid": 1000, "gid": 0},
                "linux_namespaces": [{"type": "cgroup"}],
                "linux_uidMappings": [],
            },
            1000,
        ),
    ],
)
def test_owner(changes: dict[str, object], owner: int | None) -> None:
    assert delegation.owner(spec(**changes)) == owner
