# SPDX-License-Identifier: Apache-2.0
"""For all tests: `@requires(...)` is obeyed, and said at the top of the report."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support import features, hierarchies

if TYPE_CHECKING:
    import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture is made."""
    features.enforce(item)


def pytest_report_header() -> str:
    """The facts that decide which tests run."""
    must_run = os.environ.get("MUST_RUN", "nothing in particular")
    return f"uid {os.geteuid()}, cgroups {hierarchies.mode()}, must run: {must_run}"
