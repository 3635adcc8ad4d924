"""Sheets of an evaluation draw what is measured, and nothing of few people."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tawt.errors import ConfigError
from tawt.evaluation.classes import Labels
from tawt.evaluation.kaplan_meier import kaplan_meier
from tawt.evaluation.metrics import AUROC, AVERAGE_PRECISION, Binary
from tawt.evaluation.predictions import Predictions
from tawt.evaluation.regression import Numbers
from tawt.evaluation.survival import Survival
from tawt.figures import common, evaluation, numbers, survival

RNG = np.random.default_rng(4)
Y = (RNG.random(300) < 0.3).astype(float)
P = np.clip(np.round(0.3 * Y + 0.6 * RNG.random(300), 2), 0.01, 0.99)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that would be saved."""
    figures: list[Any] = []

    def keep(figure: Any, path: Path, title: str, handles: Any) -> Path:
        figures.append(figure)
        return path

    for module in (evaluation, numbers, survival):
        monkeypatch.setattr(module, "save", keep)
    return figures


def test_curves_are_what_their_numbers_say(drawn: list[Any]) -> None:
    """The area below the ROC that is drawn is the AUROC, that of the steps of precision the AP; bins hold more than ten."""
    evaluation.plot_binary({"a": Binary(Y, P), "logits": Binary(Y, 4 * P)}, Path("x.png"))
    roc, pr, calibration, benefit = drawn[0].axes
    x, y = roc.lines[1].get_data()
    assert np.trapezoid(y, x) == pytest.approx(AUROC(Binary(Y, P)).value)
    x, y = pr.lines[1].get_data()
    assert (np.diff(x) * y[1:]).sum() == pytest.approx(AVERAGE_PRECISION(Binary(Y, P)).value)
    assert len(calibration.lines) == 2  # the diagonal, and the one whose scores are probabilities
    assert len(calibration.lines[1].get_xdata()) == 10 and len(benefit.lines) == 3
    few = Binary(np.append(Y[:50], 1), np.append(P[:50], 0.5))
    evaluation.plot_binary({"a": few}, Path("x.png"))
    assert len(drawn[1].axes[2].lines[1].get_xdata()) == 4, "of 51 rows there are bins of more than ten"
    evaluation.plot_binary({"a": Binary([1, 0, 0], [0.5, 0.1, 0.2])}, Path("x.png"))
    assert len(drawn[2].axes[2].lines[1].get_xdata()) == 0 and "too few rows" in drawn[2].axes[2].texts[0].get_text()


def test_survival_is_told_between_more_than_ten_events(drawn: list[Any]) -> None:
    """Each group's curve is that of Kaplan and Meier at round times, with eleven events or more between two of them."""
    risk, time, event = np.arange(1500.0), RNG.exponential(5, 1500), RNG.random(1500) < 0.4
    survival.plot_survival(Survival(time, event, risk), Path("x.png"))
    lines = drawn[0].axes[0].lines
    assert len(lines) == 3
    for n, line in enumerate(lines):
        rows = slice(500 * n, 500 * (n + 1))
        own, came = time[rows], event[rows]
        at, share = line.get_data()
        assert len(at) > 5 and not np.isin(at, own).any()
        assert share == pytest.approx(np.append(1.0, kaplan_meier(own, came).at(at[1:])))
        between = [(came & (own > a) & (own <= b)).sum() for a, b in pairwise(at)]
        assert min(between) > 10 and (own >= at[-1]).sum() > 10
    told = [text.get_text() for text in drawn[0].axes[0].texts]
    assert told.count("500") == 3 and all(text == "-" or int(text) % 10 == 0 for text in told)


