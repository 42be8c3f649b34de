# SPDX-License-Identifier: Apache-2.0
"""`linux.timeOffsets`: forwards, backwards, in nanoseconds, and beyond what a clock can show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support import probe
from tests.support.features import requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [requires("root", "timens")]

CLOCKS = {"monotonic": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME}


def offset(bundle: Bundle, **clocks: dict[str, int]) -> None:
    """A time namespace with these offsets."""
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = clocks


@pytest.mark.parametrize(
    ("clock", "seconds", "nanoseconds"),
    [
        ("monotonic", 86400, 0),
        ("boottime", 86400, 500_000_000),
        ("monotonic", -20, 0),
        ("boottime", -20, 999_999_999),
        ("monotonic", -1, 1),
    ],
)
def test_a_clock_is_off_by_exactly_this(
    run_probe: RunProbe, bundle: Bundle, clock: str, seconds: int, nanoseconds: int
) -> None:
    offset(bundle, **{clock: {"secs": seconds, "nanosecs": nanoseconds}})
    before = time.clock_gettime(CLOCKS[clock])
    inside = float(probe.facts(run_probe("time"))[clock])
    after = time.clock_gettime(CLOCKS[clock])
    assert before <= inside - (seconds + nanoseconds / 1e9) + 1e-6 <= after + 2e-6
    assert after - before < limit(15)  # so that the 20 seconds above prove something


def test_the_other_clock_is_the_hosts(run_probe: RunProbe, bundle: Bundle) -> None:
    offset(bundle, monotonic={"secs": 1000})
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    inside = float(probe.facts(run_probe("time"))["boottime"])
    assert before <= inside <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_both_at_once_in_different_directions(run_probe: RunProbe, bundle: Bundle) -> None:
    offset(bundle, monotonic={"secs": -20}, boottime={"secs": 1000, "nanosecs": 7})
    assert run_probe("cat", "/proc/self/timens_offsets").split() == [
        *("monotonic", "-20", "0"),
        *("boottime", "1000", "7"),
    ]


@pytest.mark.parametrize("seconds", [-(2**40), 2**40])
def test_a_clock_that_would_show_the_impossible_is_refused(
    container: Container, seconds: int
) -> None:
    offset(container.bundle, monotonic={"secs": seconds})
    result = container.run(check=False)
    assert result.returncode == 1
    assert "/linux/timeOffsets: " in result.stderr
    assert "hint: a clock would be before zero" in result.stderr
