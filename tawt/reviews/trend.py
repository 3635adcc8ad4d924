"""A trend as a small picture: numbers over the time of the record, before the range in which most of train lie."""

from __future__ import annotations

from html import escape

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.errors import printable
from tawt.reviews.timeline import PAUSE, Trend

WIDTH, HEIGHT = 320, 56
_EDGE = 4
_GAPS = 6
"""No line leads over a pause, or over more than a sixth of the picture: nothing is known of what was in between."""
_MOST_POINTS = 160
"""A picture has no more: of more numbers the least and the largest of each piece of time are drawn."""


def picture(trend: Trend, axis: int) -> str:
    """Return a trend as SVG, its horizontal axis from the start of the record.

    Args:
        trend: At least one number.
        axis: Its length, minutes.
    """
    place, number = _thinned(trend.place, trend.number, axis)
    low, high = float(number.min()), float(number.max())
    if trend.usual is not None:
        low, high = min(low, trend.usual[0]), max(high, trend.usual[1])
    x = _EDGE + (WIDTH - 2 * _EDGE) * place / max(axis, 1)
    y = _heights(number, low, high)
    band = ""
    if trend.usual is not None:
        bottom, top = _heights(np.array(trend.usual), low, high)
        band = f'<rect class="usual" x="0" y="{top:.1f}" width="{WIDTH}" height="{max(bottom - top, 1):.1f}"/>'
    pieces = np.split(np.stack([x, y], 1), np.flatnonzero((np.diff(x) > WIDTH / _GAPS) | (np.diff(place) >= PAUSE)) + 1)
    lines = "".join(
        f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in piece)}"/>' for piece in pieces if len(piece) > 1
    )
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="1.6"/>' for a, b in zip(x, y, strict=True))
    title = escape(printable(f"{trend.name}: {told(trend)}"))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{band}{lines}{dots}</svg>'


def told(trend: Trend) -> str:
    """Return a trend in words."""
    low, high = (f"{of(trend.number):,.{trend.decimals}f}" for of in (np.min, np.max))
    return f"{low if low == high else f'{low} to {high}'} {trend.unit}".rstrip() + f", {len(trend.number):,} times"


def _heights(number: Floats, low: float, high: float) -> Floats:
    share = (number - low) / (high - low) if high > low else np.full(len(number), 0.5)
    return _EDGE + (HEIGHT - 2 * _EDGE) * (1 - share)


def _thinned(place: Ints, number: Floats, axis: int) -> tuple[Ints, Floats]:
    if len(place) <= _MOST_POINTS:
        return place, number
    piece = place * (_MOST_POINTS // 2) // (axis + 1)
    order = np.lexsort((number, piece))
    ends = np.flatnonzero(np.diff(piece[order], append=-1))
    starts = np.append(0, ends[:-1] + 1)
    kept = np.unique(np.concatenate([order[starts], order[ends]]))
    return place[kept], number[kept]
