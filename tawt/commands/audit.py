"""`tawt audit`: each leak of the catalogue looked for in a task, its labels, events, features and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tawt.commands.audit_read import (
    asked_again,
    asked_of,
    behind_events,
    bound_events,
    entered_in,
    practice_told,
    task_of,
)
from tawt.commands.audit_run import audit_run
from tawt.commands.carried import place_for
from tawt.contracts.label_set import about_labels
from tawt.contracts.workspace import AUDITS
from tawt.database.connect import Limits, wrapped_errors
from tawt.dataset.reader import open_dataset
from tawt.errors import ConfigError
from tawt.evaluation.baselines import measured_shuffled, with_shuffled_labels
from tawt.evaluation.inflation import inflation, probe
from tawt.evaluation.leaks import Told, audit_features, tell
from tawt.evaluation.resample import Interval
from tawt.evaluation.rows import Rows, thinned
from tawt.files import made_folder, write_sealed
from tawt.heads.labels import label_file, read_labels
from tawt.labels.leaks.ahead import audit_summaries
from tawt.labels.leaks.behind import audit_cohort, audit_outcome, outcome_of
from tawt.labels.leaks.catalogue import LEAKS
from tawt.labels.leaks.clocks import audit_clocks
from tawt.labels.leaks.dealt import audit_dealt
from tawt.labels.leaks.events import audit_events, audit_task
from tawt.labels.leaks.fitted import audit_statistics
from tawt.labels.leaks.verdict import Verdict, clean, unverified, worst_of
from tawt.pipeline.fresh import hold_fresh
from tawt.pipeline.workspace import open_workspace
from tawt.runs.find import find_run

FORMAT = "tawt.audit/1"
MOST_LOOKED_AT = 20_000
"""Labels at whose times features are looked at; more would say the same, and take memory for each."""
_DRAWS = 200
_ONE_OF_TWO = "of a yes or no alone"
_ASK_YES_OR_NO = (
    "OUTCOME_ENCODING", "SINGLE_FEATURE_DOMINANCE", "MISSINGNESS_PROXY", "POST_OUTCOME_INSTANCE", "REPEATED_EVENT"
)  # fmt: skip
_OF_ROWS = ("POST_OUTCOME_INSTANCE", "REPEATED_EVENT")
_WHY = {
    "PRETRAINED_ON_TEST": "give a run with `--run`",
    "EVALUATION_REUSE": "give a run of `tawt finetune` with `--run`, and what you report of it with `--threshold`",
}


@dataclass(frozen=True)
class AuditResult:
    """What an audit found."""

    name: str
    """Of the label set."""
    verdicts: tuple[Verdict, ...]
    """One of each leak, in the order of the catalogue."""
    path: Path
    """`audit.json`."""

    @property
    def n_leaks(self) -> int:
        """How many of them are leaks."""
        return sum(one.status == "leak" for one in self.verdicts)


def audit(
    task: str | Path,
    workspace: str | Path,
    *,
    run: str | Path | None = None,
    aces: str | Path | None = None,
    predicates: str | Path | None = None,
    threshold: float | None = None,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
    stale_ok: bool = False,
    threads: int | None = None,
    memory_limit: str | None = None,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
) -> AuditResult:
    """Look for every leak of the catalogue, and measure what a leak that is found is worth to a probe.

    Args:
        task: Name of a label set in WORKSPACE/labels, or a Parquet file of labels.
        workspace: Holds `events/` and `dataset/`.
        run: Whose embeddings must not change when all that is later is deleted; None = features alone are held to that.
        aces: The ACES file that the labels are of, where that is no ready task: how its windows lie is looked at.
        predicates: The dataset's own predicates that were laid over it.
        threshold: One that is reported of the run: was it chosen on held_out?
        seed: Of what is drawn.
        device: auto, cpu, cuda or cuda:N.
        out: A folder; default WORKSPACE/audits/TASK.
        stale_ok: Audit also a dataset or labels that are older than what they were made from.
        threads: Threads of the engine; all cores by default.
        memory_limit: As `2GB`; 60 % of the memory by default.
        report: Hears which part is at work, and notes.

    Raises:
        CheckpointError: The run is absent or broken, or has another vocabulary.
        ConfigError: The labels do not hold, or ask no yes or no.
        DatasetError: The dataset is absent or broken.
        StageError: There are no events.
        StaleError: The dataset or the labels are older than what they were made from.
    """
    root = Path(workspace).expanduser()
    opened, file, dataset = open_workspace(root), label_file(root, task), open_dataset(root)
    hold_fresh(root, stale_ok, lambda text: report({"event": "note", "text": text}), file)
    labels = read_labels(file)
    known = np.isin(labels.subject_id, np.concatenate([dataset.split(n).subject_ids for n in dataset.split_names]))
    if not known.any():
        raise ConfigError(str(file), "has no subject of the dataset, expected some", "label subjects of this workspace")
    labels = labels.rows(known)
    about = about_labels(file)
    splits = {name: dataset.split(name).subject_ids.tolist() for name in dataset.split_names}
    place = Path(out) if out is not None else root / AUDITS / labels.name
    report({"event": "part", "name": "events, labels and the task"})
    table = asked_of(file, labels)
    again = asked_again(table)
    asks = task_of(opened, about, aces, predicates)
    limits = Limits.of(threads, memory_limit)
    with (
        closing(bound_events(opened, limits)) as connection,
        wrapped_errors("audit", workspace=root, limits=limits),
    ):
        found = audit_events(connection, table, splits, entered_in(opened))
        found += audit_clocks(connection, behind_events(opened, connection))
        found += [audit_summaries(connection), *audit_dealt(connection, splits, opened.pipeline.calendar)]
        if opened.basis is None:
            found.append(audit_statistics(connection, dataset.vocabulary.table(), splits))
        else:
            why = "the vocabulary goes on from another one: look whose rows that is of"
            found.append(unverified("PREPROCESSING_FIT", why))
        attrition: Sequence[Mapping[str, str]] = about.attrition if about is not None else ()
        if asks is not None:
            found += audit_task(asks, attrition, len(labels))
        else:
            told_by = audit_outcome(outcome_of(connection), "prior_count" in table.column_names)
            told_of = {one.code for one in told_by}
            found = [one for one in found if one.status != "not verified" or one.code not in told_of] + told_by
            found.append(audit_cohort(connection))
    report({"event": "part", "name": "records and features"})
    drawn = thinned(np.arange(len(labels)), np.ones(len(labels), dtype=np.bool_), MOST_LOOKED_AT, seed)
    if not drawn.all():
        text = f"features are looked at where {drawn.sum():,} of {len(labels):,} labels are, drawn"
        report({"event": "note", "text": text})
    own, again = labels.rows(drawn), again[drawn]
    truth, asked = own.value[:, 0], ~np.isnan(own.value[:, 0])
    yes_or_no = labels.kind in ("binary", "labels", "time")
    train = np.isin(own.subject_id, splits["train"]) & asked
    told = tell(dataset, own.subject_id, own.time, np.where(asked & yes_or_no, truth > 0, 0).astype(float), train)
    found += audit_features(told)
    test = np.isin(own.subject_id, splits.get("held_out", [])) & asked
    if yes_or_no:
        found = [*worst_of(found).values()]
        leaking = {code for one in found if one.status == "leak" for code in one.codes}
        found = [_measured(one, told, test, again, leaking) for one in found]
        report({"event": "part", "name": "shuffled labels"})
        found.append(_shuffled(told, test, seed))
    else:
        found = [_of_yes_or_no(one) for one in found]
    found += practice_told(root, labels.name)
    if run is not None:
        folder = find_run(root, run)
        at = place_for(root, folder, report, stale_ok)
        read = dataset if at == root else open_dataset(at)
        found += audit_run(
            root, folder, read, labels, device, threshold, lambda name: report({"event": "part", "name": name})
        )  # fmt: skip
    elif threshold is not None:
        raise ConfigError(f"--threshold {threshold:g}", "is of no run, expected one", "give it with `--run`")
    by_code = worst_of(found)
    verdicts = tuple(
        by_code.get(leak.code) or unverified(leak.code, _WHY.get(leak.code, _ONE_OF_TWO)) for leak in LEAKS
    )
    with made_folder(place):
        about_it = {
            "format": FORMAT,
            "task": labels.name,
            "labels": labels.sha256,
            "run": None if run is None else str(run),
        }
        write_sealed(place / "audit.json", {**about_it, "verdicts": [one.to_json() for one in verdicts]})
    return AuditResult(labels.name, verdicts, place / "audit.json")


def _measured(one: Verdict, told: Told, test: np.ndarray, again: np.ndarray, others: set[str]) -> Verdict:
    """Return a leak with what it is worth to a probe that is honest but for it: its codes, or its rows."""
    # they are not learned from; what is tested on stays the same
    leaks = np.isin(told.subject_id, [*one.subjects]) & told.train
    if one.code in _OF_ROWS:
        leaks |= again
    if one.status != "leak" or one.inflation is not None or not (one.codes or leaks.any()):
        return one
    rows = ~leaks if leaks.any() else None
    worth = inflation(told.features, told.truth, told.train, test, set(one.codes), rows, others)
    return replace(one, inflation=worth)


def _of_yes_or_no(one: Verdict) -> Verdict:
    return unverified(one.code, _ONE_OF_TWO) if one.code in _ASK_YES_OR_NO else one


def _shuffled(told: Told, test: np.ndarray, seed: int) -> Verdict:
    code = "SHUFFLED_LABELS"
    if not test.any() or len(np.unique(told.truth[test])) < 2 or len(np.unique(told.truth[told.train])) < 2:
        return unverified(code, "train or held_out has labels of one class alone")
    rows = Rows(told.subject_id, told.time, told.truth, told.train, np.zeros_like(test), test)
    mixed = with_shuffled_labels(rows, seed)
    chances = probe(told.features.matrix, mixed.truth, mixed.fit, mixed.test)
    if chances is None:
        return unverified(code, "scikit-learn is not installed")
    found = measured_shuffled(mixed, chances, "binary", seed, _DRAWS)
    said = f"{found.metric} {_interval(found.interval)} on shuffled labels"
    if found.is_at_chance is None:
        return unverified(code, said)
    return clean(code, said) if found.is_at_chance else Verdict(code, "leak", said)


def _interval(one: Interval) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "not defined"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
