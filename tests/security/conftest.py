# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the container tests, and attackers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import (
    bundle,
    cgroup,
    container,
    make_bundle,
    make_container,
    orlop,
    rootless,
    run_probe,
    watch,
)
from tests.security.attacker import Attacker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "bundle",
    "cgroup",
    "container",
    "make_bundle",
    "make_container",
    "orlop",
    "rootless",
    "run_probe",
    "watch",
]


@pytest.fixture
def attacker() -> Iterator[Callable[..., Attacker]]:
    """Start an attack on the host; each ends with the test."""
    made: list[Attacker] = []

    def start(*argv: object) -> Attacker:
        made.append(Attacker(*argv))
        return made[-1]

    yield start
    for each in made:
        each.close()
