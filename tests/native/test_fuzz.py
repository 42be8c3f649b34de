# SPDX-License-Identifier: Apache-2.0
"""Damaged plans never crash the init: they are refused, fail with a report, or do another thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native import plans
from tests.native.damage import samples
from tests.native.header import VALUES, enums
from tests.support.features import requires
from tests.support.waiting import limit

#: FUZZ_SECONDS=600 FUZZ_SEED=$RANDOM for a longer look.
SECONDS = limit(float(os.environ.get("FUZZ_SECONDS", "10")))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


def test_there_is_a_sample_of_every_operation() -> None:
    codes = {op.code for plan in samples() for op in plan}
    every = {c.value for c in enums()["plan_code"]} - {VALUES["OP_NONE"], VALUES["PLAN_CODES"]}
    assert codes == every


@requires("userns")
@pytest.mark.slow
@pytest.mark.parametrize("part", [1, 2])
def test_damaged_plans_end_in_order(sanitized: Path, part: int) -> None:
    command = [sys.executable, "-m", "tests.native.sandbox"]
    result = subprocess.run(
        [*command, str(sanitized), str(SEED * 1000 + part), str(SECONDS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS + limit(60),
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["problems"] == []
    assert found["runs"] > 20
    # Not all are refused at the door: operations are reached, and some plans come to their end.
    assert sum(found["reached"].values()) > found["reached"].get("0", 0) * 1.5
    assert found["ends"].get("0", 0) > 0


def test_the_sandbox_knows_the_size_of_a_message() -> None:
    with pytest.raises(ValueError, match="message of 3 bytes"):
        plans.Report(b"abc")
