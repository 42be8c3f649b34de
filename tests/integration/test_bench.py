# SPDX-License-Identifier: Apache-2.0
"""`make bench` measures, whatever the figures: all rows of its own programs are there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.features import requires
from tests.support.probe import ROOT
from tests.support.waiting import limit

RESULTS = ROOT / "bench" / "results"


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *options]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=limit(300)
    )


@requires("root")
@pytest.mark.slow
def test_a_run_measures_prints_and_keeps() -> None:
    options = ("--only", "commandline,daemon", "--rounds", "1", "--most", "3", "--name", "smoke")
    result = bench(*options)
    kept = json.loads((RESULTS / "smoke.json").read_text())
    picture = (RESULTS / "smoke.svg").read_text()
    assert picture.startswith("<svg ")
    assert "run true, ms</text>" in picture
    rows = {row["key"]: row["contenders"] for row in kept["rows"]}
    assert {
        "run",
        "create",
        "exec",
        "life",
        "sequence",
        "daemon-run",
        "daemon-exec",
        "idle",
    } <= rows.keys()
    assert {"floor", "orlop", "orlop warm"} <= rows["run"].keys()
    for contenders in rows.values():
        assert all(each["median"] >= 0 for each in contenders.values())
    assert "run true, ms" in result.stdout
    ours = [name for name in kept["missing"] if name.startswith("orlop")]
    assert not ours, kept["missing"]


def test_what_is_no_theme_is_refused() -> None:
    result = bench("--only", "everything")
    assert result.returncode == 2
    assert "everything" in result.stderr
