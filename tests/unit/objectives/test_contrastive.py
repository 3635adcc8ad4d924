"""InfoNCE against loops over single documents."""

from __future__ import annotations

import math

import pytest
import torch

from tawt.objectives.contrastive import (
    baseline_sum,
    count,
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


def paired_by_hand(one: torch.Tensor, other: torch.Tensor, subjects: list[int], temperature: float) -> float:
    """The loss of two sides, pair by pair, half each way."""
    total = 0.0
    for a, b in ((one, other), (other, one)):
        for i, mine in enumerate(subjects):
            score = [math.exp(float(a[i] @ row) / temperature) for row in b]
            against = sum(score[j] for j, subject in enumerate(subjects) if subject != mine)
            total -= math.log(score[i] / (score[i] + against)) / 2
    return total


@pytest.mark.parametrize("subjects", [*SUBJECTS, [3], [1, 1]], ids=str)
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_two_sides_equal_a_loop_over_pairs(subjects, temperature):
    """Each row against those of the other side that are of other subjects, both ways; the sides may change places."""
    one, other, whose = unit(len(subjects)), unit(len(subjects), 1), torch.tensor(subjects)
    ours = paired_info_nce(one, other, whose, temperature)
    expected = pytest.approx(paired_by_hand(one, other, subjects, temperature), rel=1e-4, abs=1e-5)
    assert ours.dtype == torch.float32 and ours.item() == expected
    assert paired_info_nce(other, one, whose, temperature).item() == expected


@pytest.mark.parametrize("subjects", [*SUBJECTS, [3], [1, 1]], ids=str)
def test_equal_sides_cost_the_baseline(subjects):
    """Where all pairs look alike, the loss is the log of the number of candidates."""
    alike, whose = torch.ones(len(subjects), 4) / 2, torch.tensor(subjects)
    assert paired_info_nce(alike, alike, whose, 0.1).item() == pytest.approx(paired_baseline_sum(whose), abs=1e-5)
    assert paired_count(whose) == (len(subjects) if len({*subjects}) > 1 else 0)


def test_what_one_subject_has_several_of_is_no_negative():
    """Two images of one subject may be as alike as they like, and no gradient drives them from its records."""
    whose = torch.tensor([1, 1, 2])
    one, other = unit(3).float(), unit(3, 1).float()
    alike = other.clone()
    alike[1] = one[0]  # the other image is just what the first record says
    costs = [paired_info_nce(one[[0, 2]], side[[0, 2]], whose[[0, 2]], 0.1) for side in (other, alike)]
    assert costs[0] == costs[1]
    leaf = alike.requires_grad_()
    similarity = (one[0] @ leaf[1]).detach()
    paired_info_nce(one, leaf, whose, 0.1).backward()
    moved = leaf.detach() - 0.01 * leaf.grad
    # the second image moves to its own record and off the stranger's: along these two alone
    basis = torch.linalg.lstsq(torch.stack([one[1], one[2]]).T, leaf.grad[1][:, None])
    assert torch.allclose(torch.stack([one[1], one[2]]).T @ basis.solution, leaf.grad[1][:, None], atol=1e-5)
    assert similarity > 0.99 and (moved - leaf).abs().sum() > 0
