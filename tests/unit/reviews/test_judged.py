"""What ratings say: known figures, intervals that can be counted, files that are no answers."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tawt.errors import FileError
from tawt.reviews.agreement import alpha
from tawt.reviews.answers import FLAGS, Key, Ratings, read_ratings
from tawt.reviews.judged import ALL, LESS, Judged, judge

KEY = Key(format="tawt.review/1", review="abc", synthetic=(True, False) * 4, subject_id=tuple(range(8)))
_ = np.nan


def ratings(invented, plausible=None, flags=None) -> Ratings:
    invented = np.atleast_2d(np.array(invented, dtype=float))
    plausible = np.full_like(invented, np.nan) if plausible is None else np.atleast_2d(np.array(plausible, dtype=float))
    flags = np.zeros((*invented.shape, len(FLAGS)), bool) if flags is None else flags
    return Ratings(tuple("ABCDEFGHIJ"[: len(invented)]), invented, plausible, flags, ())


def value(judged: Judged, measure: str, rater: str = ALL):
    (found,) = [one for one in judged.measured if one.measure == measure and one.rater == rater]
    return found.interval


def test_alpha_is_that_of_the_textbook() -> None:
    """Four observers and twelve units of Krippendorff 2011, ratings missing: .815 on an ordered scale."""
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]  # fmt: skip
    told = np.array(table)
    assert alpha(told) == pytest.approx([0.815], abs=5e-4)
    draws = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), 5).astype(float)
    copied = [alpha(told[:, np.repeat(np.arange(12), one.astype(int))])[0] for one in draws]
    assert alpha(told, draws) == pytest.approx(copied), "a draw is its records copied"


def test_alpha_knows_agreement_chance_and_nothing() -> None:
    """1 where all say the same, about 0 where they guess, below where they contradict, no number where none differ."""
    rng = np.random.default_rng(2)
    same = np.repeat(rng.integers(1, 6, (1, 60)), 3, 0).astype(float)
    assert alpha(same) == pytest.approx([1])
    assert abs(alpha(rng.integers(1, 6, (4, 3000)).astype(float))[0]) < 0.03
    assert alpha(np.stack([same[0], 6 - same[0]]))[0] < -0.5
    assert np.isnan(alpha(np.full((3, 10), 4.0))[0]) and np.isnan(alpha(same[:1])[0])


def test_figures_of_few_ratings_can_be_counted() -> None:
    """Sensitivity, specificity and AUC by hand, half a yes for who cannot tell, and what was left open left out."""
    synthetic = np.array([True, True, True, False, False, False])
    told = ratings([5, 3, _, 1, 3, 4], plausible=[1, 2, _, 5, 5, _])
    found = judge(told, synthetic)
    assert value(found, "sensitivity").value == pytest.approx(1.5 / 2)
    assert value(found, "specificity").value == pytest.approx(1.5 / 3)
    assert value(found, "AUC").value == pytest.approx((1 + 1 + 1 + 1 + 0.5 + 0) / 6)
    assert value(found, LESS).value == pytest.approx(5 - 1.5)
    assert value(found, "agreement, invented").value is None
    assert "one rater" in found.notes[0] and "a part of the 6 records: A" in found.notes[1]


def test_an_interval_is_that_of_the_binomial() -> None:
    """Of one rater who finds 15 of 20, drawing records again is a binomial, whose quantiles are known."""
    n, hit = 20, 15
    synthetic = np.arange(40) < n
    told = np.where(synthetic, np.where(np.arange(40) < hit, 5, 1), 1).astype(float)
    mass = np.cumsum([comb(n, k) * (hit / n) ** k * (1 - hit / n) ** (n - k) for k in range(n + 1)])
    low, high = (np.searchsorted(mass, q) / n for q in (0.025, 0.975))
    found = value(judge(ratings(told), synthetic, 4000), "sensitivity")
    assert found.value == 0.75 and (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    exact = value(judge(ratings(told), synthetic), "specificity")
    assert (exact.low, exact.value, exact.high) == (1, 1, 1)


def test_the_auc_of_a_rater_is_that_of_other_code() -> None:
    """Equal to scikit-learn's for each rater; of all, the mean of these where each rated everything."""
    rng, synthetic = np.random.default_rng(5), np.arange(30) % 2 == 0
    told = np.clip(np.round(3 + synthetic + rng.normal(0, 1.2, (3, 30))), 1, 5)
    found = judge(ratings(told), synthetic, 50)
    each = [roc_auc_score(synthetic, row) for row in told]
    assert [value(found, "AUC", rater).value for rater in "ABC"] == pytest.approx(each)
    assert value(found, "AUC").value == pytest.approx(np.mean(each))


