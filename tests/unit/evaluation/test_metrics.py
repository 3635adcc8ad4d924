"""Metrics of yes or no, of classes and of numbers, held to their definitions row by row and to scikit-learn."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from sklearn import metrics as sk

from tawt.errors import ContractError
from tawt.evaluation.classes import OF_CLASSES, OF_LABELS, Classes, Labels, against_the_rest
from tawt.evaluation.measure import Metric, measured
from tawt.evaluation.metrics import (
    AUROC,
    AVERAGE_PRECISION,
    BRIER,
    BRIER_SKILL,
    DISCRIMINATION,
    LOG_LOSS,
    MIN_SE_PPV,
    PR_AUC,
    PREVALENCE,
    PROBABILITY,
    Binary,
    at_threshold,
    best_threshold,
)  # fmt: skip
from tawt.evaluation.regression import DEVIANCE, OF_NUMBERS, Counts, Numbers

RNG = np.random.default_rng(7)
Y = (RNG.random(120) < 0.3).astype(float)
P = np.clip(np.round(0.3 * Y + 0.7 * RNG.random(120), 2), 0.01, 0.99)
W = RNG.integers(0, 4, 120).astype(float)


def value(metric: Metric, *of: object, weights: np.ndarray | None = None) -> float:
    """The number, which is there."""
    found = metric(Binary(*of), weights).value
    assert found is not None
    return found


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    """Of all pairs of a positive and a negative the share with the larger score on the positive, equal ones as half."""
    pairs = [(p > q) + (p == q) / 2 for (y, p), (z, q) in product(zip(Y, P, strict=True), repeat=2) if y > z]
    assert sum(1 for p, q in product(P[Y == 1], P[Y == 0]) if p == q) > 5
    assert value(AUROC, Y, P) == pytest.approx(np.mean(pairs))
    assert value(AUROC, Y, -P) == pytest.approx(1 - np.mean(pairs))


def test_torchmetrics_says_the_same() -> None:
    """Both areas, of scores with ties."""
    torch = pytest.importorskip("torch")
    by = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    score, truth = torch.tensor(P), torch.tensor(Y).long()
    assert value(AUROC, Y, P) == pytest.approx(float(by.binary_auroc(score, truth)), abs=1e-6)
    assert value(AVERAGE_PRECISION, Y, P) == pytest.approx(float(by.binary_average_precision(score, truth)), abs=1e-6)


def test_precision_and_recall_go_threshold_by_threshold() -> None:
    """The three areas and minima follow from counting at each distinct score, from the largest on."""
    curve = [(0.0, 1.0)]
    for t in sorted(set(P), reverse=True):
        above = t <= P
        curve.append((Y[above].sum() / Y.sum(), Y[above].mean()))
    steps = list(pairwise(curve))
    assert value(AVERAGE_PRECISION, Y, P) == pytest.approx(sum((r - q) * p for (q, _), (r, p) in steps))
    assert value(PR_AUC, Y, P) == pytest.approx(sum((r - q) * (p + o) / 2 for (q, o), (r, p) in steps))
    assert value(MIN_SE_PPV, Y, P) == pytest.approx(max(min(pair) for pair in curve))
    assert value(AVERAGE_PRECISION, Y, P) != pytest.approx(value(PR_AUC, Y, P), abs=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_of_yes_or_no_are_those_of_scikit_learn(weighted: bool) -> None:
    """AUROC, average precision, trapezoid, Brier and log loss agree with another library, with weights and without."""
    w = W if weighted else None
    precision, recall, _ = sk.precision_recall_curve(Y, P, sample_weight=w)
    share = np.average(Y, weights=w)
    brier = sk.brier_score_loss(Y, P, sample_weight=w)
    expected = {
        AUROC: sk.roc_auc_score(Y, P, sample_weight=w), PR_AUC: sk.auc(recall, precision), BRIER: brier,
        AVERAGE_PRECISION: sk.average_precision_score(Y, P, sample_weight=w), LOG_LOSS: sk.log_loss(Y, P, sample_weight=w),
        MIN_SE_PPV: np.minimum(precision, recall).max(), PREVALENCE: share, BRIER_SKILL: 1 - brier / (share * (1 - share)),
    }  # fmt: skip
    for metric, number in expected.items():
        assert value(metric, Y, P, weights=w) == pytest.approx(number), metric.name


def test_a_row_of_weight_two_is_two_rows() -> None:
    """Every metric of whole weights is that of the rows repeated as often, and each of many weightings is by itself."""
    again = np.repeat(np.arange(120), W.astype(int))
    x, z = RNG.normal(size=120).round(1), RNG.normal(size=120).round(1)
    scores = RNG.dirichlet(np.ones(3), 120)
    number = np.arange(120) % 3
    cases = [
        ((*DISCRIMINATION, *PROBABILITY, *at_threshold(0.4)), Binary(Y, P), Binary(Y[again], P[again])),
        (OF_NUMBERS, Numbers(x, z, z - 1, z + 1), Numbers(x[again], z[again], z[again] - 1, z[again] + 1)),
        (OF_CLASSES, Classes(number, scores), Classes(number[again], scores[again])),
    ]
    for metrics, whole, repeated in cases:
        for metric in metrics:
            both = metric.of(whole, np.stack([W, np.ones(120)]))  # type: ignore[arg-type]
            assert both[0] == pytest.approx(metric(repeated).value), metric.name  # type: ignore[arg-type]
            assert both[1] == pytest.approx(metric(whole).value), metric.name  # type: ignore[arg-type]


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_one_class_has_no_discrimination_and_says_so(truth: float) -> None:
    """With one class there is neither NaN nor a perfect 1.0, but None and the reason; what is defined stays."""
    found = measured((*DISCRIMINATION, *PROBABILITY), Binary(np.full(9, truth), np.linspace(0, 1, 9)))
    undefined = {name for name, measure in found.items() if measure.value is None}
    assert undefined == {"auroc", "average_precision", "pr_auc_trapezoid", "min_se_ppv", "brier_skill"}
    assert {found[name].reason for name in undefined} == {"one class"}
    assert found["prevalence"].value == truth and found["log_loss"].reason is None
    half = np.array([0.1, 0.2, 0.7] * 3)  # sums of them are not exact
    assert AUROC(Binary([0, 0, 1] * 3, np.arange(9)), half * np.array([1, 1, 0] * 3)).reason == "one class"


def test_no_rows_and_scores_that_are_no_probabilities_are_told() -> None:
    """Nothing is measured of no rows, and no loss of scores beyond 0 and 1, whose order still counts."""
    assert {m.reason for m in measured(DISCRIMINATION, Binary([], [])).values()} == {"no rows"}
    assert AUROC(Binary([0, 1], [0, 1]), [0, 0]).reason == "no rows"
    logits = Binary([0, 1, 1], [-2.0, 3.0, -3.0])
    assert BRIER(logits).reason == "scores are not within 0 and 1" and AUROC(logits).value == 0.5


@pytest.mark.parametrize(
    ("truth", "score", "said"),
    [([0, 2], [0, 1], "beside 0 and 1"), ([0, 1], [0, math.nan], "not finite"), ([0, 1], [0], "expected 2")],
)  # fmt: skip
def test_what_is_no_truth_or_score_is_refused(truth: list[float], score: list[float], said: str) -> None:
    """Other classes, numbers that are not finite and other lengths are errors with counts, not numbers."""
    with pytest.raises(ContractError, match=said):
        Binary(truth, score)
    with pytest.raises(ContractError, match="below 0"):
        AUROC(Binary([0, 1], [0, 1]), [1, -1])


def test_what_comes_of_a_threshold_is_told() -> None:
    """Shares of those above, and below, a threshold from elsewhere; where nobody is above, nothing can be right."""
    above, came = P >= 0.5, Y == 1
    shares = [above[came].mean(), (~above)[~came].mean(), came[above].mean()]
    assert len({*shares}) == 3 and [value(one, Y, P) for one in at_threshold(0.5)] == pytest.approx(shares)
    found = measured(at_threshold(2.0), Binary(Y, P))
    assert [one.value for one in found.values()] == [0, 1, None]
    assert found["ppv"].reason == "no row reaches the threshold"
    assert best_threshold(Binary([1, 1], [0.1, 0.2])) is None


def test_classes_are_measured_against_the_rest() -> None:
    """Macro and micro AUROC and AP, accuracy, log loss and Brier of several classes are those of scikit-learn."""
    number = RNG.integers(0, 3, 150)
    scores = RNG.dirichlet(np.ones(3), 150) * 0.7 + 0.3 * np.eye(3)[number]
    found = {name: m.value for name, m in measured(OF_CLASSES, Classes(number, scores)).items()}
    one_hot = np.eye(3)[number]
    assert found["macro_auroc"] == pytest.approx(sk.roc_auc_score(number, scores, multi_class="ovr"))
    assert found["micro_auroc"] == pytest.approx(sk.roc_auc_score(one_hot, scores, average="micro"))
    assert found["macro_average_precision"] == pytest.approx(sk.average_precision_score(one_hot, scores))
    assert found["micro_average_precision"] == pytest.approx(
        sk.average_precision_score(one_hot, scores, average="micro")
    )
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(number, scores.argmax(1)))
    assert found["log_loss"] == pytest.approx(sk.log_loss(number, scores))
    assert found["brier"] == pytest.approx(np.mean(((scores - one_hot) ** 2).sum(1)))
    for i, metric in enumerate(against_the_rest("abc", AUROC)):
        assert metric(Classes(number, scores, "abc")).value == pytest.approx(
            sk.roc_auc_score(number == i, scores[:, i])
        )


def test_a_label_that_is_not_known_is_left_out_of_its_column_alone() -> None:
    """Unknown labels count neither for nor against; a column of one class leaves the mean without a number."""
    truth = (RNG.random((60, 3)) < 0.4).astype(float)
    score = RNG.random((60, 3))
    truth[:20, 0] = np.nan
    expected = np.mean([sk.roc_auc_score(truth[20 * (i == 0) :, i], score[20 * (i == 0) :, i]) for i in range(3)])
    found = measured(OF_LABELS, Labels(truth, score))
    assert found["macro_auroc"].value == pytest.approx(expected)
    known = ~np.isnan(truth)
    assert found["micro_auroc"].value == pytest.approx(sk.roc_auc_score(truth[known], score[known]))
    truth[:, 1] = 0
    found = measured(OF_LABELS, Labels(truth, score))
    assert found["macro_auroc"].value is None and found["macro_auroc"].reason == "one class in 1 of 3 columns"
    assert against_the_rest(("a", "b", "c"), AUROC)[1](Labels(truth, score)).reason == "one class"


def test_probabilities_of_classes_sum_to_one() -> None:
    """Rows that do not, classes without a column and names that are not as many are refused."""
    with pytest.raises(ContractError, match="1 rows that are no probabilities"):
        Classes([0, 1], [[0.5, 0.5], [0.5, 0.7]])
    with pytest.raises(ContractError, match="without a column"):
        Classes([0, 2], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ContractError, match="names"):
        Labels([[0, 1]], [[0.5, 0.5]], ("a", "a"))


def test_errors_of_numbers_are_those_of_scikit_learn() -> None:
    """Errors, R2 and rank correlation, with ties and an even number of rows, agree with their definitions."""
    x = RNG.normal(size=80).round(1)
    z = (x + RNG.normal(size=80)).round(1)
    found = {name: m.value for name, m in measured(OF_NUMBERS, Numbers(x, z, z - 0.5, z + 1)).items()}
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(x, z))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(x, z))
    assert found["median_absolute_error"] == pytest.approx(sk.median_absolute_error(x, z))
    assert found["r2"] == pytest.approx(sk.r2_score(x, z))
    ranks = [[(other < one).sum() + (other == one).sum() / 2 for one in other] for other in (x, z)]
    assert found["spearman"] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert found["coverage"] == np.mean([a - 0.5 <= b <= a + 1 for a, b in zip(z, x, strict=True)])
    assert found["interval_width"] == pytest.approx(1.5)


def test_the_deviance_of_counts_is_that_of_scikit_learn() -> None:
    """Under weights too; where what came was said to come never, or less than never, there is none."""
    came, weights = RNG.poisson(2, 80), RNG.integers(1, 4, 80)
    said = RNG.gamma(2, 1, 80) + 0.01
    found = DEVIANCE(Counts(came, said), weights).value
    assert found == pytest.approx(sk.mean_poisson_deviance(came, said, sample_weight=weights))
    assert DEVIANCE(Counts([0, 2], [0, 2])).value == 0
    for bad in ([0, 0], [-1, 2]):
        assert "below 0" in (DEVIANCE(Counts([0, 2], bad)).reason or "")
    with pytest.raises(ContractError, match="1 counts below 0"):
        Counts([-1, 2], [1, 1])


def test_numbers_without_spread_or_interval_say_why() -> None:
    """Equal truths have no R2, equal predictions no order, and without an interval there is no coverage."""
    flat = measured(OF_NUMBERS, Numbers([0.1] * 3, [1, 2, 3]))
    assert flat["r2"].reason == flat["spearman"].reason == "all true numbers are equal"
    assert flat["coverage"].reason == "no interval was predicted"
    assert measured(OF_NUMBERS, Numbers([1, 2, 3], [0.3] * 3))["spearman"].reason == "all predictions are equal"
    with pytest.raises(ContractError, match="end before they begin"):
        Numbers([1.0], [1.0], [2.0], [1.0])
