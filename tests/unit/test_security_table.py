# SPDX-License-Identifier: Apache-2.0
"""docs/security.md: the tests that it names exist, and every row names one or says why not."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
#: What others were hit by: the runtimes' and engines' advisories of 2016 to 2026.
KNOWN = {
    "2016-9962", "2019-16884", "2019-18837", "2019-19921", "2019-5736",
    "2020-15257", "2021-30465", "2021-41103", "2021-43784", "2022-1708",
    "2022-23471", "2022-24769", "2022-27650", "2022-29162", "2022-31030",
    "2023-25809", "2023-27561", "2023-28642", "2024-21626", "2024-25621",
    "2024-45310", "2025-24965", "2025-31133", "2025-52565", "2025-52881",
    "2025-64329", "2026-30892", "2026-41579", "2026-46680", "2026-47262",
    "2026-47766", "2026-50195", "2026-53488", "2026-53489", "2026-53492",
}  # fmt: skip


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    part = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_known_vulnerability_has_a_row() -> None:
    named = {name for row in rows("Vulnerabilities of others, and our tests")
             for name in re.findall(r"CVE-(\d+-\d+)", row[0])}  # fmt: skip
    assert named == KNOWN


def test_every_row_names_a_test_or_what_it_waits_for() -> None:
    table = rows("Vulnerabilities of others, and our tests") + rows("Under pressure")
    assert len(table) > 30
    assert [row for row in table if "`test_" not in row[-1] and "waits for" not in row[-1]] == []


def test_every_test_that_is_named_exists() -> None:
    sources = "".join(f.read_text() for f in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", sources))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert sorted(named - there) == []
