# SPDX-License-Identifier: Apache-2.0
"""From configurations to plans, as `orlop plan` prints them, with recorded facts about hosts.

`UPDATE_GOLDEN=1` rewrites tests/unit/golden; read the difference before committing it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from native.plan import lib
from runtime import prepare
from runtime.cgroups import host as cgroup_host
from runtime.commands.plan import as_json, as_text
from runtime.compile import compile_container
from runtime.host import Facts
from runtime.seccomp import SECCOMP_FILTER_FLAG_NEW_LISTENER, Filter
from spec import bundle as bundles
from tests.unit import configurations
from tests.unit import test_cgroups_host as recorded
from tests.unit.configurations import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from native.plan import Plan

    Config = dict[str, Any]

GOLDEN = Path(__file__).with_name("golden")
ROOTFS = "/srv/bundle/rootfs"
MODES = {
    "v1": (recorded.V1_CGROUP, recorded.V1_MOUNTS),
    "hybrid": (recorded.HYBRID_CGROUP, recorded.HYBRID_MOUNTS),
    "v2": (recorded.V2_CGROUP, recorded.V2_MOUNTS),
}


def facts(mode: str, *, user: int = 0) -> Facts:
    """A recorded host, used by root or by an unprivileged user."""
    return Facts(
        privileged=user == 0,
        uid=user,
        gid=user,
        kcore=True,
        cgroup=recorded.found(*MODES[mode]),
        last_capability=40,
    )


CASES: dict[str, tuple[Callable[[], Config], tuple[str, ...], int]] = {
    "default": (configurations.default, ("v1", "hybrid", "v2"), 0),
    "rootless": (configurations.rootless, ("hybrid", "v2"), 1000),
    "docker": (configurations.docker, ("hybrid", "v2"), 0),
    "pod": (configurations.pod, ("v1", "v2"), 0),
    "pod-with-user-namespace": (configurations.pod_with_user_namespace, ("v2",), 0),
    "user-namespace": (configurations.user_namespace, ("hybrid", "v2"), 0),
    "host-namespaces": (configurations.host_namespaces, ("hybrid", "v2"), 0),
    "no-mount-namespace": (configurations.no_mount_namespace, ("v2",), 0),
    "terminal": (configurations.terminal, ("v2",), 0),
    "hooks": (configurations.hooks, ("v2",), 0),
    "seccomp": (configurations.seccomp, ("v2",), 0),
    "seccomp-with-new-privileges": (configurations.seccomp_with_new_privileges, ("v2",), 0),
    "user": (configurations.user, ("v2",), 0),
    "scheduled": (configurations.scheduled, ("hybrid", "v2"), 0),
    "scheduled-in-user-namespace": (configurations.scheduled_in_user_namespace, ("v2",), 0),
    "propagation": (configurations.propagation, ("v2",), 0),
    "mounts": (configurations.mounts, ("hybrid",), 0),
    "everything": (configurations.everything, ("hybrid", "v2"), 0),
}
EACH = [(name, mode) for name, (_, modes, _) in CASES.items() for mode in modes]


def compiled(name: str, mode: str) -> tuple[Config, Plan]:
    """The configuration and its plan."""
    make, _, caller = CASES[name]
    config: Any = make()
    host = facts(mode, user=caller)
    cgroup = prepare.resolve_cgroup(config, "c1", host)
    request = prepare.request_for("c1", ROOTFS, cgroup)
    profile = config["linux"].get("seccomp")
    loaded = None
    if profile:  # what libseccomp makes of it is its version's business
        notify = "listenerPath" in profile
        loaded = Filter(bytes(8 * 3), SECCOMP_FILTER_FLAG_NEW_LISTENER if notify else 0)
    return config, compile_container(config, host, request, loaded)


@pytest.mark.parametrize(("name", "mode"), EACH)
def test_the_plan_is_the_golden_one(name: str, mode: str) -> None:
    text = as_text(compiled(name, mode)[1])
    file = GOLDEN / f"{name}.{mode}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {f.name for f in GOLDEN.iterdir()} == {f"{name}.{mode}.txt" for name, mode in EACH}


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_one_that_the_standard_allows(name: str) -> None:
    violations, warnings = bundles.check(CASES[name][0]())
    assert (violations, warnings) == ([], [])


@pytest.mark.parametrize(("name", "mode"), EACH)
def test_no_value_of_an_environment_variable_is_shown(name: str, mode: str) -> None:
    config, plan = compiled(name, mode)
    assert SECRET in json.dumps(config)
    assert SECRET in plan.pack().decode("utf-8", "replace")
    assert SECRET not in as_text(plan)
    assert SECRET not in as_json(plan)
    names = [entry.partition("=")[0] for entry in config["process"]["env"]]
    assert all(variable in as_text(plan) for variable in names)


@pytest.mark.parametrize(("name", "mode"), EACH)
def test_json_says_what_the_text_says(name: str, mode: str) -> None:
    plan = compiled(name, mode)[1]
    shown = json.loads(as_json(plan))
    assert [op["operation"] for op in shown["operations"]] == [op.name for op in plan.ops]
    for line, op in zip(as_text(plan).splitlines()[1:], shown["operations"], strict=True):
        assert op["operation"] in line
        assert line.endswith(op["pointer"])


@pytest.mark.parametrize(("name", "mode"), EACH)
def test_every_pointer_is_one_into_the_configuration(name: str, mode: str) -> None:
    """The member itself may be absent: it has a default then."""
    config, plan = compiled(name, mode)
    assert sum(op.pointer != "" for op in plan.ops) > len(plan.ops) / 2
    for op in plan.ops:
        value: Any = config
        *above, last = op.pointer[1:].split("/") if op.pointer else ["", ""]
        for key in above if op.pointer else ():
            value = value[int(key)] if isinstance(value, list) else value.get(key, {})
        if isinstance(value, list):
            assert int(last) < len(value)


@pytest.mark.parametrize(("name", "mode"), EACH)
def test_a_plan_ends_with_the_program_and_waits_once_before(name: str, mode: str) -> None:
    codes = [op.code for op in compiled(name, mode)[1].ops]
    assert codes[-1] == lib.OP_EXEC
    assert [codes.count(c) for c in (lib.OP_READY, lib.OP_WAIT_START, lib.OP_LOOKUP)] == [1, 1, 1]
    assert codes.index(lib.OP_LOOKUP) < codes.index(lib.OP_READY) < codes.index(lib.OP_WAIT_START)


@pytest.mark.parametrize(("name", "mode"), EACH)
def test_what_confines_stands_behind_what_it_would_forbid(name: str, mode: str) -> None:
    codes = [op.code for op in compiled(name, mode)[1].ops]
    order = [lib.OP_PIVOT, lib.OP_BOUNDING, lib.OP_GROUPS, lib.OP_USER, lib.OP_CAPABILITIES]
    places = [len(codes) - codes[::-1].index(code) for code in order if code in codes]
    assert places == sorted(places)
    if lib.OP_SECCOMP in codes:
        assert codes.index(lib.OP_SECCOMP) > codes.index(lib.OP_CAPABILITIES)


@pytest.mark.parametrize("name", CASES)
def test_compiling_looks_at_nothing_but_its_arguments(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode = CASES[name][1][0]
    expected = as_text(compiled(name, mode)[1])

    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise AssertionError("the compiler looked at the host")

    for function in ("open", "stat", "lstat", "listdir", "readlink", "access", "geteuid"):
        monkeypatch.setattr(os, function, refuse)
    assert as_text(compiled(name, mode)[1]) == expected


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_a_sysctl_is_found_as_sysctl_finds_it(key: str, path: str) -> None:
    """sysctl.d(5): the separator that comes first is the separator, the other one stands for it."""
    config: Any = configurations.default()
    config["linux"]["sysctl"] = {key: "1"}
    host = facts("v2")
    request = prepare.request_for("c1", ROOTFS, prepare.resolve_cgroup(config, "c1", host))
    ops = compile_container(config, host, request).ops
    assert [op.strings for op in ops if op.code == lib.OP_SYSCTL] == [(path, "1")]


def test_recorded_hosts_are_of_the_modes_that_they_are_said_to_be() -> None:
    assert [facts(mode).cgroup.mode for mode in MODES] == list(MODES)
    assert isinstance(facts("v2").cgroup, cgroup_host.Host)
