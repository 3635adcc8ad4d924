"""All measures of how like real records invented ones are, beside those of other real records and of controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tawt.arrays import Floats, Ints
from tawt.contracts.cells import SMALL_CELL
from tawt.dataset.records import Cohort
from tawt.errors import ConfigError
from tawt.fidelity.discriminate import MODELS, scored, told_apart
from tawt.fidelity.distances import correlations, mmd, surroundings
from tawt.fidelity.groups import Measure, measured, without
from tawt.fidelity.metrics import metric_of
from tawt.fidelity.pairs import pairs_compared
from tawt.fidelity.portrait import Portrait, Some, frequent, portrait_of, some_of
from tawt.fidelity.report import Fidelity, Worst
from tawt.fidelity.structure import structure_compared
from tawt.fidelity.summaries import Matrix, summary_of
from tawt.fidelity.temporal import temporal_compared
from tawt.fidelity.utility import Labelled, utility
from tawt.fidelity.values import compared_types, distances, limits, values_compared

TEST, SYNTHETIC, CEILING = "test", "synthetic", "real"
"""What the real set is called that others are held to, the set that is judged, and the real one beside it."""
MOST_PAIRED = 300
"""Data_types of which pairs are counted: those that most subjects have."""
LEAST, _WORST = 20, 10
Discriminator = Callable[[Cohort, Cohort], tuple[Floats, Floats]]
"""Real records and others -> scores of the subjects of each, larger = rather invented, each by a model that did not see
the subject."""


@dataclass(frozen=True, eq=False)
class Task:
    """A task of yes or no, and whoever is labelled: features are made by the caller, up to its prediction times."""

    train: Labelled
    """Real, learned from."""
    test: Labelled
    """Real, asked about."""
    others: Mapping[str, Labelled]
    """Name of a set -> its subjects; sets that are not here have no utility."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """A set, as it is compared."""

    cohort: Cohort
    portrait: Portrait
    summary: Matrix
    points: Matrix
    """What distances are between: embeddings where they are given."""


def judge(
    synthetic: Cohort,
    real_test: Cohort,
    ceiling: Cohort,
    controls: Mapping[str, Cohort] | None = None,
    *,
    n_types: int,
    calendar: str = "kept",
    models: Sequence[str] = tuple(MODELS),
    discriminators: Mapping[str, Discriminator] | None = None,
    embeddings: Mapping[str, Matrix] | None = None,
    tasks: Mapping[str, Task] | None = None,
    most_paired: int = MOST_PAIRED,
    seed: int = 0,
    doing: Callable[[str], None] = lambda name: None,
) -> Fidelity:
    """Compare sets of records with real ones that nothing was learned from; all in one vocabulary.

    Every set is compared by as many subjects as the smallest has, drawn at random.

    Args:
        synthetic: The set that is judged.
        real_test: What it is held to.
        ceiling: Other real records: how far real sets are apart.
        controls: Sets that are known to be bad, or good, by name.
        n_types: Data_types of the vocabulary.
        calendar: What dates of the records mean: `kept`, `shifted` (the hour of the day alone), or `none`.
        models: What learns to tell sets apart, of `logistic` and `boosted`; they need scikit-learn and LightGBM.
        discriminators: Others that do, by name.
        embeddings: `test`, `synthetic`, `real` and the names of the controls -> `(n, d)`, a row for each subject of the
            whole cohort; None = distances are between summaries.
        tasks: What is learned from the sets, by name.
        most_paired: Data_types of which pairs are counted, at most.
        seed: Of what is drawn.
        doing: Hears the name of each set before it is compared.

    Raises:
        ConfigError: A set has fewer than 20 subjects, a control has the name of another set, there is no such model,
            embeddings lack a set or have another number of rows, or a package is not installed.
        ContractError: Records have a data_type that the vocabulary has not.
    """
    others = {SYNTHETIC: synthetic, CEILING: ceiling, **_held(controls or {})}
    sets = {TEST: real_test, **others}
    for name, cohort in sets.items():
        if cohort.n_subjects < LEAST:
            raise ConfigError(f"set {name}", f"has too few subjects, expected at least {LEAST}")
    for model in models:
        if model not in MODELS:
            raise ConfigError(f"discriminator {model}", f"is none, expected {' or '.join(MODELS)}")
    n = min(cohort.n_subjects for cohort in sets.values())
    drawn = {name: some_of(cohort.n_subjects, n, seed) for name, cohort in sets.items()}
    points = _points(embeddings, sets, drawn)
    some = {name: Some(cohort, drawn[name]) for name, cohort in sets.items()}
    types, summary = frequent(some[TEST], most_paired, n_types), summary_of(some[TEST])
    seen = {}
    for name, cohort in some.items():
        matrix = summary.of(cohort)
        seen[name] = _Seen(cohort, portrait_of(cohort, types, n_types), matrix, points[name] if points else matrix)
    real = seen[TEST]
    within = limits(without(real.portrait.values, None), without(seen[CEILING].portrait.values, None))
    found: dict[str, dict[str, Measure]] = {}
    scores: dict[str, tuple[Floats, Floats]] = {}
    for name in others:
        doing(name)
        other = seen[name]
        found[name] = {**_counted(real.portrait, other.portrait, within, n_types, calendar)}
        found[name] |= correlations(real.summary, other.summary)
        found[name] |= {**mmd(real.points, other.points), **surroundings(real.points, other.points)}
        for model in models:
            said = scored(MODELS[model], real.summary, other.summary, seed)
            found[name][f"discriminator_{model}"] = told_apart(*said)
            if name == SYNTHETIC and found[name][f"discriminator_{model}"].value is not None:
                scores[model] = said
        for title, tell in (discriminators or {}).items():
            said = tell(real.cohort, other.cohort)
            found[name][f"discriminator_{title}"] = told_apart(*said)
            if name == SYNTHETIC:
                scores[title] = said
        for title, task in (tasks or {}).items():
            if name in task.others:
                learned = utility(task.train, task.test, task.others[name], seed)
                found[name] |= {f"{one}:{title}": measure for one, measure in learned.items()}
    bounded = {name: {one: metric_of(one).bounded(x) for one, x in of.items()} for name, of in found.items()}
    portraits = {name: one.portrait for name, one in seen.items()}
    not_finite = {name: int(one.values.not_finite.sum()) for name, one in portraits.items()}
    worst = _worst(real.portrait, seen[SYNTHETIC].portrait, within)
    return Fidelity(n, bounded, worst, not_finite, portraits, scores)


def _held(controls: Mapping[str, Cohort]) -> Mapping[str, Cohort]:
    for name in controls:
        if name in (SYNTHETIC, CEILING, TEST):
            raise ConfigError(f"control {name}", "has the name of another set, expected a name of its own")
    return controls


def _points(
    embeddings: Mapping[str, Matrix] | None, sets: Mapping[str, Cohort], drawn: Mapping[str, Ints]
) -> dict[str, Matrix] | None:
    if embeddings is None:
        return None
    found = {}
    for name, cohort in sets.items():
        if name not in embeddings or len(embeddings[name]) != cohort.n_subjects:
            what = "are not there" if name not in embeddings else f"have {len(embeddings[name]):,} rows"
            raise ConfigError(f"embeddings of {name}", f"{what}, expected a row for each of its subjects")
        found[name] = np.ascontiguousarray(embeddings[name][drawn[name]], dtype=np.float32)
    return found


def _counted(real: Portrait, other: Portrait, within: Floats, size: int, calendar: str) -> dict[str, Measure]:
    n = min(real.n_subjects, other.n_subjects)
    return {
        **measured(pairs_compared, real.pairs, other.pairs, n),
        **measured(values_compared(within), real.values, other.values, n),
        **measured(structure_compared(size, calendar), real.structure, other.structure, n),
        **measured(temporal_compared, real.temporal, other.temporal, n),
    }


def _worst(real: Portrait, other: Portrait, within: Floats) -> tuple[Worst, ...]:
    """Return the data_types whose numbers are farthest from the real ones, of those that more than few people have."""
    a, b = without(real.values, None), without(other.values, None)
    types = compared_types(a.numbers, b.numbers, len(within))
    types = types[without(real.pairs, None).people[types] > SMALL_CELL]
    ks, w1 = distances(a, b, types)
    order = np.argsort(-ks, kind="stable")[:_WORST]
    return tuple(
        Worst(int(types[i]), *(float(x) if np.isfinite(x) else None for x in (ks[i], w1[i], within[types[i]])))
        for i in order
    )
