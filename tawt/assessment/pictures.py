"""The pictures of a report: what each shows, of what, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tawt.assessment.result import NAMES
from tawt.assessment.shares import (
    COUNTS,
    HOURS,
    N_BINS,
    Line,
    edges_of,
    histogram,
    of_clock,
    prevalence,
    recurrence,
    roc,
    scores_shown,
    variogram,
)  # fmt: skip
from tawt.assessment.svg import Plot, Scale, reach
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.synthetic import COPIES
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.vocabulary import Vocabulary
from tawt.fidelity.groups import without
from tawt.fidelity.metrics import metric_of
from tawt.fidelity.report import Fidelity
from tawt.fidelity.structure import SHAPES
from tawt.fidelity.suite import CEILING, SYNTHETIC, TEST
from tawt.fidelity.temporal import WINDOWS
from tawt.privacy.curve import Curve
from tawt.privacy.found import Found
from tawt.privacy.suite import Assessment
from tawt.privacy.verdict import NNAAR, TPR
from tawt.synthesis.readable import Readable
from tawt.synthesis.shared import step_of
from tawt.transforms.triplets import Coder

_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_MOST_TYPES = 6
_HOUR_TICKS = ((1 / 60, "1 min"), (1.0, "1 h"), (24.0, "1 d"), (720.0, "1 mo"), (8766.0, "1 y"), (876_600.0, "100 y"))
_WINDOW_NAMES = ("1 h", "6 h", "1 d", "7 d", "30 d", "1 y")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLOCKS: tuple[tuple[Literal["hours", "weekdays"], str, Sequence[tuple[float, str]]], ...] = (
    ("hours", "events by hour of day", tuple((float(x), f"{x}") for x in range(0, 25, 6))),
    ("weekdays", "events by day of week", tuple((i + 0.5, day) for i, day in enumerate(_DAYS))),
)
_ROW, _LABELS, _LETTER = 26, 320, 6
_DIFFER = "half squared difference, variances"
_MOST_LETTERS = 56
_MOST_OF = 0.5
"""Share of all that a picture of shares shows at least: a stroke or two of it say nothing."""


@dataclass(frozen=True)
class Picture:
    """A plot, and what stands below it."""

    plot: Plot
    caption: str = ""
    legend: Mapping[str, int] = field(default_factory=dict)
    """Name -> number of its colour, where that is not the sets' own."""


def series(fidelity: Fidelity | None) -> dict[str, int]:
    """Return the number of the colour of each set: the synthetic one first, then other real ones, then controls."""
    names = [SYNTHETIC, CEILING] if fidelity is None else list(fidelity.sets)
    return {name: i for i, name in enumerate(names)}


def ranges(fidelity: Fidelity) -> Iterator[Picture]:
    """Give the measures of all sets as dots with intervals, those of one kind in one picture."""
    kinds = {
        "1": "1 is perfect: larger is better", "0": "0 is perfect: smaller is better",
        "0.5": "0.5 is perfect: what learns to tell the sets apart cannot",
        "real": "perfect is where other real ones lie",
    }  # fmt: skip
    colour = series(fidelity)
    for better, title in kinds.items():
        names = [name for name in fidelity.metrics if metric_of(name).better == better]
        if not names:
            continue
        values = [of[name].value for of in fidelity.sets.values() for name in names if name in of]
        low, high = reach([x for x in values if x is not None and np.isfinite(x)])
        low = max(low, -0.5)
        high = {"1": 1.0, "0": max(0.3, min(high, 1.5)), "0.5": 1.0, "real": max(1.0, min(high, 1.5))}[better]
        rows = [(i + 0.5, metric_of(name).title) for i, name in enumerate(reversed(names))]
        left = max(_LABELS, _LETTER * max(len(name) for _, name in rows) + 12)
        plot = Plot(title, Scale(low, high), Scale(0, len(names), ticks=rows), title, width=left + 440,
                    height=_ROW * len(names) + 52, left=left)  # fmt: skip
        for at, name in zip([row for row, _ in reversed(rows)], names, strict=True):
            for number, (of, measures) in enumerate(fidelity.sets.items()):
                one = measures.get(name)
                if one is None or one.value is None:
                    continue
                y = at + 0.26 - 0.52 * number / max(len(fidelity.sets) - 1, 1)
                about = f"{NAMES.get(of, of)}: {one.text()}"
                if one.low is not None and one.high is not None:
                    plot.bar((one.low, one.high), y, colour[of], about)
                plot.dot(one.value, y, colour[of], about, 3.4)
        yield Picture(plot)


