# SPDX-License-Identifier: Apache-2.0
"""Capabilities and no_new_privs, as the kernel reports them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.features import requires
from tests.support.running import started

if TYPE_CHECKING:
    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container


pytestmark = requires("root")

#: Numbers of capabilities.h.
CHOWN, KILL, SETGID, SETUID, NET_BIND, NET_RAW = 0, 5, 6, 7, 10, 13
NAMES = {
    CHOWN: "CAP_CHOWN", KILL: "CAP_KILL", SETGID: "CAP_SETGID", SETUID: "CAP_SETUID",
    NET_BIND: "CAP_NET_BIND_SERVICE", NET_RAW: "CAP_NET_RAW",
}  # fmt: skip


def mask(*numbers: int) -> str:
    """A set of capabilities as /proc/PID/status has it."""
    return f"{sum(1 << n for n in numbers):016x}"


def set_capabilities(bundle: Bundle, **sets: tuple[int, ...]) -> None:
    bundle.process["capabilities"] = {
        kind: [NAMES[n] for n in numbers] for kind, numbers in sets.items()
    }


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status, seen from outside."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_five_sets_are_the_configurations(container: Container) -> None:
    """Before execve(2), which would compute effective and permitted anew."""
    set_capabilities(
        container.bundle,
        bounding=(CHOWN, KILL, SETUID, NET_BIND, NET_RAW),
        permitted=(CHOWN, KILL, SETUID, NET_BIND),
        effective=(CHOWN, SETUID),
        inheritable=(KILL, NET_BIND),
        ambient=(KILL,),
    )
    container.create()
    found = status_of(container.pid)
    assert found["CapBnd"] == mask(CHOWN, KILL, SETUID, NET_BIND, NET_RAW)
    assert found["CapPrm"] == mask(CHOWN, KILL, SETUID, NET_BIND)
    assert found["CapEff"] == mask(CHOWN, SETUID)
    assert (found["CapInh"], found["CapAmb"]) == (mask(KILL, NET_BIND), mask(KILL))


def test_roots_program_has_the_bounding_set(run_probe: RunProbe, bundle: Bundle) -> None:
    both = (CHOWN, KILL)
    set_capabilities(bundle, bounding=both, permitted=both, effective=both)
    facts = probe.facts(run_probe("caps"))
    assert facts["CapBnd"] == facts["CapEff"] == facts["CapPrm"] == mask(*both)
    assert facts["CapInh"] == facts["CapAmb"] == mask()


def test_ambient_capabilities_reach_a_users_program(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    one, two = (NET_BIND,), (NET_BIND, CHOWN)
    set_capabilities(
        bundle, bounding=two, permitted=two, effective=two, inheritable=one, ambient=one
    )
    facts = probe.facts(run_probe("caps"))
    assert facts["CapEff"] == facts["CapPrm"] == facts["CapAmb"] == mask(*one)
    assert facts["CapBnd"] == mask(*two)


def test_a_user_without_ambient_ones_has_none(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    facts = probe.facts(run_probe("caps"))
    assert facts["CapEff"] == facts["CapPrm"] == facts["CapAmb"] == facts["CapInh"] == mask()


def test_without_capabilities_root_has_none(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {}
    facts = probe.facts(run_probe("caps"))
    assert {facts[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {mask()}


def test_a_capability_of_exec_is_not_inheritable(container: Container) -> None:
    """CVE-2022-29162."""
    started(container)
    program = ("/bin/probe", "caps")
    answer = container.cli("exec", "--cap", "CAP_NET_RAW", container.id, *program).stdout
    facts = probe.facts(answer)
    assert int(facts["CapEff"], 16) >> NET_RAW & 1
    assert facts["CapInh"] == facts["CapAmb"] == mask()


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges_is_as_configured(
    run_probe: RunProbe,
    bundle: Bundle,
    wanted: bool,  # noqa: FBT001
) -> None:
    bundle.process["noNewPrivileges"] = wanted
    assert probe.facts(run_probe("caps"))["NoNewPrivs"] == str(int(wanted))
