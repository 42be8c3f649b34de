# SPDX-License-Identifier: Apache-2.0
"""What a failure says: a code, a line for people, and for programs its pointer, step and errno."""

from __future__ import annotations

import errno
import resource
from typing import TYPE_CHECKING

import pytest

from supervisor import failure
from tests.supervisor.conftest import Refused

if TYPE_CHECKING:
    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


def refusal(client: Client, method: str, **params: object) -> Refused:
    with pytest.raises(Refused) as refused:
        client.call(method, **params)
    assert client.call("container.list") == []
    return refused.value


def test_a_step_of_the_plan_is_named(client: Client, bundle: Bundle) -> None:
    bundle.spec["mounts"].append({"destination": "/x", "source": "/nowhere", "type": "bind",
                                  "options": ["bind"]})  # fmt: skip
    bundle.write()
    found = refusal(client, "container.run", id="a", bundle=str(bundle.path))
    assert found.code == failure.RUNTIME_FAILED
    place = f"/mounts/{len(bundle.spec['mounts']) - 1}"
    assert (found.data["pointer"], found.data["errno"]) == (place, errno.ENOENT)
    assert found.data["step"] == "open_tree"


def test_a_program_that_is_not_there(client: Client, bundle: Bundle) -> None:
    bundle.process["args"] = ["/none"]
    bundle.write()
    found = refusal(client, "container.run", id="a", bundle=str(bundle.path))
    assert found.code == failure.RUNTIME_FAILED
    assert (found.data["pointer"], found.data["errno"]) == ("/process/args/0", errno.ENOENT)
    assert found.data["step"] == "statx"


def test_an_invalid_spec_has_all_its_violations(client: Client, bundle: Bundle) -> None:
    bundle.process["cwd"] = 3
    bundle.spec["hostname"] = ["x"]
    bundle.write()
    found = refusal(client, "container.create", id="a", bundle=str(bundle.path))
    assert found.code == failure.INVALID_SPEC
    pointers = {violation["pointer"] for violation in found.data["violations"]}
    assert pointers == {"/process/cwd", "/hostname"}
    assert all(violation["line"] for violation in found.data["violations"])


@pytest.mark.parametrize("wrong", ["../a", "a/b", "a b", "."])
def test_an_id_that_can_t_be_one_is_a_wrong_parameter(
    client: Client, bundle: Bundle, wrong: str
) -> None:
    bundle.write()
    found = refusal(client, "container.create", id=wrong, bundle=str(bundle.path))
    assert (found.code, found.data["pointer"]) == (failure.INVALID_PARAMS, "/id")


def test_a_shim_that_cannot_delete_is_ended(orlopd: Orlopd, client: Client, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    client.call("container.create", id="a", bundle=str(bundle.path))
    (shim,) = orlopd.shims()
    _, hard = resource.prlimit(shim, resource.RLIMIT_NOFILE)
    resource.prlimit(shim, resource.RLIMIT_NOFILE, (0, hard))  # nor have a worker do it
    client.call("container.delete", id="a")
    assert client.call("container.list") == []
    orlopd.shims_end()
    assert list((orlopd.root / "s").iterdir()) == []
