# SPDX-License-Identifier: Apache-2.0
"""Damaged plans never crash the init: they are refused, fail with a report, or do another thing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native import plans, seeds
from tests.native.build import COMPLAINTS, fuzz_target
from tests.native.damage import damaged, samples
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


def fuzz(program: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer's program to its end."""
    return subprocess.run(
        [program, *argv],
        env={"ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS + limit(60),
    )


@requires("cc")
@pytest.mark.slow
def test_no_answer_of_a_kernel_trips_the_init(tmp_path: Path) -> None:
    """Good plans and damaged ones, in a kernel that answers anything."""
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    files = seeds.write(tmp_path)
    for number in range(3000):
        files.append(tmp_path / f"damaged-{number}")
        files[-1].write_bytes(damaged(chance) + chance.randbytes(chance.randrange(400)))
    result = fuzz(fuzz_target(), *files)
    assert not any(complaint in result.stderr for complaint in COMPLAINTS), result.stderr
    assert (result.returncode, result.stdout) == (0, f"{len(files)}\n")


@requires("libfuzzer")
@pytest.mark.slow
def test_a_short_look_of_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    """`make fuzz` looks longer."""
    seeds.write(tmp_path / "seeds")
    (tmp_path / "corpus").mkdir()
    bounds = (f"-max_total_time={SECONDS:.0f}", "-max_len=8192", f"-seed={SEED}")
    folders = (tmp_path / "corpus", tmp_path / "seeds")
    result = fuzz(fuzz_target(clang="clang-14"), *bounds, f"-artifact_prefix={tmp_path}/", *folders)
    assert result.returncode == 0, result.stderr[-4000:]
    assert len(list((tmp_path / "corpus").iterdir())) > 100


def test_the_sandbox_knows_the_size_of_a_message() -> None:
    with pytest.raises(ValueError, match="message of 3 bytes"):
        plans.Report(b"abc")