def test_raters_who_differ_widen_the_interval() -> None:
    """Three who know and three who guess: an interval over raters is wider than over records alone; two are not drawn."""
    rng, synthetic = np.random.default_rng(6), np.arange(200) % 2 == 0
    knows = np.where(synthetic, 5, 1) * np.ones((3, 1))
    told = np.concatenate([knows, rng.integers(1, 6, (3, 200))])
    six, pair = judge(ratings(told), synthetic), judge(ratings(told[[0, 3]]), synthetic)
    width = [value(one, "AUC").high - value(one, "AUC").low for one in (six, pair)]
    assert width[0] > 2 * width[1] and "6 raters are rough" in six.notes[0] and "2 raters" in pair.notes[0]


def test_flags_are_counted_by_kind_and_few_are_not_told_of_patients() -> None:
    """Of invented records any number, of real ones none from 1 to 10."""
    synthetic = np.arange(60) < 30
    flags = np.zeros((1, 60, 3), bool)
    flags[0, :4, 0] = flags[0, 30:33, 0] = flags[0, 30:45, 2] = True
    order, impossible, combination = judge(ratings(np.full(60, 3), flags=flags), synthetic, 10).flagged
    assert (order.synthetic, order.real, order.of_real) == (4, "<11", 30)
    assert (impossible.synthetic, impossible.real) == (0, "0") and combination.real == "15"


def write(path: Path, **changed: object) -> Path:
    file = {
        "format": "tawt.review/1", "review": "abc", "rater": "AB", "saved": "2026-01-01T10:00:00.000Z",
        "answers": [{"item": 1, "invented": 5, "plausible": 2, "order": True, "note": "dead, then <b>alive</b>"},
                    {"item": 4, "plausible": 3}],
    }  # fmt: skip
    path.write_text(json.dumps(file | changed))
    return path


def test_answers_come_back(tmp_path: Path) -> None:
    """Each number at its record, a part of them or all, and words as they were written."""
    read = read_ratings([write(tmp_path / "a.json")], KEY)
    assert read.raters == ("AB",) and read.n_items.tolist() == [2]
    assert read.invented[0, 0] == 5 and np.isnan(read.invented[0, 1:]).all()
    assert read.plausible[0, [0, 3]].tolist() == [2, 3] and read.flags[0, 0].tolist() == [True, False, False]
    assert read.notes == ((1, "AB", "dead, then <b>alive</b>"),)


def test_the_later_answer_of_a_rater_counts(tmp_path: Path) -> None:
    """Two files of one rater are one, in whatever order they are named and however the initials are written."""
    early = write(tmp_path / "a.json")
    late = write(
        tmp_path / "b.json", rater=" ab ", saved="2026-01-02T10:00:00+00:00",
        answers=[{"item": 1, "invented": 1}, {"item": 2, "invented": 2}],
    )  # fmt: skip
    for order in ((early, late), (late, early)):
        read = read_ratings(order, KEY)
        assert len(read.raters) == 1 and read.n_replaced == 1
        assert read.invented[0, :2].tolist() == [1, 2] and read.plausible[0, 3] == 3


SECRET = "Jane Doe"
HOSTILE = {
    "of another review": ({"review": "other"}, "is of another review"),
    "a record that is not there": ({"answers": [{"item": 9}]}, "rates 9, expected records 1 to 8"),
    "a record twice": ({"answers": [{"item": 1}, {"item": 1}]}, "rates a record twice"),
    "a number beyond the scale": (
        {"answers": [{"item": 2}, {"item": 7, "invented": 6}]},
        "no `invented` at record 7 that may be, expected a whole number from 1 to 5",
    ),
    "a word for a number": ({"answers": [{"item": 1, "plausible": SECRET}]}, "no `plausible` at record 1"),
    "a truth for a number": ({"answers": [{"item": True}]}, "no `item` at its answer 1"),
    "a key of its own": ({"answers": [{"item": 1, SECRET: 1}]}, "another key at record 1"),
    "no answers": ({"answers": None}, "`answers` does not fit"),
    "no rater": ({"rater": "  "}, "names no rater"),
    "a time without a zone": ({"saved": "2026-01-01"}, "`saved` does not fit"),
    "another format": ({"format": "x"}, "holds no answers to a review, expected a file that its page saved"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_answer_is_refused(name: str, tmp_path: Path) -> None:
    """An edited file ends in one line that names it, what is wrong, and nothing of what it holds."""
    changed, said = HOSTILE[name]
    with pytest.raises(FileError) as raised:
        read_ratings([write(tmp_path / "a.json", **changed)], KEY)
    assert said in str(raised.value) and "a.json" in str(raised.value) and SECRET not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[1]", '{"a":' * 50_000, "\x00", '{"format": "tawt.review/1"'])
def test_what_is_no_file_of_answers_is_refused(text: str, tmp_path: Path) -> None:
    """Nothing, a list, keys nested without end, bytes: each one line."""
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FileError, match=r"a\.json"):
        read_ratings([tmp_path / "a.json"], KEY)


def test_a_file_of_answers_that_is_not_there_is_told_as_one(tmp_path: Path) -> None:
    """It is a file of answers that is asked for."""
    with pytest.raises(FileError, match="is not there, expected a file that the page of the review saved"):
        read_ratings([tmp_path / "a.json"], KEY)
