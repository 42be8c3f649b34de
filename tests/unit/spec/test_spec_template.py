# SPDX-License-Identifier: Apache-2.0
"""What `orlop spec` writes is valid, safe, and differs for rootless users where it must."""

from __future__ import annotations

import pytest

from spec import bundle, explain
from spec.template import default_spec
from spec.version import OCI_VERSION


@pytest.mark.parametrize("rootless", [False, True])
def test_templates_pass_the_strict_check(rootless: bool) -> None:  # noqa: FBT001 (parametrized)
    assert bundle.check(default_spec(rootless=rootless, uid=1000, gid=100)) == ([], [])


def test_the_default_has_what_runc_has() -> None:
    spec = default_spec()
    assert spec["ociVersion"] == OCI_VERSION
    assert spec["process"]["args"] == ["sh"]
    assert spec["process"]["terminal"]
    assert spec["process"]["noNewPrivileges"]
    assert spec["root"] == {"path": "rootfs", "readonly": True}
    assert [mount["destination"] for mount in spec["mounts"]] == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
        "/sys/fs/cgroup",
    ]
    kinds = [entry["type"] for entry in spec["linux"]["namespaces"]]
    assert kinds == ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    assert spec["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


@pytest.mark.parametrize("rootless", [False, True])
def test_no_capability_outlives_a_change_of_user(rootless: bool) -> None:  # noqa: FBT001
    sets = default_spec(rootless=rootless)["process"]["capabilities"]
    assert set(sets) == {"bounding", "effective", "permitted"}


def test_rootless_maps_the_caller_and_needs_no_privilege() -> None:
    spec = default_spec(rootless=True, uid=1000, gid=100)
    linux = spec["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 100, "size": 1}]
    kinds = {entry["type"] for entry in linux["namespaces"]}
    assert "user" in kinds
    assert "network" not in kinds
    assert "resources" not in linux
    mounts = {mount["destination"]: mount for mount in spec["mounts"]}
    assert mounts["/sys"]["source"] == "/sys"
    assert {"rbind", "ro"} <= set(mounts["/sys"]["options"])
    assert not any(
        option.startswith(("uid=", "gid="))
        for mount in spec["mounts"]
        for option in mount.get("options", ())
    )


def test_templates_share_nothing() -> None:
    first = default_spec()
    first["linux"]["maskedPaths"].clear()
    first["process"]["capabilities"]["bounding"].clear()
    assert default_spec()["linux"]["maskedPaths"]
    assert default_spec()["process"]["capabilities"]["bounding"]


def test_features_and_state_have_schemas() -> None:
    assert (
        explain.violations({"ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0"}, "features") == []
    )
    state = {"ociVersion": "1.3.0", "id": "a", "status": "paused", "bundle": "/b"}
    (violation,) = explain.violations(state, "state", "state.json")
    assert str(violation) == (
        '/status: found "paused" (string), '
        'expected one of "created", "creating", "running", "stopped"'
    )
