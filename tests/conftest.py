# SPDX-License-Identifier: Apache-2.0
"""For all tests: `@requires(...)` is obeyed, and said at the top of the report."""

from __future__ import annotations

import os

import pytest

from tests.support import features, hierarchies, warm

_PLANNERS = pytest.StashKey[list[warm.Planner]]()


def pytest_configure(config: pytest.Config) -> None:
    """WARM=1: calls of runtime and shim are done by warm planners, for each process of tests."""
    config.stash[_PLANNERS] = []
    distributes = getattr(config.option, "numprocesses", None)  # then its workers run the tests
    for kind in (warm.Planner, warm.ShimPlanner):
        os.environ[kind.VARIABLE] = ""
        if os.environ.get("WARM") and not distributes:
            planner = kind()
            config.stash[_PLANNERS].append(planner)
            os.environ[kind.VARIABLE] = str(planner.socket)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Their end."""
    for planner in config.stash[_PLANNERS]:
        planner.stop()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture is made."""
    features.enforce(item)


def pytest_report_header() -> str:
    """The facts that decide which tests run."""
    must_run = os.environ.get("MUST_RUN", "nothing in particular")
    return f"uid {os.geteuid()}, cgroups {hierarchies.mode()}, must run: {must_run}"
