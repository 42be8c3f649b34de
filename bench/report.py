# SPDX-License-Identifier: Apache-2.0
"""What is printed of a run, and what is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.targets import TARGETS

if TYPE_CHECKING:
    from bench.measure import Figures, Results


def text(results: Results) -> str:
    """The table: each row's contenders, with median, quartiles, and the ratio to the first."""
    lines = []
    for key, row in results.rows.items():
        lines.append(f"{row.title}, {row.unit}")
        found = results.figures[key]
        first = next(iter(found.values())).median
        for name, figures in found.items():
            low, high = figures.spread
            ratio = f"{figures.median / first:8.2f}" if len(found) > 1 and first else ""
            lines.append(f"  {name:24}{figures.median:10.4g}  {low:8.4g} … {high:<8.4g}{ratio}")
    lines += ["", *(f"not measured: {name}: {why}" for name, why in results.missing.items())]
    return "\n".join([*lines, *_targets(results)]) + "\n"


def _targets(results: Results) -> list[str]:
    lines = ["", f"{'target':52}{'reached':>9}{'limit':>7}"]
    for target in TARGETS:
        found = target.reached(results)
        shown = f"{found[0]:9.3g}" if found else f"{'-':>9}"
        verdict = "" if found is None else "  yes" if found[1] else "  no"
        lines.append(f"{target.title:52}{shown}{target.limit:7g}{verdict}")
    return lines


def document(results: Results, machine: dict[str, object]) -> dict[str, object]:
    """Everything, for programs."""
    return {
        "machine": machine,
        "rows": [
            {"key": row.key, "title": row.title, "unit": row.unit,
             "contenders": {n: _numbers(f) for n, f in results.figures[key].items()}}
            for key, row in results.rows.items()
        ],
        "targets": [
            {"title": t.title, "limit": t.limit,
             "ratio": found[0] if found else None, "reached": found[1] if found else None}
            for t in TARGETS for found in (t.reached(results),)
        ],
        "missing": results.missing,
    }  # fmt: skip


def _numbers(figures: Figures) -> dict[str, object]:
    low, high = figures.spread
    return {
        "median": figures.median,
        "quartiles": [low, high],
        "attempts": len(figures.values),
        "values": [round(value, 4) for value in figures.values],
    }
