"""InfoNCE against loops over single documents."""

from __future__ import annotations

import math

import pytest
import torch

from tawt.objectives.contrastive import (
    baseline_sum,
    count,
    found,
    info_nce,
    paired_baseline_sum,
    paired_count,
    paired_info_nce,
)

SUBJECTS = [
    [1, 2, 3, 1, 2, 3],
    [1, 2, 1, 1, 2, 1, 3],
    [5, 5, 5, 7],
    [9, 9],
    [1, 2, 3],
]


def unit(n: int, seed: int = 0) -> torch.Tensor:
    """Random directions, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, 8, generator=generator, dtype=torch.float64), dim=1)


def by_hand(rows: torch.Tensor, subjects: list[int], temperature: float) -> float:
    """The loss, document by document."""
    total = 0.0
    for i, mine in enumerate(subjects):
        positives = [j for j, other in enumerate(subjects) if other == mine and j != i]
        negatives = [j for j, other in enumerate(subjects) if other != mine]
        score = [math.exp(float(rows[i] @ row) / temperature) for row in rows]
        against = sum(score[j] for j in negatives)
        for j in positives:
            total -= math.log(score[j] / (score[j] + against)) / len(positives)
    return total


@pytest.mark.parametrize("subjects", SUBJECTS, ids=str)
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_it_equals_a_loop_over_documents(subjects, temperature):
    """Each positive against the documents of other subjects alone; a document's positives are averaged."""
    rows = unit(len(subjects))
    ours = info_nce(rows, torch.tensor(subjects), temperature)
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(by_hand(rows, subjects, temperature), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("subjects", SUBJECTS, ids=str)
def test_equal_projections_cost_the_baseline(subjects):
    """Where all documents look alike, the loss is the log of the number of candidates, the trivial guess."""
    alike, whose = torch.ones(len(subjects), 4) / 2, torch.tensor(subjects)
    assert info_nce(alike, whose, 0.1).item() == pytest.approx(baseline_sum(whose), rel=1e-6, abs=1e-6)
    assert count(whose) == sum(subjects.count(subject) > 1 for subject in subjects)


def test_documents_of_one_subject_do_not_push_each_other_away():
    """However close a document's other views are, they do not raise what it pays: only other subjects repel."""
    whose = torch.tensor([1, 1, 1, 2])
    apart = torch.eye(4)
    close = apart.clone()
    close[2] = close[0]
    # documents 0 and 2 now agree: were they negatives of each other, the loss would rise
    assert info_nce(close, whose, 0.1) < info_nce(apart, whose, 0.1)
    together = apart[[0, 0, 0, 3]]
    assert info_nce(together, whose, 0.1).item() == pytest.approx(3 * math.log1p(math.exp(-10)), rel=1e-3)


@pytest.mark.parametrize("subjects", [[1, 1], [1, 2], [3]], ids=str)
def test_nothing_to_tell_apart_is_no_nan(subjects):
    """A step without negatives or without positives costs nothing and has a finite gradient."""
    rows = unit(len(subjects)).float().requires_grad_()
    loss = info_nce(rows, torch.tensor(subjects), 0.01)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


def test_a_sharp_temperature_does_not_overflow():
    """At a temperature of 0.001 similarities are near 1000, and loss and gradient stay finite."""
    rows = unit(8).float().requires_grad_()
    loss = info_nce(rows, torch.tensor([0, 1, 2, 3] * 2), 1e-3)
    loss.backward()
    assert loss.isfinite() and rows.grad.isfinite().all()


PAIRED = [
    [(1, 10, 0), (2, 20, 0), (3, 30, 0), (1, 11, 0), (2, 21, 0)],
    [(1, 10, 0), (2, 10, 0), (3, 30, 0), (4, 10, 0)],
    [(1, 10, 0), (2, 20, 1), (3, 30, 0), (4, 40, 1), (5, 50, 1)],
    [(1, 10, 0), (1, 11, 0)],
    [(3, 10, 0)],
    [],
]
"""Subject, content and kind of each pair: several of one subject, copies, two kinds, nobody to be told from."""


def apart(keys: list, i: int) -> list[int]:
    """The negatives of a pair."""
    (subject, content, kind) = keys[i]
    return [j for j, (a, b, c) in enumerate(keys) if a != subject and b != content and c == kind]


def paired_by_hand(one: torch.Tensor, other: torch.Tensor, keys: list, temperature: float) -> float:
    """The loss of two sides, pair by pair, half each way."""
    total = 0.0
    for a, b in ((one, other), (other, one)):
        for i in range(len(keys)):
            score = [math.exp(float(a[i] @ row) / temperature) for row in b]
            against = sum(score[j] for j in apart(keys, i))
            total -= math.log(score[i] / (score[i] + against)) / 2
    return total


def as_keys(keys: list) -> torch.Tensor:
    """`(D, 3)`."""
    return torch.tensor(keys, dtype=torch.int64).view(-1, 3)


@pytest.mark.parametrize("keys", PAIRED, ids=str)
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_two_sides_equal_a_loop_over_pairs(keys, temperature):
    """Each row against those of the other side that are of other subjects, show something else and are of its kind, both
    ways; the sides may change places."""
    one, other = unit(len(keys)), unit(len(keys), 1)
    ours = paired_info_nce(one, other, as_keys(keys), temperature)
    expected = pytest.approx(paired_by_hand(one, other, keys, temperature), rel=1e-4, abs=1e-5)
    assert ours.dtype == torch.float32 and ours.item() == expected
    assert paired_info_nce(other, one, as_keys(keys), temperature).item() == expected


@pytest.mark.parametrize("keys", PAIRED, ids=str)
def test_equal_sides_cost_the_baseline(keys):
    """Where all pairs look alike, the loss is the log of the number of candidates, and none is found."""
    alike, whose = torch.ones(len(keys), 4) / 2, as_keys(keys)
    assert paired_info_nce(alike, alike, whose, 0.1).item() == pytest.approx(paired_baseline_sum(whose), abs=1e-5)
    assert paired_count(whose) == sum(bool(apart(keys, i)) for i in range(len(keys)))
    assert found(alike, alike, whose).tolist()[0] == 0


@pytest.mark.parametrize("keys", PAIRED, ids=str)
def test_what_ranks_first_is_counted(keys):
    """Of the records that have a wrong answer, those whose own content is nearest; a blind guess finds one in n."""
    one, other = unit(len(keys)), unit(len(keys), 1)
    asked = [i for i in range(len(keys)) if apart(keys, i)]
    first = sum(all(one[i] @ other[i] > one[i] @ other[j] for j in apart(keys, i)) for i in asked)
    blind = sum(1 / (1 + len(apart(keys, i))) for i in asked)
    assert found(one, other, as_keys(keys)).tolist() == pytest.approx([first, blind])
    assert found(one, one, as_keys(keys)).tolist() == pytest.approx([len(asked), blind])


@pytest.mark.parametrize("second", [(1, 11, 0), (9, 10, 0), (9, 90, 1)], ids=["same subject", "copy", "other kind"])
def test_what_is_no_negative_repels_nothing(second):
    """Another image of the subject, a copy of the image, and another kind of content may be as near to the record as they
    like: it costs the same."""
    keys = as_keys([(1, 10, 0), second, (2, 20, 0)])
    one, near = unit(3).float(), unit(3, 1).float()
    near[1] = one[0]
    far = near.clone()
    far[1] = -one[0]

    def cost(other):
        """Of the first record alone: the others' rows are its candidates."""
        leaf = one.clone().requires_grad_()
        paired_info_nce(leaf, other, keys, 0.1).backward()
        return leaf.grad[0]

    assert torch.equal(cost(near), cost(far)) and cost(near).abs().sum() > 0
