"""What stands beside runs in an evaluation: answers of what is simpler, fitted to the same labels, on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.config.base import one_or_more
from tawt.dataset.reader import TripletDataset
from tawt.errors import ConfigError, closest, joined
from tawt.evaluation.baselines import (
    BASELINES,
    OF_NUMBERS,
    Shuffled,
    baseline,
    baselines_of,
    features_for,
    measured_shuffled,
    regression,
    task_of,
)
from tawt.evaluation.features import ROWS_AT_ONCE, numeric_types
from tawt.evaluation.known import known_at
from tawt.evaluation.resample import N_DRAWS
from tawt.evaluation.rows import Rows, thinned
from tawt.evaluation.several import Several, several
from tawt.evaluation.tabular import TABULAR, tabular_baselines
from tawt.evaluations.answered import outcome_of
from tawt.heads.grid import Series, make_series
from tawt.heads.gru import fit_gru
from tawt.heads.kinds import KINDS, answers
from tawt.heads.label_set import LabelSet
from tawt.heads.targets import Targets, make_targets
from tawt.runs.answer import LoadedTask, answer
from tawt.runs.negative_controls import answer_untrained, probed, with_labels_shuffled
from tawt.training.device import Compute

NONE = "none"
"""What a person types for no baseline."""
GRU, UNTRAINED, SHUFFLED = "GRU-D", "untrained encoder", "shuffled labels"
_FURTHER = (*TABULAR, GRU, UNTRAINED, SHUFFLED)
"""The last is no row of a table: what it says is held to chance."""
NAMES = (*dict.fromkeys((*BASELINES, *OF_NUMBERS, *_FURTHER)),)
"""All that can stand beside some kind of task."""
_PAIRS = [*zip(BASELINES, OF_NUMBERS, strict=True)]
_OF_OTHER_KIND = {name: other for a, b in _PAIRS if a != b for name, other in ((a, b), (b, a))}
"""What is fitted alike -> what it is called where numbers are asked for, or where they are not."""
_N_VARIABLES = 64
_MOST = {
    **{name: 20_000 for by in (BASELINES, OF_NUMBERS) for name, (_, fit) in by.items() if fit is regression},
    GRU: 20_000,
}
_MOST_OF_ALL = 100_000
"""Labels that are learned from, or that decide when to stop; of more, as many are drawn."""
TRAIN, TUNING = "train", "tuning"


@dataclass(frozen=True)
class Beside:
    """The rows of a task and the run that all are compared with."""

    dataset: TripletDataset
    labels: LabelSet
    splits: tuple[str, ...]
    """Whose labels are asked about: of the first the answers are measured."""
    task: LoadedTask
    """Of the first run: what it was asked, and the shape of its encoder."""
    compute: Compute
    seed: int
    tell: Callable[[str], None]
    """Hears what is to be known beside."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Of pretrained models of tables, by name: a file or a folder."""

    def models(
        self, wanted: str | Sequence[str] | None, started: Callable[[str], None]
    ) -> Iterator[tuple[str, Floats]]:
        """Yield the name of each model and what it says of the rows of the splits, in their order.

        Args:
            wanted: Names; None = all that can be imported.
            started: Hears each name before it is at work.

        Raises:
            ConfigError: There is none of a name, or what was asked for cannot be imported.
        """
        out: dict[str, list[str]] = {}
        for name in self._chosen(wanted):
            if name == SHUFFLED:
                continue
            started(name)
            try:
                yield name, self._said(name)
            except ConfigError as error:
                if wanted is not None:
                    raise
                out.setdefault(f"{error.of(error.where)}: {error.hint}", []).append(f"`{name}`")
        for why, names in out.items():
            self.tell(f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} left out: {why}")

    def shuffled(self, wanted: str | Sequence[str] | None, n_draws: int = N_DRAWS) -> Shuffled | None:
        """Probe the run's encoder with shuffled labels, and hold what comes of it to chance; None where it is not
        asked for."""
        if SHUFFLED not in self._chosen(wanted):
            return None
        train, chosen = self.dataset.split("train"), self.dataset.split(self.splits[0])
        mixed = with_labels_shuffled(self.labels, (train, chosen), self.seed)
        rows, said, _ = answer(
            probed(self.task, train, mixed, self.compute, self.seed), chosen, mixed, self.compute
        )  # fmt: skip
        own = mixed.rows(rows)
        outcome = outcome_of(own, said.astype(np.float64), self.task.spec)
        return measured_shuffled(outcome, own.subject_id, self.seed, n_draws)

    def _chosen(self, wanted: str | Sequence[str] | None) -> list[str]:
        return chosen(wanted, self.weights, self.labels.kind)

    def _said(self, name: str) -> Floats:
        if name == UNTRAINED:
            train, chosen = self.dataset.split("train"), [self.dataset.split(one) for one in self.splits]
            said = answer_untrained(self.task, train, chosen, self.labels, self.compute, self.seed)
            return said.astype(np.float64)
        most = _MOST.get(name, _MOST_OF_ALL)
        rows = self._rows(most)
        if (n := int(self._inside()[0].sum())) > most:
            self.tell(f"{name} learns from {most:,} of {n:,} labels, drawn: times of one subject are much alike")
        if name == GRU:
            return self._gru(rows)
        family = KINDS[self.labels.kind].family
        by = dict(baselines_of(family))
        by |= tabular_baselines(self.weights, self.compute.device.type, self.tell)
        if (one := task_of(family)) is not None:
            return baseline(name, self.dataset, rows, one, self.seed, by)
        targets = self._targets(self._any_of(most))
        asked = Several(targets.truth.astype(np.float64), targets.weight > 0, in_time=family == "time")
        return several(name, self.dataset, rows, asked, self.seed, self.tell, by)

    def _inside(self) -> list[Bools]:
        """Of what is learned from, of what decides when to stop, and of what is asked about: which labels."""

        def of(names: Sequence[str]) -> Bools:
            subjects = [self.dataset.split(name).subject_ids for name in names]
            return np.isin(self.labels.subject_id, np.concatenate([np.empty(0, dtype=np.int64), *subjects]))

        stops = [TUNING] if TUNING in self.dataset.split_names and self.splits[0] != TUNING else []
        return [of(["train"]), of(stops), of(self.splits)]

    def _any_of(self, most: int) -> Ints:
        fit, stop, asked = self._inside()
        return np.flatnonzero(thinned(np.arange(len(fit)), fit, most, self.seed) | stop | asked)

    def _rows(self, most: int = _MOST_OF_ALL) -> Rows:
        at, parts = self._any_of(most), self._inside()
        truth = np.nan_to_num(self.labels.value[at, 0])  # of several things, each has its own
        fit, stop, test = (part[at] for part in parts)
        stop = thinned(np.arange(len(at)), stop, most, self.seed)
        return Rows(self.labels.subject_id[at], self.labels.time[at], truth, fit, stop, test)

    def _targets(self, at: Ints) -> Targets:
        return make_targets(self.labels.rows(at), self.task.spec, self.task.loaded.config.objective.label)

    def _gru(self, rows: Rows) -> Floats:
        """Learn by the small recurrent network, on hourly steps of the most frequent numeric variables."""
        fit = np.flatnonzero(rows.fit)
        facts = features_for("demographics", self.dataset, rows, fit)
        standard = _standard(facts.matrix)
        targets = self._targets(self._any_of(_MOST[GRU]))
        spec, config = self.task.spec, self.task.loaded.config.objective.label

        def series(at: Ints) -> Series:
            known = known_at(self.dataset, rows.subject_id[at], rows.prediction_time[at])
            row, variable, ago, value, n = numeric_types(known, self.dataset.vocabulary, _N_VARIABLES)
            own = features_for("demographics", self.dataset, rows, at, facts.names)
            return make_series(len(at), row, variable, ago, value, n, standard(own.matrix))

        stop, asked = np.flatnonzero(rows.stop), np.flatnonzero(rows.test)
        further = (series(stop), targets.rows(stop)) if len(stop) else None
        parts = (series(asked[i : i + ROWS_AT_ONCE]) for i in range(0, max(1, len(asked)), ROWS_AT_ONCE))
        return fit_gru(series(fit), targets.rows(fit), further, parts, answers(spec, config), self.seed)


