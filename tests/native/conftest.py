# SPDX-License-Identifier: Apache-2.0
"""`init` runs a plan, with the sanitized build and with the one that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from native.executable import PATH
from tests.native.build import sanitized_init
from tests.native.harness import Init


@pytest.fixture(scope="session")
def sanitized() -> Path:
    """The init built with sanitizers."""
    return sanitized_init()


@pytest.fixture(params=["sanitized", "shipped"])
def init(request: pytest.FixtureRequest) -> Init:
    """An init: `init([RawOp(...), ...])`."""
    if request.param == "shipped":
        return Init(Path(PATH))
    program: Path = request.getfixturevalue("sanitized")
    return Init(program)


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """An empty root file system, with the usual directories."""
    for name in ("dev", "proc", "tmp", "old"):
        (tmp_path / "rootfs" / name).mkdir(parents=True)
    return tmp_path / "rootfs"
