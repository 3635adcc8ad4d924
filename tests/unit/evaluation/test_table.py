"""Tables of models beside one another, and groups of which small ones are withheld."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tawt.errors import ConfigError, ContractError
from tawt.evaluation.classes import Classes, Labels
from tawt.evaluation.families import Family
from tawt.evaluation.measure import Outcome
from tawt.evaluation.metrics import AUROC, DISCRIMINATION, PREVALENCE, Binary
from tawt.evaluation.predictions import Predictions
from tawt.evaluation.regression import Numbers
from tawt.evaluation.resample import differences, draws_of, intervals
from tawt.evaluation.settle import Settled, groups_text, settled_text
from tawt.evaluation.subgroups import RARE_GROUPS, _withheld, by_group
from tawt.evaluation.survival import Survival
from tawt.evaluation.table import compare
from tawt.evaluation.withheld import DIFFERENCE, FEW, withheld

RNG = np.random.default_rng(11)
N = 120
SUBJECT = np.arange(N) // 2
Y = (RNG.random(N) < 0.4).astype(float)
GOOD, BAD = np.clip(0.5 * Y + 0.5 * RNG.random(N), 0, 1), RNG.random(N)


def said(outcome: Outcome, kind: Family = "binary", model: str = "m") -> Predictions:
    """Predictions of the rows."""
    return Predictions(kind, SUBJECT, np.arange(N), outcome, {"model": model, "labels": "l"})


def test_each_model_stands_with_its_interval_and_difference() -> None:
    """Numbers, intervals and paired differences are those of the metrics and draws; the reference has no difference."""
    models = {"ours": said(Binary(Y, GOOD)), "chance": said(Binary(Y, BAD))}
    found = compare(models, "chance", n_draws=50, seed=3)
    draws = draws_of(SUBJECT, 50, 3)
    one, two = (intervals(DISCRIMINATION, Binary(Y, p), draws) for p in (GOOD, BAD))
    ours, chance = found.rows
    assert ours.metrics["auroc"] == one[0]["auroc"] and chance.differences is None
    assert ours.differences is not None
    assert ours.differences["auroc"] == differences(DISCRIMINATION, one, two)["auroc"]
    assert (found.n_rows, found.n_subjects, found.labels, ours.model) == (N, N // 2, "l", "m")


def test_json_has_no_number_that_is_none() -> None:
    """Of one class the JSON says null and why, and is JSON in the strict sense; the text says so below the table."""
    found = compare({"a": said(Binary(np.zeros(N), BAD)), "b": said(Binary(np.zeros(N), GOOD))}, "a", n_draws=5)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["format"] == "tawt.evaluation/1"
    auroc = data["rows"][0]["metrics"]["auroc"]
    assert auroc["value"] is None and auroc["reason"] == "one class" and auroc["n_degenerate"] == 5
    assert data["rows"][1]["differences"]["auroc"]["reason"] == "one class"
    notes = [note for note in found.notes() if note.endswith(": one class")]
    assert len(notes) == 1 and "AUROC" in notes[0] and not notes[0].startswith("a, ")  # it is so of both


def test_what_is_so_of_one_model_alone_is_said_of_it() -> None:
    """A reason of all models stands once, without a name; another one with the names of those that it is of."""
    found = compare({name: said(Binary(Y, GOOD)) for name in "abc"}, "a", n_draws=20)
    odd = {"auroc": replace(found.rows[0].metrics["auroc"], n_degenerate=3)}
    why = {"brier": replace(found.rows[0].metrics["brier"], value=None, reason="for a reason")}
    rows = [replace(row, metrics={**row.metrics, **why, **(odd if row.name != "b" else {})}) for row in found.rows]
    assert replace(found, rows=tuple(rows)).notes(["auroc", "brier"]) == [
        "a, c, AUROC: 3 of 20 draws are not defined and left out", f"{found.titles['brier']}: for a reason"
    ]  # fmt: skip


def test_notes_are_a_line_of_each_reason() -> None:
    """However many models and draws there are, a reason stands once, of the metrics that the table shows alone."""
    rare = np.zeros(N)
    rare[:2] = 1
    models = {name: said(Binary(rare, GOOD)) for name in "abcd"}
    found = compare(models | {"e": said(Binary(rare, 5 * GOOD - 2))}, "a", n_draws=200)
    notes = found.notes()
    assert len(notes) <= 4 < sum(one.n_degenerate > 0 for row in found.rows for one in row.metrics.values())
    assert any("AUROC, AP" in line and "of 200 draws are not defined" in line for line in notes)
    assert "e, Brier skill, ECE, slope: scores are not within 0 and 1" in notes


def test_a_text_shows_numbers_with_their_ends() -> None:
    """Each cell is the number with its ends, the difference below it with its sign; names draw nothing on a terminal."""
    found = compare({"ours [bold]": said(Binary(Y, GOOD)), "chance": said(Binary(Y, BAD))}, "chance", n_draws=50)
    text = found.text(["auroc"])
    one = found.rows[0].metrics["auroc"]
    assert f"{one.value:.3f}" in text and f"[{one.low:.3f}, {one.high:.3f}]" in text and "ours [bold]" in text
    assert found.rows[0].differences is not None
    apart = found.rows[0].differences["auroc"]
    assert f"{apart.value:+.3f}" in text and f"[{apart.low:+.3f}, {apart.high:+.3f}]" in text
    with pytest.raises(ConfigError, match="not measured"):
        found.text(["auro"])


def test_every_kind_has_its_table() -> None:
    """Numbers, several labels and survival are compared as yes and no are."""
    truth = (RNG.random((N, 2)) < 0.5).astype(float)
    kinds: dict[Family, Outcome] = {
        "numbers": Numbers(GOOD, BAD),
        "labels": Labels(truth, RNG.random((N, 2)), ("x", "y")),
        "time": Survival(RNG.exponential(5, N), Y == 1, horizons=[2.0, 4.0], survival=np.full((N, 2), 0.5)),
    }
    names = {"numbers": "rmse", "labels": "auroc:y", "time": "brier:4"}
    for kind, outcome in kinds.items():
        found = compare({"a": said(outcome, kind), "b": said(outcome, kind)}, "b", n_draws=5)
        assert found.rows[0].metrics[names[kind]].value is not None
        assert found.rows[0].differences is not None
        assert found.rows[0].differences[names[kind]].value == 0 and found.text()


def test_a_narrow_table_keeps_words_and_ends_whole() -> None:
    """At 80 columns no word of a head is broken, nor a number, and nothing lies beyond; ends are parted by one comma."""
    found = compare({"ours": said(Binary(Y, GOOD)), "missingness": said(Binary(Y, BAD))}, "ours", n_draws=20)
    wide = replace(found.rows[1].metrics["calibration_slope"], value=-1200.5, low=-4765.4, high=812.2)
    rows = (found.rows[0], replace(found.rows[1], metrics={**found.rows[1].metrics, "calibration_slope": wide}))
    text = replace(found, rows=rows).text(width=80)
    assert "prevalence" in text and "slope" in text and "[-4765," in text and "below less ours" in text
    assert max(map(len, text.splitlines())) <= 80 and text.splitlines()[1].endswith("┓")
    alone = compare({"ours": said(Binary(Y, GOOD))}, "ours", n_draws=5)
    assert "below" not in alone.text()


def test_each_class_or_label_has_its_column() -> None:
    """One of few has none of its numbers, the others theirs, of each metric; of other kinds there is no such table."""
    names = [f"c{i}" for i in range(8)]
    several = Labels((RNG.random((N, 8)) < 0.5).astype(float), RNG.random((N, 8)), names)
    found = compare({"a": said(several, "labels")}, "a", n_draws=5).without({"auroc:c1": FEW, "macro_auroc": FEW})
    assert [one for of in found.of_each for one in of] == [f"{metric}:{name}" for metric in ("auroc", "average_precision")
                                                           for name in names]  # fmt: skip
    assert max(map(len, found.of_each)) <= 6 and len({one.partition(":")[0] for one in found.of_each[1]}) == 1
    text = found.text(found.of_each[0])
    assert f"{found.rows[0].metrics['auroc:c2'].value:.3f}" in text and f"`AUROC, c1`: {FEW}" in text
    horizons = Survival(RNG.exponential(5, N), Y == 1, horizons=[2.0, 4.0], survival=np.full((N, 2), 0.5))
    assert not compare({"a": said(horizons, "time")}, "a", n_draws=5).of_each


def test_what_cannot_be_compared_is_refused() -> None:
    """An unknown reference and a missing threshold are told; what comes of thresholds stands in the table, and no score of a challenge."""
    models = {"ours": said(Binary(Y, GOOD)), "chance": said(Binary(Y, BAD))}
    with pytest.raises(ConfigError, match="none of the models"):
        compare(models, "other")
    with pytest.raises(ConfigError, match="not given for chance"):
        compare(models, "ours", threshold={"ours": 0.5})
    found = compare(models, "ours", threshold={"ours": 0.6, "chance": 0.4}, n_draws=5)
    assert found.rows[0].metrics["ppv"].value is not None and "event_1" not in found.titles


def test_a_group_is_measured_as_its_rows_alone() -> None:
    """A large group has the metrics of its rows, and its interval is of draws of its own subjects."""
    group = np.where(SUBJECT < 30, "young", "old")
    found = by_group([AUROC, PREVALENCE], Binary(Y, GOOD), draws_of(SUBJECT, 40), group)
    assert [(one.name, one.n_subjects, one.withheld) for one in found] == [("old", 30, None), ("young", 30, None)]
    young = group == "young"
    assert found[1].metrics["auroc"].value == pytest.approx(AUROC(Binary(Y[young], GOOD[young])).value)
    assert found[1].metrics["prevalence"].low < Y[young].mean() < found[1].metrics["prevalence"].high  # type: ignore[operator]


@pytest.mark.parametrize("n_small", [1, 10, 11])
def test_a_small_group_is_withheld_with_what_would_tell_it(n_small: int) -> None:
    """A group of 1 to 10 subjects is withheld without its name, and the smallest other one too; of 11 none is."""
    y = np.tile([0.0, 1.0], N // 2)
    group = np.select([n_small > SUBJECT, SUBJECT < 30], ["few", "some"], "most")
    found = {one.name: one for one in by_group([AUROC], Binary(y, GOOD), draws_of(SUBJECT, 5), group)}
    if n_small == 11:
        assert {one.withheld for one in found.values()} == {None}
        return
    assert (found[RARE_GROUPS].withheld, found["some"].withheld, found["most"].withheld) == (FEW, DIFFERENCE, None)
    assert found[RARE_GROUPS].n_subjects is None and found["some"].n_subjects is None
    assert found[RARE_GROUPS].metrics["auroc"].value is None and found["some"].metrics["auroc"].reason == DIFFERENCE


def test_groups_say_that_they_may_share_subjects() -> None:
    """Rows of one subject may lie in several groups, as at two ages: then they add up to more, and the table says why."""
    y, group = np.tile([0.0, 1.0], N // 2), np.where(np.arange(N) < 62, "younger", "older")
    group[60:62] = ["younger", "older"]  # of one subject
    found = by_group([AUROC], Binary(y, GOOD), draws_of(SUBJECT, 5), group)
    assert sum(one.n_subjects or 0 for one in found) == N // 2 + 1
    text = " ".join(groups_text("run", {"age": found}, {"auroc": "AUROC"}).split())
    assert "a subject counts in each group that a row of it is in" in text


def test_few_outcomes_in_a_large_group_are_withheld() -> None:
    """Where 1 to 10 subjects of a group had the outcome, prevalence would tell them; none at all tells nobody."""
    group = np.where(SUBJECT < 30, "young", "old")
    y = ((SUBJECT >= 30) | (SUBJECT < 4)).astype(float)
    y[SUBJECT >= 45] = 0
    draws = draws_of(SUBJECT, 5)
    assert {one.withheld for one in by_group([PREVALENCE], Binary(y, GOOD), draws, group)} == {FEW, DIFFERENCE}
    without = 1 - y
    assert {one.withheld for one in by_group([PREVALENCE], Binary(without, GOOD), draws, group)} == {FEW, DIFFERENCE}
    y[SUBJECT < 4] = 0
    assert {one.withheld for one in by_group([PREVALENCE], Binary(y, GOOD), draws, group)} == {None}
    with pytest.raises(ContractError, match="group"):
        by_group([PREVALENCE], Binary(y, GOOD), draws, group[:-1])


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ([50, 40, 3], [1, 2]), ([50, 6, 7], [1, 2]), ([50, 40, 3, 4], [1, 2, 3]), ([50, 5], [0, 1]), ([5], [0]),
        ([50, 40], []), ([50, 40, 2, 2, 2], [1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_what_is_withheld_is_never_one_cell_or_a_small_sum(sizes: list[int], hidden: list[int]) -> None:
    """The whole less what is shown is always two groups or more, and more than ten subjects."""
    reasons = _withheld(np.array(sizes), [n <= 10 for n in sizes])
    assert [i for i, reason in enumerate(reasons) if reason] == hidden


@pytest.mark.parametrize("n_with", [10, 11])
def test_no_figure_of_few_with_an_outcome_is_told(n_with: int) -> None:
    """Of 10 subjects with an outcome, or without it, or of times of 10 that were seen, nothing is told; of 11 all is."""
    few = (n_with > SUBJECT).astype(float)
    for outcome in (Binary(few, GOOD), Binary(1 - few, GOOD), Survival(RNG.exponential(5, N), few == 1, BAD)):
        assert withheld(["auroc", "brier"], outcome, SUBJECT) == ({"auroc": FEW, "brier": FEW} if n_with == 10 else {})
    numbers = Numbers(GOOD[: 2 * n_with], BAD[: 2 * n_with])
    assert withheld(["rmse"], numbers, SUBJECT[: 2 * n_with]) == ({"rmse": FEW} if n_with == 10 else {})


def test_the_largest_error_of_a_bin_is_told_where_each_has_more_than_ten_rows() -> None:
    """Of 60 positives in 120 rows there are 12 bins of 10 rows; of 30 there are 6 of 20."""
    half, quarter = np.tile([0.0, 1.0], N // 2), np.tile([0.0, 0.0, 1.0, 0.0], N // 4)
    assert withheld(["mce", "ece"], Binary(half, GOOD), SUBJECT).keys() == {"mce"}
    assert withheld(["mce", "ece"], Binary(quarter, BAD), SUBJECT) == {}


def test_of_several_classes_those_of_few_are_withheld_with_the_mean_of_all() -> None:
    """A rare class takes the mean with it, for the others would tell it; two classes of which one is rare tell nothing."""
    number = np.select([SUBJECT < 5, SUBJECT < 30], [2, 1], 0)
    names = ("macro_auroc", "micro_auroc", "accuracy", "auroc:a", "auroc:b", "auroc:c")
    three = Classes(number, np.full((N, 3), 1 / 3), "abc")
    assert withheld(names, three, SUBJECT) == {"macro_auroc": FEW, "auroc:c": FEW}
    two = Classes(np.maximum(number, 1)[:70] - 1, np.full((70, 2), 0.5), "ab")
    assert withheld(names, two, SUBJECT[:70]).keys() == {*names}
    found = compare({name: said(three, "classes") for name in "ab"}, "a", n_draws=5)
    held = found.without(withheld(found.titles, three, SUBJECT))
    assert held.rows[1].metrics["auroc:b"].value is not None and held.rows[1].metrics["auroc:c"].value is None
    assert held.text().count(FEW) == 1, "a reason that all models share is said once"


def test_a_narrow_table_names_each_run_below() -> None:
    """Where names have no room they are numbered, and stand whole on a line of their own; a wide table has them within."""
    names = ["pretrain_small-in_hospital_mortality_24h-probe", "pretrain_small-in_hospital_mortality_24h-full"]
    found = compare({name: said(Binary(Y, BAD)) for name in names}, names[0], n_draws=5)
    narrow, wide = found.text(width=80), found.text(width=200)
    below = [f"{i}: {name}" for i, name in enumerate(names, 1)]
    assert max(map(len, narrow.splitlines())) <= 80 and {*below} <= {*narrow.splitlines()}
    assert "│ 2 " in narrow and f"│ {names[1]} " in wide and below[0] not in wide
    one = found.rows[0].metrics["auroc"]
    assert "…" not in narrow and f"{one.low:.3f}" in narrow and f"{one.high:.3f}" in narrow
    settled = {name: Settled.of(Binary(Y, GOOD), Binary(Y, GOOD)) for name in names}
    assert below[1] in settled_text(settled, N, found, 60) and below[1] not in settled_text(settled, N, found, 200)