def chosen(wanted: str | Sequence[str] | None, weights: Mapping[str, Path], kind: str) -> list[str]:
    """Return the names of what is to stand beside; None = all of which there is what they need.

    Raises:
        ConfigError: There is none of a name for the kind of task, or its weights were not given.
    """
    of_kind = (*baselines_of(KINDS[kind].family), *_FURTHER)
    there = [name for name in of_kind if name not in TABULAR or name in weights]
    names = there if wanted is None else [*one_or_more(wanted)]
    if NONE in names:
        hint = f"leave out `--baseline {NONE}`, or the others"
        raise ConfigError(f"--baseline {NONE}", "stands beside another baseline, expected it alone", hint)
    for name in names:
        if name not in of_kind:
            what = f"is none of a task of kind {kind}, expected {joined(of_kind)}, or `{NONE}` alone"
            alike = _OF_OTHER_KIND.get(name)
            hint = f"there it is `{alike}`" if alike in of_kind else closest(name, of_kind)
            raise ConfigError(f"--baseline {name}", what, hint)
        if name not in there:
            hint = f"give them with `--weights {name}=FILE`"
            raise ConfigError(f"--baseline {name}", "has no weights, expected those that lie on this disk", hint)
    return names


def _standard(fit: Floats) -> Callable[[Floats], Floats]:
    """Return what standardizes features by some rows."""
    known = ~np.isnan(fit)
    n = np.maximum(known.sum(0), 1)
    mean = np.where(known, fit, 0).sum(0, dtype=np.float64) / n
    spread = np.sqrt(np.where(known, (fit - mean) ** 2, 0).sum(0) / n)
    return lambda x: np.asarray((x - mean) / np.where(spread > 0, spread, 1), dtype=np.float64)
