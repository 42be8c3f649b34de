# SPDX-License-Identifier: Apache-2.0
"""docs/rpc.md says what rpc.discover does, and rpc.discover what the methods are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

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


@pytest.mark.root
@pytest.mark.slow
def test_discover_returns_the_document(client: Client, methods: dict[str, Method]) -> None:
    assert client.call("rpc.discover") == openrpc.document(methods)
