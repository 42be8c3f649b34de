# SPDX-License-Identifier: Apache-2.0
"""A timeline as an SVG picture: a row for each step, in order, its bar on one scale of time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.timeline import Span

_LABELS, _BARS, _NOTES = 430, 720, 90  # widths
_WIDTH = _LABELS + _BARS + _NOTES
_TOP, _ROW = 56, 17
_LABEL_LENGTH = 64  # characters that fit, at 11 pixels
_TICKS = 8
_COLOURS = {"orlop": "#3b6ea5", "orlop-init": "#b5651d"}
_STYLE = "text{font:11px sans-serif;fill:#222}.s{font-weight:bold}.d{fill:#666}"


def draw(spans: list[Span]) -> str:
    """The picture, as a document of its own."""
    first = min(span.begin for span in spans)
    total = max(max(span.end for span in spans) - first, 1)
    rows = sorted(spans, key=lambda span: (span.begin, span.track != "orlop"))
    height = _TOP + _ROW * len(rows) + 12
    opening = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}">\n<style>{_STYLE}</style>\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>\n'
    )
    parts = [
        opening,
        *_heading(total, [span.track for span in rows]),
        *_axis(total, height),
    ]
    for number, span in enumerate(rows):
        parts += _row(span, first, total, _TOP + _ROW * number)
    return "".join([*parts, "</svg>\n"])


def _heading(total: int, tracks: list[str]) -> Iterator[str]:
    yield f'<text x="8" y="18" class="s">a start of {_duration(total)}</text>\n'
    x = _LABELS
    for track in dict.fromkeys(tracks):
        yield f'<rect x="{x}" y="9" width="11" height="11" fill="{_COLOURS[track]}"/>'
        yield f'<text x="{x + 16}" y="18">{track}</text>\n'
        x += 110


def _axis(total: int, height: int) -> Iterator[str]:
    step = _nice(total / _TICKS)
    at = 0
    while at <= total:
        x = _LABELS + _BARS * at / total
        yield f'<path d="M{x:.1f} {_TOP - 6}V{height - 6}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{_TOP - 12}" class="d" text-anchor="middle">'
        yield f"{_duration(at)}</text>\n"
        at += step


def _nice(least: float) -> int:
    """1, 2 or 5 times a power of ten, not less than this many nanoseconds."""
    step = 1
    while step < least:
        for factor in (1, 2, 5):
            if step * factor >= least:
                return step * factor
        step *= 10
    return step


def _row(span: Span, first: int, total: int, y: int) -> Iterator[str]:
    left = _LABELS + _BARS * (span.begin - first) / total
    width = max(_BARS * (span.end - span.begin) / total, 0.7)
    label = span.name if len(span.name) <= _LABEL_LENGTH else f"{span.name[: _LABEL_LENGTH - 1]}…"
    whole = f"{span.name} {span.pointer}".strip()
    yield f"<g><title>{escape(whole)}</title>"
    yield f'<text x="8" y="{y + 12}">{escape(label)}</text>'
    yield f'<rect x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" '
    yield f'fill="{_COLOURS[span.track]}"/>'
    yield f'<text x="{left + width + 4:.1f}" y="{y + 12}" class="d">'
    yield f"{_duration(span.end - span.begin)}</text></g>\n"


def _duration(nanoseconds: int) -> str:
    if nanoseconds >= 1_000_000:  # noqa: PLR2004 - a millisecond
        return f"{nanoseconds / 1_000_000:.4g} ms"
    return f"{nanoseconds / 1000:.3g} µs" if nanoseconds else "0"


def escape(text: str) -> str:
    """Text for XML, which has no control characters at all (XML 1.0, 2.2)."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
