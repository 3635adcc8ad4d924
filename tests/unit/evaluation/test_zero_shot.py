"""The five checks of an answer without learning, against what is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.evaluation.metrics import Binary
from tawt.evaluation.zero_shot import (
    alone,
    calibration,
    completed,
    curve,
    elsewhere,
    frequency,
    shortcuts,
    within_strata,
)

RNG = np.random.default_rng(5)
N = 600
RISK = RNG.random(N)
TRUTH = (RNG.random(N) < RISK).astype(float)
SUBJECT = np.arange(N)


def auroc(truth, score):
    """The share of pairs in which the one with the outcome is above, ties as half: by counting them."""
    yes, no = score[truth == 1][:, None], score[truth == 0][None]
    return float(((yes > no) + 0.5 * (yes == no)).mean())


def test_a_number_by_itself_is_measured_in_its_better_direction() -> None:
    """AUROC by counting pairs, turned where it is below a half; of a constant there is none."""
    outcome = Binary(TRUTH, RISK)
    assert alone(outcome, -RISK) == pytest.approx(auroc(TRUTH, RISK)) and auroc(TRUTH, RISK) > 0.75
    assert alone(outcome, np.ones(N)) is None


def test_among_equals_what_a_shortcut_gave_is_gone() -> None:
    """A risk that only says how long a record is has 0.5 within strata of equal lengths; one that says more keeps it."""
    length = np.repeat([1.0, 5.0, 9.0], N // 3)
    truth = (RNG.random(N) < length / 12).astype(float)
    assert auroc(truth, length) > 0.65 and within_strata(Binary(truth, length), length) == pytest.approx(0.5)
    strata = [auroc(truth[length == one], RISK[length == one]) for one in (1, 5, 9)]
    pairs = [truth[length == one].sum() * (1 - truth[length == one]).sum() for one in (1, 5, 9)]
    assert within_strata(Binary(truth, RISK), length) == pytest.approx(np.average(strata, weights=pairs))


def test_a_curve_is_what_was_told_and_what_came_in_tenths_of_no_few_people() -> None:
    """Bins of about equal size by rank, of more than ten with the outcome and without; of few people there are none."""
    bins = curve(Binary(TRUTH, RISK), SUBJECT)
    assert sum(one["n"] for one in bins) == N and 4 < len(bins) <= 10
    order = np.argsort(RISK)
    start = 0
    for one in bins:
        rows = order[start : start + int(one["n"])]
        start += int(one["n"])
        assert one["predicted"] == pytest.approx(RISK[rows].mean()) and one["came"] == pytest.approx(TRUTH[rows].mean())
        assert 10 < TRUTH[rows].sum() < len(rows) - 10 or TRUTH[rows].sum() in (0, len(rows))
    rare = np.zeros(N)
    rare[:5] = 1
    assert curve(Binary(rare, RISK), SUBJECT) == [] and calibration(Binary(rare, RISK), SUBJECT).state == "withheld"


def test_what_recurs_is_told_apart_from_what_is_new() -> None:
    """AUROC by how often it had come before: by counting pairs in each group; other tasks stand in order of their share."""
    before = RNG.integers(0, 2, N).astype(float)
    check = frequency(Binary(TRUTH, RISK), SUBJECT, before, "300 subjects", {"rare": (0.01, 0.6)})
    told = check.figures["before"]["never before"]["metrics"]["auroc"]["value"]
    assert told == pytest.approx(auroc(TRUTH[before == 0], RISK[before == 0]))
    assert [*check.figures["tasks"]] == ["rare", "this one"] and "300 subjects of train" in check.lines[0]
    few = frequency(Binary((SUBJECT < 5).astype(float), RISK), SUBJECT, before, "", {})
    assert few.state == "withheld" and few.lines == ("fewer than 11 subjects in a cell",)


def test_shortcuts_tell_what_is_left_without_the_history() -> None:
    """What was answered without the history stands beside what was answered with it; without such it is not checked."""
    outcome, noise = Binary(TRUTH, RISK), RNG.random(N)
    check = shortcuts(
        outcome, SUBJECT, {"events known": noise}, {"history_removed": (Binary(TRUTH, noise), outcome, SUBJECT)}
    )
    left = check.figures["history_removed"]
    assert left["auroc"]["value"] == pytest.approx(auroc(TRUTH, noise)) and left["n"] == N
    assert (
        left["before"]["value"] == pytest.approx(auroc(TRUTH, RISK))
        and left["auroc"]["low"] < 0.5 < left["auroc"]["high"]
    )
    assert "history removed: not checked" in shortcuts(outcome, SUBJECT, {}, {}).lines


def test_what_was_not_checked_is_never_said_to_be() -> None:
    """One's own workspace is no other distribution; bounds stand beside the share that was completed."""
    assert elsewhere("here", "here", ()).state == elsewhere("here", "", ()).state == "not checked"
    assert elsewhere("there", "here", ("AUROC",)).state == "checked"
    check = completed({"M0": 0.9}, {"M0": (0.1, 0.2)}, 0.05)
    assert check.lines == (
        "M0: 90.0%; mean between 0.1000 and 0.2000",
        "5.0% were followed, and are left out by the task's own rules",
    )
