# SPDX-License-Identifier: Apache-2.0
"""cgroupsPath leads to the units that runc makes, and those to the cgroups that systemd makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from runtime import cgroups, namespaces, prepare
from runtime.cgroups import systemd, systemd_manager
from runtime.cgroups.host import Hierarchy, Host
from runtime.cgroups.systemd_unit import slice_cgroup, unit
from runtime.context import Context
from runtime.host import Facts
from spec.errors import OrlopError

if TYPE_CHECKING:
    from spec.types import Spec

ROOT = Path(__file__).parents[2]
V2 = Host("v2", [], Hierarchy(2, ("",), "/sys/fs/cgroup", "/", "/own"))
HYBRID = Host(
    "hybrid",
    [
        Hierarchy(1, ("memory",), "/sys/fs/cgroup/memory", "/", "/own"),
        Hierarchy(1, ("name=systemd",), "/sys/fs/cgroup/systemd", "/", "/own"),
    ],
    Hierarchy(2, ("",), "/sys/fs/cgroup/unified", "/", "/own"),
)


@pytest.mark.parametrize(
    ("cgroups_path", "name", "cgroup"),
    [
        ("", "orlop-box.scope", "/system.slice/orlop-box.scope"),
        ("::box", "-box.scope", "/system.slice/-box.scope"),
        (":docker:abc", "docker-abc.scope", "/system.slice/docker-abc.scope"),
        ("a.slice:p:n", "p-n.scope", "/a.slice/p-n.scope"),
        ("a-b-c.slice:p:n", "p-n.scope", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
        ("-.slice:p:n", "p-n.scope", "/p-n.scope"),
        ("-:p:n", "p-n.scope", "/p-n.scope"),
        ("::pod-x.slice", "pod-x.slice", "/pod.slice/pod-x.slice"),
        ("a.slice:p:pod.slice", "pod.slice", "/pod.slice"),
        (":cgroup.x:n", "cgroup.x-n.scope", "/system.slice/_cgroup.x-n.scope"),
        (":memory.x:n", "memory.x-n.scope", "/system.slice/_memory.x-n.scope"),
        (":_p:n", "_p-n.scope", "/system.slice/__p-n.scope"),
    ],
)
def test_unit(cgroups_path: str, name: str, cgroup: str) -> None:
    found = unit(cgroups_path, "box", rootless=False)
    assert (found.name, found.cgroup) == (name, cgroup)


def test_rootless_default_is_the_users_slice() -> None:
    assert unit("", "box", rootless=True).cgroup == "/user.slice/orlop-box.scope"


def test_every_container_id_makes_a_unit() -> None:
    assert unit("", "a+b_c.d-e", rootless=False).name == r"orlop-a\x2bb_c.d-e.scope"


def test_parent_of_a_slice_follows_from_its_name() -> None:
    assert unit("x.slice:p:a-b.slice", "box", rootless=False).slice == "a.slice"
    assert unit("x.slice:p:a.slice", "box", rootless=False).slice == "-.slice"


@pytest.mark.parametrize("cgroups_path", ["/a/b", "a", "a:b", "a:b:c:d", "/a:b/c"])
def test_another_form_is_refused(cgroups_path: str) -> None:
    with pytest.raises(OrlopError, match="has not the form slice:prefix:name") as caught:
        unit(cgroups_path, "box", rootless=False)
    assert caught.value.pointer == "/linux/cgroupsPath"


@pytest.mark.parametrize(
    "name",
    ["a", ".slice", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice", "a b.slice", "é.slice"],
)
def test_names_that_no_slice_has(name: str) -> None:
    with pytest.raises(OrlopError, match="can't be the name of a slice"):
        slice_cgroup(name)
    with pytest.raises(OrlopError, match="can't be the name of a slice"):
        unit(f"{name}:p:n", "box", rootless=False)


@pytest.mark.parametrize("name", ["../n", "a/b", "a b", "n\n", "n" * 250])
def test_names_that_no_unit_has(name: str) -> None:
    with pytest.raises(OrlopError, match="can't be the name of a unit") as caught:
        unit(f"a.slice:p:{name}", "box", rootless=False)
    assert caught.value.pointer == "/linux/cgroupsPath"


@pytest.fixture
def booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose init is systemd, as far as sd_booted(3) can tell."""
    monkeypatch.setattr(systemd_manager, "BOOTED", str(tmp_path))


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize("host", [V2, HYBRID])
def test_record_survives(host: Host) -> None:
    cgroup = cgroups.resolve("a-b.slice:p:n", "box", driver="systemd", host=host)
    again = cgroups.load(cgroup.saved())
    assert again.saved() == cgroup.saved()
    assert type(again) is type(cgroup)
    assert set(again.paths().values()) == {
        f"{each.mountpoint}/a.slice/a-b.slice/p-n.scope"
        for each in (*host.hierarchies, host.unified)
        if each is not None
    }
    assert again.needs_init
    assert not again.attaches


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize(
    "changed", [{"unit": None}, {"unit": {}}, {"manager": "x"}, {"directories": [{"version": 2}]}]
)
def test_other_records_are_refused(changed: dict[str, object]) -> None:
    saved = cgroups.resolve("", "box", driver="systemd", host=V2).saved()
    saved.update(changed)
    with pytest.raises(OrlopError, match="saved cgroup"):
        cgroups.load(saved)


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize(
    ("joined", "expected"),
    [
        ([], ["sync moved into the cgroup", "unshare cgroup namespace"]),
        (["pid"], ["sync moved into the cgroup", "setns", "fork", "unshare cgroup namespace"]),
    ],
)
def test_plan_waits_for_the_scope_before_it_goes_on(joined: list[str], expected: list[str]) -> None:
    cgroup = cgroups.resolve("", "box", driver="systemd", host=V2)
    request = prepare.request_for("box", "/", cgroup)
    assert (request.scope, request.clone_into_cgroup, request.cgroups) == (True, False, [])
    linux = {
        "namespaces": [
            {"type": name, **({"path": "/x"} if name in joined else {})}
            for name in ("pid", "mount", "cgroup")
        ]
    }
    facts = Facts(privileged=True, uid=0, gid=0, kcore=True, cgroup=V2, last_capability=40)
    context = Context(cast("Spec", {"process": {}, "linux": linux}), facts, request)
    namespaces.clone(context)
    namespaces.enter(context)
    shown = [op.describe() for op in context.plan.ops if op.name != "non-dumpable"]
    assert len(shown) == len(expected), shown
    assert all(line.startswith(start) for line, start in zip(shown, expected, strict=True)), shown


