"""One question of a label set, as an audit asks it: what leaks of its answers, and what a leak is worth to a probe."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tawt.arrays import Bools
from tawt.contracts.cells import SMALL_CELL
from tawt.evaluation.baselines import measured_shuffled, with_shuffled_labels
from tawt.evaluation.inflation import inflation, probe
from tawt.evaluation.leaks import Told, audit_features
from tawt.evaluation.metrics import Binary
from tawt.evaluation.resample import Interval
from tawt.evaluation.rows import Rows, thinned
from tawt.heads.label_set import LabelSet
from tawt.labels.leaks.behind import audit_outcome, outcome_of
from tawt.labels.leaks.events import audit_answers
from tawt.labels.leaks.verdict import Inflation, Verdict, clean, unverified, worst_of

WIDEST = 0.3
"""An interval of AUROC on shuffled labels that is wider says nothing: a leak would lie within, and chance beside."""
_DRAWS = 200
_RARE = f"what fewer than {SMALL_CELL + 1} subjects are asked"
_OF_ROWS = ("POST_OUTCOME_INSTANCE", "REPEATED_EVENT")


@dataclass(frozen=True, eq=False)
class Question:
    """One yes or no that a label set asks at `n` prediction times."""

    name: str
    """Of what is asked; of few people it is told of nobody."""
    told: Told
    """What was known, and what came."""
    test: Bools
    """`(n,)`, what a probe is measured on."""
    again: Bools
    """`(n,)`, positive, and of what was there before."""

    @classmethod
    def of(cls, labels: LabelSet, told: Told, train: Sequence[int], held_out: Sequence[int]) -> Question:
        """Return the question of labels that ask one thing.

        Args:
            labels: At the prediction times of `told`.
            told: What was known.
            train: Subjects that may be learned from.
            held_out: Subjects that are measured on.
        """
        truth = np.where(np.isnan(labels.value[:, 0]), np.nan, labels.value[:, 0] > 0)
        learned, tested = (np.isin(labels.subject_id, one) & ~np.isnan(truth) for one in (train, held_out))
        again = (truth > 0) & (labels.prior[:, 0] > 0) if labels.prior.size else np.zeros(len(truth), dtype=bool)
        name = labels.asked[0] if len(np.unique(labels.subject_id[~np.isnan(truth)])) > SMALL_CELL else _RARE
        return cls(name, replace(told, truth=truth, train=learned), tested, again)

    def measured(self, one: Verdict, others: Collection[str]) -> Inflation | None:
        """Return what a leak is worth to a probe that is honest but for it: its codes, or its rows.

        Args:
            one: A verdict; of one that is no leak nothing is measured.
            others: Codes that leak otherwise, which the probe has not.
        """
        told = self.told
        # they are not learned from; what is tested on stays the same
        leaks = np.isin(told.subject_id, [*one.subjects]) & told.train
        if one.code in _OF_ROWS:
            leaks |= self.again
        if one.status != "leak" or one.inflation is not None or not (one.codes or leaks.any()):
            return one.inflation
        rows = ~leaks if leaks.any() else None
        return inflation(told.features, told.truth, told.train, self.test, set(one.codes), rows, others)

    def shuffled(self, seed: int) -> Verdict:
        """Say whether a probe finds anything in shuffled labels."""
        code, told = "SHUFFLED_LABELS", self.told
        if any(len(np.unique(told.truth[part])) < 2 for part in (self.test, told.train)):
            return unverified(code, "train or held_out has labels of one class alone")
        nobody = np.zeros_like(self.test)
        rows = Rows(told.subject_id, told.time, np.nan_to_num(told.truth), told.train, nobody, self.test)
        mixed = with_shuffled_labels(rows, seed)
        chances = probe(told.features.matrix, mixed.truth, mixed.fit, mixed.test)
        if chances is None:
            return unverified(code, "scikit-learn is not installed")
        found = measured_shuffled(Binary(mixed.truth[mixed.test], chances), mixed.subject_id[mixed.test], seed, _DRAWS)
        said = f"{found.metric} {_interval(found.interval)} on shuffled labels"
        if found.is_at_chance is None:
            return unverified(code, said)
        assert found.interval.low is not None and found.interval.high is not None
        if found.interval.high - found.interval.low > WIDEST:
            return unverified(code, f"{said}: of so few labels a leak would look no other")
        return clean(code, said) if found.is_at_chance else Verdict(code, "leak", said)


def answers_of(labels: LabelSet) -> pa.Table:
    """Return whom one question is about, when, what came, and what was there before if the labels say so."""
    columns: dict[str, Any] = {
        "subject_id": labels.subject_id, "prediction_time": labels.time,
        "positive": pa.array(labels.value[:, 0] > 0, mask=np.isnan(labels.value[:, 0])),
    }  # fmt: skip
    if labels.prior.size:
        prior = np.nan_to_num(labels.prior[:, 0]).astype(np.int64)
        columns["prior_count"] = pa.array(prior, mask=np.isnan(labels.prior[:, 0]))
    return pa.table(columns)


def of_events(
    connection: duckdb.DuckDBPyConnection, labels: LabelSet, by_task: bool, most: int, seed: int
) -> list[Verdict]:
    """Look at what events tell of the answers to one question.

    Args:
        connection: Where `events` is a relation.
        labels: They ask one thing.
        by_task: Whether the task that they are of is known, by which they were held to what comes later.
        most: Answers at which is looked for what decides them; of more, as many are drawn.
        seed: Of the draw.
    """
    answers = answers_of(labels)
    found = audit_answers(connection, answers)
    if by_task:
        return found
    drawn = thinned(np.arange(len(labels)), ~np.isnan(labels.value[:, 0]), most, seed)
    told = audit_outcome(outcome_of(connection, answers.filter(pa.array(drawn))), "prior_count" in answers.column_names)
    of = {one.code for one in told}
    return [one for one in found if one.status != "not verified" or one.code not in of] + told


def of_no_question(connection: duckdb.DuckDBPyConnection, labels: LabelSet, by_task: bool) -> list[Verdict]:
    """Look at what events tell of answers that are no yes or no: whether there was anybody to ask.

    Args:
        connection: Where `events` is a relation.
        labels: They ask one thing.
        by_task: Whether the task that they are of is known.
    """
    found = audit_answers(connection, answers_of(replace(labels, prior=labels.duration[:, :0])))
    return [
        *(one for one in found if one.code == "POST_OUTCOME_INSTANCE"),
        *([] if by_task else audit_outcome(None, told_prior=False)),
    ]  # fmt: skip


def of_questions(
    of_records: Sequence[Verdict], of_answers: Sequence[Sequence[Verdict]], questions: Sequence[Question], seed: int
) -> list[Verdict]:
    """Return all verdicts, with what each leak is worth; of what questions have in common, to the one that gains most.

    Args:
        of_records: Whatever is asked.
        of_answers: What events tell of the answers to each question.
        questions: In the same order.
        seed: Of the order of shuffled labels.
    """
    common = [*worst_of(of_records).values()]
    own = [
        [*worst_of([*found, *audit_features(question.told)]).values()]
        for found, question in zip(of_answers, questions, strict=True)
    ]
    leaking = [
        {code for one in (*common, *found) if one.status == "leak" for code in one.codes} for found in own
    ]  # fmt: skip
    several, out = len(questions) > 1, []
    for one in common:
        worth = [
            _by(question, question.measured(one, others), several)
            for question, others in zip(questions, leaking, strict=True)
        ]  # fmt: skip
        out.append(replace(one, inflation=max(filter(None, worth), key=lambda it: it.gain, default=None)))
    for found, question, others in zip(own, questions, leaking, strict=True):
        for one in (*found, question.shuffled(seed)):
            named = f"{question.name}: {one.told}" if several else one.told
            out.append(replace(one, told=named, inflation=_by(question, question.measured(one, others), several)))
    return out


def _by(question: Question, worth: Inflation | None, several: bool) -> Inflation | None:
    return replace(worth, metric=f"{worth.metric} of {question.name}") if worth is not None and several else worth


def _interval(one: Interval) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "not defined"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
