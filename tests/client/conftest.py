# SPDX-License-Identifier: Apache-2.0
"""The public clients, against a real orlopd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import orlop
from tests.client.command import Orlopctl
from tests.supervisor.conftest import bundle, cgroup, make_bundle, orlopd, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.supervisor.conftest import Orlopd

__all__ = ["bundle", "cgroup", "make_bundle", "orlopd", "watch"]


@pytest.fixture
def client(orlopd: Orlopd) -> Iterator[orlop.Client]:
    with orlop.Client(str(orlopd.socket)) as client:
        yield client


@pytest.fixture
def orlopctl(orlopd: Orlopd) -> Orlopctl:
    return Orlopctl(orlopd)
