# SPDX-License-Identifier: Apache-2.0
"""`linux.intelRdt` on a machine without resctrl; tests/unit/test_intelrdt.py has the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.container import Container

pytestmark = [requires("root"), pytest.mark.v2]


@pytest.mark.skipif(
    " - resctrl " in Path("/proc/self/mountinfo").read_text(), reason="resctrl is mounted"
)
@pytest.mark.parametrize("config", [{}, {"closID": "gold"}, {"enableMonitoring": True}])
def test_without_resctrl_it_is_refused(container: Container, config: dict[str, object]) -> None:
    container.bundle.linux["intelRdt"] = config
    result = container.run(check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("orlop: /linux/intelRdt: no resctrl file system is mounted")
    assert "hint: mount -t resctrl" in result.stderr