@pytest.mark.usefixtures("booted")
def test_a_slice_needs_no_process() -> None:
    assert not cgroups.resolve("::a.slice", "box", driver="systemd", host=V2).needs_init


def test_host_without_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd_manager, "BOOTED", str(tmp_path / "none"))
    with pytest.raises(OrlopError, match="needs systemd as the host's init") as caught:
        cgroups.resolve("", "box", driver="systemd", host=V2)
    assert "--systemd-cgroup" in caught.value.hint


def test_user_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OrlopError, match="the user's systemd doesn't answer") as caught:
        cgroups.resolve("", "box", driver="systemd", rootless=True, host=V2)
    assert "XDG_RUNTIME_DIR" in caught.value.hint


def test_users_systemd_has_no_v1() -> None:
    with pytest.raises(OrlopError, match="on cgroup v2 only"):
        cgroups.resolve("", "box", driver="systemd", rootless=True, host=HYBRID)


def test_where_a_users_systemd_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    private, bus = f"{tmp_path}/systemd/private", f"{tmp_path}/bus"
    assert systemd_manager._addresses("user") == [(private, False), (bus, True)]
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/b")
    assert systemd_manager._addresses("user") == [(private, False), ("/b", True)]


def test_units_of_a_user_are_below_their_manager() -> None:
    base = "/user.slice/user-1.slice/user@1.service"
    (found,) = systemd._directories(V2, f"{base}/user.slice/p-n.scope")
    assert found.path == f"/sys/fs/cgroup{base}/user.slice/p-n.scope"
    inner = Host("v2", [], Hierarchy(2, ("",), "/sys/fs/cgroup", base, "/"))
    (found,) = systemd._directories(inner, f"{base}/user.slice/p-n.scope")
    assert found.path == "/sys/fs/cgroup/user.slice/p-n.scope"
    assert os.path.basename(found.cgroup) == "p-n.scope"


def test_the_driver_imports_nothing_slow() -> None:
    """It is on the path of a start, where interpreters run with -I -S."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import runtime.cgroups.systemd;"
        " print(*sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    slow = {"asyncio", "json", "re", "socket", "enum", "collections", "subprocess", "typing"}
    assert slow.isdisjoint(output.split())
