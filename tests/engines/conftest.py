# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests with real engines.

Every worker of xdist has rooms of its own (tests/engines/room.py), so that engines' defaults,
networks and sockets never meet. `runtime` runs a test twice: with orlop, and with runc, whose
answers are the ones expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines import image
from tests.engines.runtime import Runtime, orlop, runc

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of one busybox (`image.NAME`), as a file for `docker load` and its like."""
    return image.archive(tmp_path_factory.mktemp("image"))


@pytest.fixture(params=["orlop", "runc"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each of the runtimes in turn."""
    return orlop() if request.param == "orlop" else runc()
