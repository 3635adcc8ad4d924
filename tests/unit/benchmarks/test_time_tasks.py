"""The invented tasks about time are what they claim: only times tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tawt.config.model import ModelConfig
from tawt.models.encoder import Encoder

pytestmark = pytest.mark.usefixtures("time_tasks")
NAMES = ("interval", "rate", "window", "rhythm", "elapsed", "clock")


def _hours(gaps: np.ndarray) -> np.ndarray:
    return np.concatenate(([0.0], np.cumsum(gaps)))


def test_every_task_is_tested() -> None:
    """The tasks below are all that there are."""
    from rules import RULES

    assert tuple(RULES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_twins_have_the_two_labels_and_one_span(name: str) -> None:
    """Of each pair of twins the rule says no to the first and yes to the second, and both last equally long."""
    from rules import RULES

    rng = np.random.default_rng(0)
    for _ in range(300):
        twins = RULES[name].twins(rng)
        assert (twins.gaps > 0).all()
        assert twins.gaps[0].sum() == pytest.approx(twins.gaps[1].sum())
        pairs = zip(twins.gaps, twins.clock, strict=True)
        assert [RULES[name].label(twins.events, clock + _hours(gaps)) for gaps, clock in pairs] == [False, True]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_cannot_see_time_gives_twins_one_embedding(name: str) -> None:
    """Without time encodings and time in attention, twins are the same to the encoder; with rotary or decay they are not,
    nor are those that differ in the time of day with calendar waves alone."""
    from learn import pack, vocabulary
    from rules import RULES, Record

    twins = RULES[name].twins(np.random.default_rng(1))
    values = np.random.default_rng(2).normal(size=len(twins.events))
    batch = pack([Record(twins.events, values, _hours(twins.gaps[i]), bool(i), twins.clock[i]) for i in (0, 1)])
    shape = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ffn": 16, "dropout": 0.0, "value": "continuous"}
    for attention, time in (((), ()), (("rotary",), ()), (("decay",), ()), ((), ("calendar",))):
        torch.manual_seed(0)
        first, second = Encoder(ModelConfig(**shape, time=time, attention=attention), vocabulary()).embed(batch)
        tells = bool(time) if name == "clock" else bool(attention)
        if time and not tells:
            continue  # the same gaps begin at one hour, and go on at others
        # equal but for the grouping of the kernel's sums
        assert torch.allclose(first, second, atol=1e-6) == (not tells)


@pytest.mark.parametrize("name", NAMES)
def test_everything_but_gaps_is_at_chance(name: str) -> None:
    """Counts, order, values, span and start do not tell the label of drawn records; the gaps, or the time of day, do."""
    from learn import auroc
    from rules import N_TYPES, RULES, draw_record

    rng = np.random.default_rng(3)
    records = [draw_record(RULES[name], rng) for _ in range(3000)]
    label = np.array([record.label for record in records])
    assert 0.45 < label.mean() < 0.55
    known = np.array(
        [
            [
                *np.bincount(r.events, minlength=N_TYPES), *r.events[:12], *r.events[-12:], *(np.argsort(r.events)[:12]), len(r.events),
                r.values.mean(), r.values.std(), r.values[0], r.hours[0], r.hours[-1] - r.hours[0],
            ]
            for r in records
        ]
    )  # fmt: skip
    gaps = np.array([[*_told_by_gaps(r.events, r.hours), _by_day(r)] for r in records])
    scores = [auroc(_ridge(x, label), label[1500:]) for x in (known, gaps)]
    assert abs(scores[0] - 0.5) < 0.06
    assert scores[1] > 0.9


def _told_by_gaps(events: np.ndarray, hours: np.ndarray) -> list[float]:
    from rules import A, B, P, Q

    gaps = np.diff(hours)
    half = len(gaps) // 2
    told = [gaps.std() / gaps.mean(), np.log(gaps[:half].mean() / gaps[-half:].mean())]
    told.append(np.log(hours[events == Q][0] - hours[events == P][0]) if (events == Q).any() else 0.0)
    told.append(np.log(np.abs(hours[events == A][:, None] - hours[events == B]).min()) if (events == A).any() else 0.0)
    told.append((hours[events == P][0] - hours[0]) / (hours[-1] - hours[0]) if (events == P).any() else 0.0)
    return told


def _by_day(record: object) -> float:
    from rules import P, Record

    assert isinstance(record, Record)
    at = record.origin + record.hours[record.events == P]
    return float(np.cos((at[0] - 14) * np.pi / 12)) if len(at) else 0.0


def _ridge(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Scores of the second half by a linear model of the first."""
    x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    fit, y = x[:1500], label[:1500] - 0.5
    return x[1500:] @ np.linalg.solve(fit.T @ fit + 10 * np.eye(x.shape[1]), fit.T @ y)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    """AUROC counts the pairs of a true and a false record whose scores are in order, ties as half."""
    from learn import auroc

    rng = np.random.default_rng(4)
    score, truth = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = score[truth][:, None] - score[~truth]
    assert auroc(score, truth) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_some_steps_learn_an_interval_with_decay() -> None:
    """The training of the benchmark works: 200 steps tell intervals with decay, and tell nothing without time."""
    from learn import learn
    from rules import RULES

    shape = {"d_model": 32, "n_layers": 2, "n_heads": 4, "d_ffn": 64, "dropout": 0.0, "value": "continuous", "time": ()}
    decay = {"tau_hours": 2.0, "steepest": 4.0, "learned": True}
    sizes = {"n_documents": 32, "lr": 5e-3, "n_test": 400}
    known = learn(RULES["interval"], ModelConfig(**shape, attention=("decay",), decay=decay), 0, n_steps=200, **sizes)
    unknown = learn(RULES["interval"], ModelConfig(**shape, attention=()), 0, n_steps=40, **sizes)
    assert known > 0.95
    assert abs(unknown - 0.5) < 0.12


def test_calendar_waves_learn_the_time_of_day() -> None:
    """120 steps tell by calendar waves whether an event came by day; without them, hours since the origin tell nothing."""
    from learn import learn
    from rules import RULES

    shape = {"d_model": 32, "n_layers": 1, "n_heads": 2, "d_ffn": 32, "dropout": 0.0, "value": "continuous"}
    sizes = {"n_documents": 32, "lr": 8e-3, "n_test": 400}
    known = learn(RULES["clock"], ModelConfig(**shape, time=("calendar",)), 0, n_steps=120, **sizes)
    unknown = learn(RULES["clock"], ModelConfig(**shape), 0, n_steps=30, **sizes)
    assert known > 0.9
    assert abs(unknown - 0.5) < 0.12
