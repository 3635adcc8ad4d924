"""`tawt audit`: each leak of the catalogue looked for in a task, its labels, events, features and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tawt.builtin.all import graph_of
from tawt.contracts.label_set import AboutLabels, about_labels
from tawt.contracts.workspace import AUDITS
from tawt.database.connect import Limits, connect
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.errors import ConfigError, StageError, TawtError
from tawt.evaluation.baselines import Rows, measured_shuffled, with_shuffled_labels
from tawt.evaluation.inflation import inflation, probe
from tawt.evaluation.leaks import Told, audit_features, moments, tell
from tawt.evaluation.resample import Interval
from tawt.files import made_folder, write_sealed
from tawt.heads.labels import LabelSet, label_file, read_labels
from tawt.labels.audit import audit_events, audit_task
from tawt.labels.catalogue import LEAKS
from tawt.labels.find import asked_for
from tawt.labels.keep import task_hash
from tawt.labels.task import Task, read_task
from tawt.labels.verdict import Verdict, clean, few, unverified
from tawt.pipeline.fresh import hold_fresh
from tawt.pipeline.manifest import manifest_at
from tawt.pipeline.plan import input_of
from tawt.pipeline.relations import bind_output
from tawt.pipeline.workspace import Workspace, open_workspace
from tawt.readers import read_parquet
from tawt.runs.embedding import load_embedding
from tawt.runs.find import find_run
from tawt.runs.invariant import embeddings_that_change
from tawt.seals import sha256_file

FORMAT = "tawt.audit/1"
MOST_EMBEDDED = 2_000
"""Subjects whose embeddings are compared; more would say the same, slower."""
_DRAWS = 200
_ONE_OF_TWO = "of a yes or no alone"
_ASK_YES_OR_NO = (
    "OUTCOME_ENCODING", "SINGLE_FEATURE_DOMINANCE", "MISSINGNESS_PROXY", "POST_OUTCOME_INSTANCE", "REPEATED_EVENT"
)  # fmt: skip
_OF_ROWS = ("POST_OUTCOME_INSTANCE", "REPEATED_EVENT")
_WHY = {
    "SITE_OVERLAP": "there is one workspace; an evaluation on another one says where its rows came from",
    "SPLIT_ORDER": "subjects are dealt out by their hash: no split by time is claimed",
    "INTERVAL_CROSSING": "no stage declares where an interval ends",
    "FIRST_DAY_SUMMARY": "no stage declares which codes sum up a day",
    "SYNTHETIC_IN_EVALUATION": "nothing here says which rows are invented",
    "EVALUATION_REUSE": "on which rows a threshold or a setting was chosen is not on record",
    "PRETRAINED_ON_TEST": "give a run with `--run`",
    "DECLARED_PRACTICE": "nothing was declared",
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
    table = _table(file, labels)
    honest = ~_again(table)
    with closing(_events(opened, Limits.of(threads, memory_limit))) as connection:
        found = audit_events(connection, table, splits)
    attrition: Sequence[Mapping[str, str]] = about.attrition if about is not None else ()
    found += audit_task(_task(opened, about, aces, predicates), attrition, len(labels))
    report({"event": "part", "name": "records and features"})
    truth, asked = labels.value[:, 0], ~np.isnan(labels.value[:, 0])
    yes_or_no = labels.kind in ("binary", "labels", "time")
    train = np.isin(labels.subject_id, splits["train"]) & asked
    told = tell(dataset, labels.subject_id, labels.time, np.where(asked & yes_or_no, truth > 0, 0).astype(float), train)
    found += audit_features(told)
    test = np.isin(labels.subject_id, splits.get("held_out", [])) & asked
    if yes_or_no:
        found = [_measured(one, told, test, honest) for one in found]
        report({"event": "part", "name": "shuffled labels"})
        found.append(_shuffled(told, test, seed))
    else:
        found = [_of_yes_or_no(one) for one in found]
    if run is not None:
        report({"event": "part", "name": "embeddings"})
        found = _of_run(found, root, find_run(root, run), dataset, labels, device)
    by_code = {one.code: one for one in found}
    verdicts = tuple(
        by_code.get(leak.code) or unverified(leak.code, _WHY.get(leak.code, "of a yes or no alone")) for leak in LEAKS
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


def _events(opened: Workspace, limits: Limits) -> Any:
    manifest = manifest_at(opened.root / "manifests" / "events.json")
    if manifest is None:
        raise StageError("audit", "needs events, which are not here, expected them", "`tawt ingest` makes them")
    connection = connect(limits, [opened.root], opened.spill, opened.project)
    bind_output(connection, input_of(opened.root, manifest))
    return connection


def _table(file: Path, labels: LabelSet) -> pa.Table:
    """Return whom is asked about, when, what came, and what was there before if the file says so."""
    columns: dict[str, Any] = {
        "subject_id": labels.subject_id, "prediction_time": labels.time,
        "positive": pa.array(labels.value[:, 0] > 0, mask=np.isnan(labels.value[:, 0])),
    }  # fmt: skip
    table = read_parquet(file)
    if "prior_count" in table.column_names:
        times = table["prediction_time"].cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
        prior = dict(
            zip(zip(table["subject_id"].to_pylist(), times, strict=True), table["prior_count"].to_pylist(), strict=True)
        )
        keys = zip(labels.subject_id.tolist(), labels.time.tolist(), strict=True)
        columns["prior_count"] = pa.array([prior.get(key) for key in keys], pa.int64())
    return pa.table(columns)


def _task(
    opened: Workspace, about: AboutLabels | None, aces: str | Path | None, predicates: str | Path | None
) -> Task | None:
    """Return the ACES task that a label set is of: the one that is given, or the ready one of its name."""
    of = about.made_of.get("task") if about is not None else None
    if aces is not None:
        task = read_task(Path(aces), Path(predicates) if predicates is not None else None)
        if task_hash(task) != of:
            raise ConfigError(str(aces), "is not the task that the labels are of, expected it", "make them again")
        return task
    if about is None or of is None:
        return None
    try:
        asked = asked_for(about.task, graph_of(opened), opened.pipeline.source)
        ready = asked.read() if asked.form == "aces" else None
    except TawtError:
        return None
    return ready if ready is not None and task_hash(ready) == of else None


def _again(table: pa.Table) -> np.ndarray:
    """Return which positive labels are of what was there before, `(n,)`."""
    if "prior_count" not in table.column_names:
        return np.zeros(len(table), dtype=bool)
    positive, prior = table["positive"].fill_null(False).to_numpy(), table["prior_count"].fill_null(0).to_numpy()
    return np.asarray(positive & (prior > 0))


def _measured(one: Verdict, told: Told, test: np.ndarray, honest: np.ndarray) -> Verdict:
    """Return a leak with what it is worth to a probe: without the codes that leak, or without the rows."""
    of_rows = one.code in _OF_ROWS and not honest.all()
    if one.status != "leak" or not (one.codes or of_rows):
        return one
    rows = honest if of_rows else None
    return replace(one, inflation=inflation(told.features, told.truth, told.train, test, set(one.codes), rows))


def _of_yes_or_no(one: Verdict) -> Verdict:
    asks = (
        "OUTCOME_ENCODING",
        "SINGLE_FEATURE_DOMINANCE",
        "MISSINGNESS_PROXY",
        "POST_OUTCOME_INSTANCE",
        "REPEATED_EVENT",
    )
    return unverified(one.code, "of a yes or no alone") if one.code in asks else one


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


def _of_run(
    found: list[Verdict], root: Path, run: Path, dataset: TripletDataset, labels: LabelSet, device: str
) -> list[Verdict]:  # fmt: skip
    """Return the verdicts with what a run adds: its embeddings, and the rows that it learned from."""
    subject, time = (one[:MOST_EMBEDDED] for one in moments(dataset, labels.subject_id, labels.time))
    embedding = load_embedding(run, dataset.vocabulary, root, None, device)
    changed = int(embeddings_that_change(dataset, embedding, subject, time).sum())
    out = []
    for one in found:
        if one.code == "FUTURE_EVENT":
            if changed:
                said = f"embeddings of {few(changed)} of {len(subject):,} subjects change; {one.told}"
                one = replace(one, status="leak", told=said)
            else:
                one = replace(one, told=f"{one.told}; embeddings of {len(subject):,} subjects too")
        out.append(one)
    overlap = next(one for one in out if one.code == "ENTITY_OVERLAP")
    learned = f"{run.name} learns from train alone"
    weights = f"weights {sha256_file(embedding.loaded.weights)[:12]}"
    own = Verdict("PRETRAINED_ON_TEST", "leak", f"{learned}, which shares subjects with another split")
    out.append(own if overlap.status == "leak" else clean("PRETRAINED_ON_TEST", f"{learned} ({weights})"))
    return out
