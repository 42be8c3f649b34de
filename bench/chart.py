# SPDX-License-Identifier: Apache-2.0
"""The run as a picture: a bar for each contender's median, with its quartiles."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measure import Figures, Results, Row

_WIDTH, _LEFT, _BAR, _GAP = 900, 200, 14, 26
_OURS, _OTHERS, _TEXT = "#0b6e99", "#b8c4cc", "#1d2733"
_STYLE = f"font: 12px system-ui, sans-serif; fill: {_TEXT}"


def svg(results: Results) -> str:
    """One SVG document; rows of one contender say too little for a picture, and are left out."""
    parts: list[str] = []
    y = 10
    for key, row in results.rows.items():
        found = results.figures[key]
        if len(found) < 2:  # noqa: PLR2004 - a pair
            continue
        y = _row(parts, y, row, found)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" style="{_STYLE}">'
    )
    return "\n".join(
        [head, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>\n"]
    )


def _row(parts: list[str], y: int, row: Row, found: dict[str, Figures]) -> int:
    """Add a row's bars below `y`; returns where the next begins."""
    y += _GAP
    parts.append(f'<text x="10" y="{y}" font-weight="600">{escape(row.title)}, {row.unit}</text>')
    most = max(figures.spread[1] for figures in found.values()) or 1
    scale = (_WIDTH - _LEFT - 90) / most
    for name, figures in found.items():
        y += _BAR + 4
        low, high = (_LEFT + value * scale for value in figures.spread)
        middle, end = y - _BAR / 2 + 2, _LEFT + figures.median * scale
        colour = _OURS if name.startswith("orlop") else _OTHERS
        parts += [
            f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end">{escape(name)}</text>',
            f'<path d="M{_LEFT} {middle}H{end:.1f}" stroke="{colour}" stroke-width="{_BAR - 2}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="{_TEXT}"/>',
            f'<text x="{max(high, end) + 6:.1f}" y="{y}">{figures.median:.4g}</text>',
        ]
    return y
