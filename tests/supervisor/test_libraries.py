# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC libraries that know nothing of orlopd: one from PyPI, one from npm."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonrpcclient import Error, Ok, parse, request

from supervisor import failure
from tests.support.features import NODE_MODULES, requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]
SCRIPT = Path(__file__).with_name("library.js")


def test_jsonrpcclient_of_pypi(client: Client, bundle: Bundle) -> None:
    bundle.args("exit", "3").write()

    def call(method: str, **params: object) -> Ok | Error:
        client.send(request(method, params=params))
        answer = parse(client.receive())
        assert isinstance(answer, Ok | Error)
        return answer

    ran = call("container.run", id="a", bundle=str(bundle.path))
    assert isinstance(ran, Ok)
    assert ran.result["id"] == "a"
    waited = call("container.wait", id="a")
    assert isinstance(waited, Ok)
    assert waited.result["exitStatus"] == 3
    refused = call("container.start", id="b")
    assert isinstance(refused, Error)
    assert refused.code == failure.NOT_FOUND


@requires("npm-json-rpc")
def test_json_rpc_2_0_of_npm(orlopd: Orlopd, bundle: Bundle) -> None:
    bundle.args("exit", "3").write()
    done = subprocess.run(
        ["node", SCRIPT, orlopd.socket, bundle.path],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_PATH": str(NODE_MODULES)},
        capture_output=True,
        check=False,
        timeout=limit(60),
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "id": "a",
        "exitStatus": 3,
        "refused": failure.NOT_FOUND,
        "topics": ["create", "start", "exit"],
    }