def of_records(fidelity: Fidelity, vocabulary: Vocabulary) -> Iterator[Picture]:
    """Give what single sets look like: data_types, values, gaps, lengths, hours, and what comes again; no plot of
    which too few people stand behind each number."""
    return (one for one in _of_records(fidelity, vocabulary) if one.plot.marks)


def _of_records(fidelity: Fidelity, vocabulary: Vocabulary) -> Iterator[Picture]:
    sets = fidelity.portraits
    real, colour = sets[TEST], series(fidelity)
    yield _prevalence(fidelity)
    several = {name: sets[name] for name in (SYNTHETIC, CEILING) if name in sets}
    shapes = {"events": "events of a subject", "span": "hours from first to last", "gaps": "hours between moments"}
    ticks: Sequence[tuple[float, str]]
    for shape, title in shapes.items():
        edges = COUNTS if shape == "events" else HOURS
        kind = SHAPES.index(shape)
        ticks = () if shape == "events" else _HOUR_TICKS
        curves = {name: histogram(one.structure.shapes, kind, edges) for name, one in several.items()}
        curves = {TEST: histogram(real.structure.shapes, kind, edges)} | curves
        if _can_be_read(curves):
            yield Picture(_lines(title, curves, colour, Scale(edges[0], edges[-1], True, ticks), title))
    for what, title, ticks in _CLOCKS:
        if what in fidelity.metrics:
            curves = {TEST: of_clock(real, what)} | {name: of_clock(one, what) for name, one in several.items()}
            yield Picture(_lines(title, curves, colour, Scale(0, len(curves[TEST].x), ticks=ticks), title))
    windows = {name: recurrence(one) for name, one in sets.items()}
    curves = {name: Line(np.array(WINDOWS, dtype=float), y) for name, y in windows.items()}
    ticks = tuple(zip(map(float, WINDOWS), _WINDOW_NAMES, strict=True))
    scale = Scale(WINDOWS[0], WINDOWS[-1], True, ticks)
    yield Picture(_lines("recurrence", curves, colour, scale, "a data_type comes again within"))
    curves = {name: Line(np.array(WINDOWS, dtype=float), variogram(one, real)) for name, one in sets.items()}
    yield Picture(_lines("variogram", curves, colour, scale, "variogram: hours between two values", _DIFFER))
    readable, quantiles = Readable(vocabulary), Coder.of(vocabulary.table()).quantiles
    for kind in _types(fidelity):
        numbers = real.values.numbers
        center, size = float(vocabulary.center[kind]), float(vocabulary.scale[kind])
        step = 0.0 if kind in quantiles else step_of(numbers.of(kind), -center / size, size)
        edges = edges_of(numbers, kind, step, -center / size)
        if not len(edges):
            continue
        ends = ((float(x), x * size + center) for x in edges[[0, -1]])
        (low, first), (high, last) = ends
        ticks = tuple(((x - center) / size, name) for x, name in Scale(first, last).marks)
        if kind in quantiles:
            z = edges[[1, N_BINS // 2, -2]].astype(np.float32)
            told = readable.numbers(np.full(3, kind), z, np.full(3, ValueStatus.NUMERIC, dtype=np.uint8))
            ticks = tuple((float(x), f"{y:.3g}") for x, y in zip(z, told, strict=True))
        curves = {of: histogram(sets[of].values.numbers, kind, edges) for of in (TEST, SYNTHETIC)}
        name = readable.title(kind)
        if _can_be_read(curves):
            yield Picture(_lines(f"values of {name}", curves, colour, Scale(low, high, ticks=ticks), _short(name)))


def _can_be_read(curves: Mapping[str, Line]) -> bool:
    """Return whether the shares that may be told, of the real test set and the synthetic one, are most of all."""
    return all(np.nansum(curves[name].y) >= _MOST_OF for name in (TEST, SYNTHETIC))


def _types(fidelity: Fidelity) -> Sequence[int]:
    """Return data_types with numbers whose names may be told: the farthest ones, and those that most people have."""
    people = without(fidelity.portraits[TEST].pairs, None).people
    sample = fidelity.portraits[TEST].values.numbers
    far = [one.data_type for one in fidelity.worst if people[one.data_type] > SMALL_CELL]
    usual = [int(kind) for kind in np.argsort(-people, kind="stable") if len(sample.of(int(kind))) >= 100]
    return list(dict.fromkeys(far[: _MOST_TYPES // 2] + usual))[:_MOST_TYPES]


def _prevalence(fidelity: Fidelity) -> Picture:
    sets, colour = fidelity.portraits, series(fidelity)
    n = max(int(fidelity.n_subjects), 1)
    scale = Scale(max(min(SMALL_CELL / n, 0.5), 1e-4), 1, True)
    plot = Plot("prevalence", scale, scale, "share of real subjects", "share of the set's", height=300)
    plot.diagonal()
    for name in [one for one in sets if one not in (TEST, SYNTHETIC, COPIES, "marginals")] + [SYNTHETIC]:
        for a, b in zip(*prevalence(sets[TEST], sets[name])[1:], strict=True):
            plot.dot(float(a), max(float(b), scale.low), colour[name], radius=2)
    return Picture(plot, "Each dot is a data_type that more than 10 people of both sets have.")


def _short(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _lines(
    title: str, curves: Mapping[str, Line], colour: Mapping[str, int], x: Scale, x_label: str, y_label: str = "share"
) -> Plot:
    """Return a plot of lines; without a mark where none of them shows anything."""
    plot = Plot(title, x, Scale(*reach([y for one in curves.values() for y in one.y])), x_label, y_label)
    if not any((one.y > 0).any() for one in curves.values()):
        return plot
    for name, one in curves.items():
        plot.line([*map(float, one.x)], [*map(float, one.y)], colour.get(name, 9), "dashed" if name == TEST else "")
    return plot


def of_discriminators(fidelity: Fidelity) -> Iterator[Picture]:
    """Give how scores are dealt out: sets that cannot be told apart have two level lines."""
    for name, (real, other) in fidelity.scores.items():
        a, b = scores_shown(real, other)
        plot = _lines(name, {TEST: a, SYNTHETIC: b}, series(fidelity), Scale(0, 1), f"rank of the {name} score")
        if plot.marks:
            yield Picture(plot, "Right: taken for invented.")


def of_membership(assessments: Sequence[Assessment]) -> Iterator[Picture]:
    """Give, of each space, which share of members each attack finds at which share of others."""
    for one in assessments:
        scale = Scale(0.001, 1, True)
        plot = Plot(f"membership, {one.space}", scale, scale, "others wrongly taken for members", "members found",
                    height=300)  # fmt: skip
        plot.diagonal()
        for i, (members, others) in enumerate(one.scores.values()):
            found = roc(members, others, _RATES)
            plot.line(_RATES, [float(x) for x in np.where(found > 0, found, np.nan)], i)  # such an axis has no 0
        legend = {name: i for i, name in enumerate(one.scores)}
        yield Picture(plot, f"In {one.space}. On the dashed line an attack knows nothing.", legend)


def of_curve(name: str, curve: Curve) -> Iterator[Picture]:
    """Give what attacks find over the number of people."""
    if len(curve.points) < 2:
        return
    low, high = float(min(curve.sizes)), float(max(curve.sizes))
    x = Scale(low, high, high > 2 * low, [(float(n), f"{n:,}") for n in curve.sizes])
    attacks = [*dict.fromkeys(attack for point in curve.points for attack in point.membership)]
    lines = {attack: [_tpr(point, attack) for point in curve.points] for attack in attacks}
    for title, bound, own in (("TPR at 1 % FPR", TPR, lines), ("NNAAR", NNAAR, {"": _nnaar(curve)})):
        if not any(np.isfinite(y) for ys in own.values() for y in ys):
            continue
        top = reach([y for ys in own.values() for y in ys] + [2 * bound])
        plot = Plot(title, x, Scale(*top), curve.over, title)
        plot.across(bound)
        for i, ys in enumerate(own.values()):
            plot.line(curve.sizes, ys, i)
            for n, y in zip(curve.sizes, ys, strict=True):
                if np.isfinite(y):
                    plot.dot(float(n), y, i)
        yield Picture(plot, f"{name}. Dashed: the bound.", {of: i for i, of in enumerate(own) if of})


def _tpr(point: Assessment, attack: str) -> float:
    return _shown(point.membership[attack].found["tpr_1"]) if attack in point.membership else float("nan")


def _nnaar(curve: Curve) -> list[float]:
    return [_shown(p.distances["nnaar"]) if "nnaar" in p.distances else float("nan") for p in curve.points]


def _shown(found: Found) -> float:
    value = found.told().value
    return float("nan") if value is None else float(value)
