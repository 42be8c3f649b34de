# SPDX-License-Identifier: Apache-2.0
"""For all tests: `@requires(...)` is obeyed, and said at the top of the report."""

from __future__ import annotations

import os

import pytest

from tests.support import features, hierarchies, warm

_PLANNER = pytest.StashKey[warm.Planner]()


def pytest_configure(config: pytest.Config) -> None:
    """WARM=1: calls of the runtime are done by a warm planner, one for each process of tests."""
    os.environ["ORLOP_PLANNER"] = ""
    distributes = getattr(config.option, "numprocesses", None)  # then its workers run the tests
    if os.environ.get("WARM") and not distributes:
        config.stash[_PLANNER] = warm.Planner()
        os.environ["ORLOP_PLANNER"] = str(config.stash[_PLANNER].socket)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Its end."""
    if _PLANNER in config.stash:
        config.stash[_PLANNER].stop()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture is made."""
    features.enforce(item)


def pytest_report_header() -> str:
    """The facts that decide which tests run."""
    must_run = os.environ.get("MUST_RUN", "nothing in particular")
    return f"uid {os.geteuid()}, cgroups {hierarchies.mode()}, must run: {must_run}"
