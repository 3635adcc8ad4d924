"""What a head is told beside an embedding: what is known of a subject without a time, and the age.

Nothing is imputed: a flag says what is known, and a number that is not known is 0, the mean of those that are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError
from tawt.evaluation.features import ROWS_AT_ONCE
from tawt.evaluation.known import Known, known_in
from tawt.heads.targets import Task
from tawt.heads.task import AGE, IS_KNOWN, NUMBER, Fact

MOST = 64
"""Static data_types that a head is told of: those that most people have."""


def with_statics(task: Task, splits: Sequence[Split], vocabulary: Vocabulary) -> Task:
    """Return a task whose head is told of static facts: those that enough subjects of train have.

    Args:
        task: Of prediction times of the splits, and of others, at which nothing is known.
        splits: Train first.
        vocabulary: Of the run.

    Raises:
        ConfigError: There is no such fact.
    """
    train = np.isin(task.asked.subject_id, splits[0].subject_ids)
    known = _known(splits[:1], vocabulary, task.asked.subject_id[train], task.asked.time[train])
    facts = _chosen(known, task.asked.subject_id[train])
    if not facts:
        raise ConfigError(
            "objective.label.statics", f"finds no static fact, and no age, that more than {SMALL_CELL} subjects of "
            "train have, expected one", "leave it out",
        )  # fmt: skip
    spec = task.spec.model_copy(update={"statics": facts})
    return with_facts(replace(task, spec=spec), splits, vocabulary)


def with_facts(task: Task, splits: Sequence[Split], vocabulary: Vocabulary) -> Task:
    """Return a task with the facts that its head is told at the prediction times of some splits."""
    if not task.spec.statics:
        return task
    facts = np.zeros((len(task.asked.time), len(task.spec.statics)), dtype=np.float32)
    for split in splits:
        own = np.isin(task.asked.subject_id, split.subject_ids)
        asked = task.asked.subject_id[own], task.asked.time[own]
        facts[own] = facts_at(split, vocabulary, *asked, task.spec.statics)
    return replace(task, targets=replace(task.targets, facts=facts))


def facts_at(
    split: Split, vocabulary: Vocabulary, subject_id: Ints, time: Ints, facts: Sequence[Fact]
) -> NDArray[np.float32]:
    """Return what was known at prediction times of subjects of a split, `(n, f)`.

    Args:
        split: Whose subjects.
        vocabulary: Of the run.
        subject_id: `(n,)`.
        time: `(n,)`, us since 1970-01-01.
        facts: `f` of them.
    """
    found = np.zeros((len(time), len(facts)), dtype=np.float32)
    if facts and len(time):
        known = _known([split], vocabulary, subject_id, time)
        for i, fact in enumerate(facts):
            found[:, i] = _column(known, fact)
    return found


def _known(splits: Sequence[Split], vocabulary: Vocabulary, subject_id: Ints, time: Ints) -> Known:
    """Look up the static facts, some rows at a time."""
    parts = []
    for i in range(0, max(1, len(time)), ROWS_AT_ONCE):
        part = slice(i, i + ROWS_AT_ONCE)
        known = known_in(splits, vocabulary, subject_id[part], time[part])
        parts.append(replace(known.of(known.is_static), row=known.row[known.is_static] + i))
    names = ("row", "data_type", "ago", "begin", "is_static", "value", "token", "status", "age")
    return Known(len(time), **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _chosen(known: Known, subject_id: Ints) -> tuple[Fact, ...]:
    def people(rows: Ints) -> int:
        return len(np.unique(subject_id[rows]))

    def number(data_type: int) -> Fact:
        at, value = _numbers(known, data_type)
        scale = float(value[at].std())
        return Fact(
            data_type=data_type, what=NUMBER, mean=float(value[at].mean()), scale=scale if scale > 1e-6 else 1.0
        )

    facts: list[Fact] = []
    if people(np.flatnonzero(_numbers(known, AGE)[0])) > SMALL_CELL:
        facts += [Fact(data_type=AGE, what=IS_KNOWN), number(AGE)]
    types = {int(i): people(known.row[known.data_type == i]) for i in np.unique(known.data_type)}
    for data_type in sorted(sorted(types), key=lambda i: -types[i])[:MOST]:
        if types[data_type] <= SMALL_CELL:
            continue
        facts.append(Fact(data_type=data_type, what=IS_KNOWN))
        if people(np.flatnonzero(_numbers(known, data_type)[0])) > SMALL_CELL:
            facts.append(number(data_type))
        own = (known.data_type == data_type) & (known.status == ValueStatus.CATEGORY)
        for token in np.unique(known.token[own]).tolist():
            if people(known.row[own & (known.token == token)]) > SMALL_CELL:
                facts.append(Fact(data_type=data_type, what=token))
    return tuple(facts)


def _numbers(known: Known, data_type: int) -> tuple[Bools, Floats]:
    """Return whether each row has a number, `(n,)`, and the number, a mean of several."""
    if data_type == AGE:
        return ~np.isnan(known.age), known.age
    own = (known.data_type == data_type) & HAS_NUMBER_OF[known.status]
    n = np.bincount(known.row[own], minlength=known.n_rows)
    total = np.bincount(known.row[own], weights=known.value[own], minlength=known.n_rows)
    return n > 0, total / np.maximum(n, 1)


def _column(known: Known, fact: Fact) -> Floats:
    at, value = _numbers(known, fact.data_type)
    if fact.what == NUMBER:
        return np.where(at, (value - fact.mean) / fact.scale, 0.0)
    if fact.data_type == AGE:
        return at.astype(np.float64)
    own = known.data_type == fact.data_type
    said = (known.status == ValueStatus.CATEGORY) & (known.token == fact.what)
    # a row that says that nothing is there is no fact
    own &= np.isin(known.status, _SAYS) if fact.what == IS_KNOWN else said
    return (np.bincount(known.row[own], minlength=known.n_rows) > 0).astype(np.float64)


_SAYS = (*np.flatnonzero(HAS_NUMBER_OF).tolist(), int(ValueStatus.NONE), int(ValueStatus.CATEGORY))
