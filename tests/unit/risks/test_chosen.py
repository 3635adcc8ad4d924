"""Which labels are asked about: what two answers tell differs by no few people, nor by few with an outcome."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tawt.heads.label_set import LabelSet
from tawt.risks.chosen import chosen

NONE = np.zeros((0, 1))


def labels(n: int, share: float, each: int = 2, kind: str = "binary") -> LabelSet:
    """Labels of so many people, some of each, of whom a share has the outcome: so many to the person."""
    rng = np.random.default_rng(n)
    who = np.repeat(100 + np.arange(n), each)
    value = np.repeat(rng.random(n) < share, each)[:, None].astype(float)
    return LabelSet(
        "own", "0" * 64, kind, who, np.arange(len(who)), ("own",), value, NONE, NONE, ("a", "b") * (kind == "classes")
    )


def people(found: np.ndarray, of: LabelSet) -> tuple[set[int], set[int]]:
    """Who is asked about, and who of them has the outcome."""
    return {*of.subject_id[found].tolist()}, {*of.subject_id[found[of.value[found, 0] == 1]].tolist()}


@pytest.mark.parametrize("kind", ["binary", "classes", "numbers"])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_two_answers_differ_by_no_few_people(kind, share):
    """However many are wanted, whole people are taken, more and more of them; of those that another number adds, and
    of those that all add, 11 or more have the outcome or nobody, and have it not. As many as are wanted there are."""
    of = labels(1500, share, kind=kind)
    asked = [chosen(of, n, 0) for n in (*range(1, 80), 200, 800, len(of) - 1, len(of))]
    told = [people(one, of) for one in asked]
    apart = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise([(set(), set()), *told])]
    assert all(len(all_) in {0} | {*range(11, 1501)} for all_, _ in apart)
    assert kind == "numbers" or all(n not in range(1, 11) for all_, own in apart for n in (len(own), len(all_ - own)))
    assert all(np.isin(of.subject_id, [*who]).sum() == len(one) for one, (who, _) in zip(asked, told, strict=True))
    assert len({len(who) for who, _ in told}) > 3 and all(len(who) % 11 == 0 for who, _ in told[:-2] if len(who) < 1500)
    wanted = (*range(1, 80), 200, 800, len(of) - 1, len(of))
    assert all(len(one) >= n for one, n in zip(asked, wanted, strict=True)) and len(asked[-1]) == len(of)
    assert np.array_equal(asked[40], chosen(of, 41, 0)) and not np.array_equal(asked[40], chosen(of, 41, 1))


def test_where_all_of_them_are_few_they_are_taken_by_elevens():
    """Of 300 people six have the outcome: nothing is told of them, and nothing is gained by asking about all."""
    of = labels(300, 0.02)
    assert 0 < len(people(np.arange(len(of)), of)[1]) < 11
    assert [len(people(chosen(of, n, 0), of)[0]) for n in (1, 22, 23, 45, 599)] == [11, 11, 22, 33, 300]
