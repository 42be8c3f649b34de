# SPDX-License-Identifier: Apache-2.0
"""The session keyring: the container's own, the same for all its processes, nobody else's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.namespaces import map_root
from tests.support.running import started

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.v2,
    pytest.mark.skipif(not Path("/proc/keys").exists(), reason="the kernel has no keyrings"),
]
#: keyctl_setperm(3)
USER_SEARCH, OTHER_SEARCH = 0x00080000, 0x00000008


def description(facts: dict[str, str]) -> tuple[str, int, str]:
    """Owner, permissions and name."""
    _, uid, _, permissions, name = facts["description"].split(";")
    return uid, int(permissions, 16), name


def test_it_is_named_after_the_container(container: Container) -> None:
    container.bundle.args("keyring")
    uid, permissions, name = description(probe.facts(container.run().stdout))
    assert (uid, name) == ("0", f"_ses.{container.id}")
    assert permissions & USER_SEARCH
    assert not permissions & OTHER_SEARCH


def test_in_a_user_namespace_its_users_find_it(container: Container) -> None:
    container.bundle.linux["namespaces"].append({"type": "user"})
    map_root(container.bundle, 100)
    container.bundle.args("keyring")
    assert description(probe.facts(container.run().stdout))[1] & OTHER_SEARCH


def test_a_user_of_the_container_has_it(container: Container) -> None:
    container.bundle.process["user"] = {"uid": 1000, "gid": 1000}
    container.bundle.args("keyring")
    assert description(probe.facts(container.run().stdout))[2] == f"_ses.{container.id}"


@pytest.mark.parametrize("uid", [0, 1000])
def test_an_exec_has_the_same(container: Container, uid: int) -> None:
    """Not its caller's, whose keys are none of the container's business."""
    started(container)
    found = {line.split()[-2] for line in keys() if f"_ses.{container.id}:" in line}
    command = ("exec", "--user", str(uid), container.id, "/bin/probe", "keyring")
    facts = probe.facts(container.cli(*command).stdout)
    assert description(facts)[2] == f"_ses.{container.id}"
    assert len(found) == 1
    again = probe.facts(container.cli(*command).stdout)
    assert facts["serial"] == again["serial"]


def keys() -> list[str]:
    return Path("/proc/keys").read_text().splitlines()


def test_without_a_new_one_both_have_the_callers(container: Container) -> None:
    container.bundle.args("keyring", "--", "sleep")
    container.run_detached("--no-new-keyring")
    lines = [container.read_line() for _ in range(3)]
    own = probe.facts("\n".join(lines[:2]))
    assert description(own)[2] != f"_ses.{container.id}"
    assert probe.facts(container.exec("keyring").stdout) == own


@requires("runc")
@pytest.mark.skipif(not is_orlop(), reason="runc is the other one")
def test_its_permissions_are_those_of_runcs(
    make_bundle: Callable[[], Bundle],
    make_container: Callable[[Bundle], Container],
    monkeypatch: pytest.MonkeyPatch,
    cgroup: str,
) -> None:
    ours = make_container(make_bundle().args("keyring")).run().stdout
    monkeypatch.setenv("RUNTIME", "runc")
    bundle = make_bundle().args("keyring")
    bundle.linux["cgroupsPath"] = cgroup  # runc would leave a parent of it behind
    theirs = make_container(bundle).run().stdout
    one, other = (description(probe.facts(text)) for text in (ours, theirs))
    assert one[:2] == other[:2]
    assert (one[2][:5], other[2][:5]) == ("_ses.", "_ses.")
