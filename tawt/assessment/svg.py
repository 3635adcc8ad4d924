"""Pictures as SVG, whose colours are the page's: no script, no font of their own, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from tawt.errors import printable

_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 24, 12, 46


def text(words: str) -> str:
    """Return words that came with the data as HTML says them: no mark-up, nothing that hides or turns what follows."""
    return escape(printable(" ".join(words.split())))


@dataclass(frozen=True)
class Scale:
    """An axis."""

    low: float
    high: float
    log: bool = False
    ticks: Sequence[tuple[float, str]] = ()
    """Where, and what stands there; none = chosen."""

    def at(self, value: float) -> float:
        """Return where a number lies, from 0 to 1; what is beyond lies at the end."""
        low, high, x = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, x = (math.log(max(y, 1e-300)) for y in (low, high, x))
        return (x - low) / (high - low) if high > low else 0.5

    @property
    def marks(self) -> Sequence[tuple[float, str]]:
        """The ticks."""
        if self.ticks:
            return self.ticks
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.floor(math.log10(self.high) + 1e-9) + 1)
            low, high = self.low * (1 - 1e-9), self.high * (1 + 1e-9)
            within = [[x for k in powers for m in steps if low <= (x := m * 10.0**k) <= high]
                      for steps in ((1,), (1, 2, 5), range(1, 10))]  # fmt: skip
            chosen = next((one for one in within if len(one) > 2), within[-1])
            return [(x, f"{x:,g}" if x < 1e7 else f"{x:g}".replace("+0", "")) for x in chosen]
        step = 10 ** math.floor(math.log10(max(self.high - self.low, 1e-12)))
        step = next(s for s in (step / 5, step / 4, step / 2, step, 2 * step) if (self.high - self.low) / s <= 5)
        first = math.ceil(self.low / step - 1e-9)
        return [(k * step, f"{k * step:.10g}") for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass
class Plot:
    """One picture; marks are drawn in the order in which they are added."""

    title: str
    x: Scale
    y: Scale
    x_label: str = ""
    y_label: str = ""
    width: int = 380
    height: int = 250
    left: int = _LEFT
    marks: list[str] = field(default_factory=list)

    def px(self, value: float) -> float:
        """Return the place of a number across."""
        return self.left + self.x.at(value) * (self.width - self.left - _RIGHT)

    def py(self, value: float) -> float:
        """Return the place of a number up."""
        return self.height - _BOTTOM - self.y.at(value) * (self.height - _BOTTOM - _TOP)

    def line(self, x: Sequence[float], y: Sequence[float], series: int, style: str = "") -> None:
        """Add a line; it breaks where a number is missing, and a lone one is a dot."""
        run: list[tuple[float, float]] = []
        for a, b in [*zip(x, y, strict=True), (math.nan, math.nan)]:
            if math.isfinite(a) and math.isfinite(b):
                run.append((a, b))
                continue
            if len(run) > 1:
                points = " ".join(f"{self.px(a):.1f},{self.py(b):.1f}" for a, b in run)
                self.marks.append(f'<polyline class="s{series} {style}" points="{points}"/>')
            elif run:
                self.dot(*run[0], series)
            run = []

    def dot(self, x: float, y: float, series: int, about: str = "", radius: float = 3) -> None:
        """Add a dot, with what is told of it where a mouse rests."""
        inner = f"<title>{text(about)}</title>" if about else ""
        self.marks.append(
            f'<circle class="s{series}" cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="{radius:g}">{inner}</circle>'
        )

    def bar(self, x: tuple[float, float], y: float, series: int, about: str = "") -> None:
        """Add an interval that lies across."""
        inner = f"<title>{text(about)}</title>" if about else ""
        self.marks.append(
            f'<line class="s{series} range" x1="{self.px(x[0]):.1f}" x2="{self.px(x[1]):.1f}" '
            f'y1="{self.py(y):.1f}" y2="{self.py(y):.1f}">{inner}</line>'
        )

    def across(self, y: float) -> None:
        """Add a level."""
        self.marks.append(
            f'<line class="bound" x1="{self.left}" x2="{self.width - _RIGHT}" '
            f'y1="{self.py(y):.1f}" y2="{self.py(y):.1f}"/>'
        )

    def diagonal(self) -> None:
        """Add where both are equal."""
        low, high = max(self.x.low, self.y.low), min(self.x.high, self.y.high)
        self.marks.append(
            f'<line class="bound" x1="{self.px(low):.1f}" y1="{self.py(low):.1f}" x2="{self.px(high):.1f}" '
            f'y2="{self.py(high):.1f}"/>'
        )

    def render(self) -> str:
        """Return it as SVG."""
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        parts = []
        for value, name in self.x.marks:
            at = self.px(value)
            parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
            parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{text(name)}</text>')
        for value, name in self.y.marks:
            at = self.py(value)
            parts.append(f'<line class="grid" x1="{self.left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(f'<text x="{self.left - 6}" y="{at + 4:.1f}" text-anchor="end">{text(name)}</text>')
        middle = (self.left + right) / 2
        parts.append(f'<text x="{middle:.1f}" y="{self.height - 6}" text-anchor="middle">{text(self.x_label)}</text>')
        if self.y_label:
            up = (bottom + _TOP) / 2
            parts.append(
                f'<text transform="translate(12 {up:.1f}) rotate(-90)" text-anchor="middle">{text(self.y_label)}</text>'
            )
        inner = "\n".join([*parts, *self.marks])
        about = f'viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{text(self.title)}"'
        return f"<svg {about}>\n{inner}\n</svg>"


def reach(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the most of some numbers, with 0 among them, and a little room above."""
    known = [0.0, *(float(value) for value in values if value is not None and math.isfinite(value))]
    low, high = min(known), max(known)
    return low, high + 0.05 * ((high - low) or 1)