def test_groups_of_risk_have_no_risk_in_two_and_are_of_no_few_people() -> None:
    """Equal risks are one group; a group with few events goes into the one beside it; all of few make none."""
    risk = np.repeat([0.1, 0.2, 0.9], [150, 50, 100])
    event = np.arange(300) % 2 == 0
    groups = survival.groups_of_risk(Survival(np.ones(300), event, risk), np.arange(300))
    assert [len(rows) for rows in groups] == [150, 50, 100]
    assert len(survival.groups_of_risk(Survival(np.ones(300), event, np.ones(300)), np.arange(300))) == 1
    few = event & ((risk > 0.15) | (np.arange(300) < 10))
    groups = survival.groups_of_risk(Survival(np.ones(300), few, risk), np.arange(300))
    assert [len(rows) for rows in groups] == [200, 100], "five events of the lowest risk are of the group beside it"
    assert survival.groups_of_risk(Survival(np.ones(300), event, risk), np.arange(300) // 30) == []
    with pytest.raises(ConfigError, match="10 subjects or fewer"):
        survival.plot_survival(Survival(np.ones(300), event, risk), Path("x.png"), subject=np.arange(300) // 30)


def test_one_risk_for_all_is_not_drawn_in_groups(drawn: list[Any]) -> None:
    """What tells nobody apart has no sheet, and that is said."""
    told = list[str]()
    models = {
        name: Predictions("time", np.arange(300), np.arange(300), Survival(np.ones(300), Y, risk), {})
        for name, risk in (("run", RNG.random(300)), ("prevalence", np.full(300, 0.4)))
    }
    paths = evaluation.plot_models(models, Path("x"), "task", told.append)
    assert [path.name for path in paths] == ["survival-run.png"]
    assert len(told) == 1 and "no two groups of risk" in told[0] and told[0].count("prevalence") == 1


def test_runs_are_strong_and_what_stands_beside_them_is_thin(drawn: list[Any]) -> None:
    """The line of a run is twice as wide, no two models look alike, and points of calibration are of runs alone."""
    names = ["run", *(f"baseline {i}" for i in range(9))]
    evaluation.plot_binary(dict.fromkeys(names, Binary(Y, P)), Path("x.png"), own=["run"])
    roc, _, calibration, _ = drawn[0].axes
    own, *beside = roc.lines[1:]
    assert own.get_linewidth() >= 2 * max(line.get_linewidth() for line in beside)
    assert own.get_zorder() > max(line.get_zorder() for line in beside)
    assert len({(line.get_color(), line.get_linestyle()) for line in roc.lines[1:]}) == 10
    assert [line.get_marker() for line in calibration.lines[1:]] == ["o", *["None"] * 9]


@pytest.mark.parametrize("n", range(1, 12))
def test_a_legend_lies_within_its_figure(tmp_path: Path, n: int) -> None:
    """However long the names are that stand in it."""
    figure, _ = common.grid(4, columns=2, width=4.8, height=4.0)
    handles = [common.line("k", f"{'pretrain_small-los3-probe'[: 8 + 2 * n]}: AUROC 0.654, AP 0.286") for _ in range(n)]
    handles.append(common.line("k", "chance, perfect, or act on none"))
    common.save(figure, tmp_path / "x.png", "title", handles)
    box, page = figure.legends[-1].get_window_extent(), figure.bbox
    assert box.x0 >= page.x0 and box.x1 <= page.x1


def test_a_sheet_is_a_png(tmp_path: Path) -> None:
    """Names with dollars and lines below are drawn as they stand, one class is refused."""
    path = evaluation.plot_binary({"_a $x$": Binary(Y, P)}, tmp_path / "sheet.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ConfigError, match="one class"):
        evaluation.plot_binary({"a": Binary(np.ones(3), P[:3])}, tmp_path / "x.png")


def test_numbers_are_drawn_in_cells_and_bins_of_more_than_ten(drawn: list[Any]) -> None:
    """The density, calibration, errors and intervals are what plain counts say; few rows, and a cell of few, are not drawn."""
    truth = RNG.normal(5, 2, 900)
    said = truth + RNG.normal(0, 1, 900)
    model, same = Numbers(truth, said, said - 1.6, said + 1.6), Numbers(truth, np.full(900, 5.0))
    numbers.plot_numbers({"a": model, "prevalence": same}, Path("x.png"))
    density, calibration, error, intervals = drawn[0].axes[:4]
    cells = np.ma.filled(density.collections[0].get_array().astype(float), np.nan)
    there = cells[np.isfinite(cells)]
    assert len(there) and there.min() > 10 and f"{1 - there.sum() / 900:.0%} of rows" in density.get_title()
    order = np.array_split(np.argsort(said, kind="stable"), 10)
    x, y = calibration.lines[0].get_data()
    assert x == pytest.approx([said[rows].mean() for rows in order])
    assert y == pytest.approx([truth[rows].mean() for rows in order])
    assert len(calibration.lines) == 2  # of who says the same of all there is nothing to see
    assert error.lines[1].get_ydata() == pytest.approx([np.median(said[rows] - truth[rows]) for rows in order])
    inside = np.abs(said - truth) <= 1.6
    assert intervals.lines[1].get_ydata() == pytest.approx([inside[rows].mean() for rows in order])
    plain = Numbers(truth, said)
    numbers.plot_numbers({"a": plain}, Path("x.png"))
    x, y = drawn[1].axes[3].lines[0].get_data()
    assert np.interp(0.5, y, x) == pytest.approx(np.median(np.abs(said - truth)))
    with pytest.raises(ConfigError, match="10 bins of 100 rows"):
        numbers.plot_numbers({"a": Numbers(truth[:100], said[:100])}, Path("x.png"))


def test_a_sheet_of_a_class_is_called_by_the_class(drawn: list[Any]) -> None:
    """Signs are words, and the number of the class tells alike names apart; of few subjects there is no sheet."""
    names = ("<1.3", "1.3 to 5", ">=5", "-2 to 0 %", "a/b", "few")
    truth = np.stack([RNG.random(600) < 0.4 for _ in names], 1).astype(float)
    truth[:, -1] = np.arange(600) < 40
    subject, told = np.arange(600) // 4, list[str]()
    one = Predictions("labels", subject, np.arange(600), Labels(truth, RNG.random(truth.shape), names), {})
    paths = evaluation.plot_models({"a": one}, Path("x"), "task", told.append)
    assert [path.name for path in paths] == [
        "curves-1-below-1.3.png", "curves-2-1.3-to-5.png", "curves-3-at-least-5.png", "curves-4-minus-2-to-0-percent.png",
        "curves-5-a-b.png",
    ]  # fmt: skip
    assert told == ["task, few: 10 subjects or fewer of one answer are not drawn"]
    many = Labels(np.repeat(truth[:, :1], 12, 1), RNG.random((600, 12)))
    assert len(evaluation.plot_models({"a": replace(one, outcome=many)}, Path("x"), "task", told.append)) == 9
    assert told[1] == "task: 3 answers beyond the first 9 are not drawn"
