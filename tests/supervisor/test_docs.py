# SPDX-License-Identifier: Apache-2.0
"""docs/rpc.md says what rpc.discover does, and rpc.discover what the methods are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from jsonschema import Draft7Validator

from supervisor import api, openrpc

if TYPE_CHECKING:
    from supervisor.method import Method
    from supervisor.store import Store
    from tests.supervisor.conftest import Client

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rpc.md"


@pytest.fixture
def methods() -> dict[str, Method]:
    return api.methods(cast("Store", None))  # the table alone


def test_the_page_is_made_from_the_methods(methods: dict[str, Method]) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(openrpc.page(methods))
    assert PAGE.read_text() == openrpc.page(methods)


def test_the_document_keeps_the_rules_of_openrpc(methods: dict[str, Method]) -> None:
    """spec.open-rpc.org 1.3.2: what must be there, what may, and how it hangs together."""
    found: Any = openrpc.document(methods)
    assert found.keys() == {"openrpc", "info", "methods", "components"}
    for version in (found["openrpc"], found["info"]["version"]):
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    names = [method["name"] for method in found["methods"]]
    assert len(names) == len(set(names))
    errors = found["components"]["errors"]
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in errors)
    assert all(type(error["code"]) is int and error["message"] for error in errors.values())
    for method in found["methods"]:
        allowed = {"name", "summary", "paramStructure", "params", "result", "errors"}
        assert {"name", "params", "result"} <= method.keys() <= allowed
        assert method["paramStructure"] == "by-name"
        for error in method.get("errors", []):
            assert error["$ref"].removeprefix("#/components/errors/") in errors
        params = method["params"]
        assert len(params) == len({param["name"] for param in params})
        needed = [param["required"] for param in params]
        assert needed == sorted(needed, reverse=True)  # those that must be there come first
        for descriptor in (*params, method["result"]):
            assert descriptor.keys() <= {"name", "required", "schema"}
            Draft7Validator.check_schema(descriptor["schema"])


@pytest.mark.root
@pytest.mark.slow
def test_discover_returns_the_document(client: Client, methods: dict[str, Method]) -> None:
    assert client.call("rpc.discover") == openrpc.document(methods)
