"""What a run adds to an audit: what it read, what it was told of its task, and what its embeddings know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tawt.arrays import Ints
from tawt.commands.audit_read import settled_threshold
from tawt.contracts.cells import few
from tawt.contracts.workspace import EVALUATIONS
from tawt.dataset.reader import TripletDataset, fingerprint_of
from tawt.errors import ConfigError
from tawt.evaluation.chosen import audit_threshold
from tawt.evaluation.leaks import moments
from tawt.evaluation.metrics import Binary
from tawt.evaluation.rows import thinned
from tawt.heads.label_set import LabelSet
from tawt.heads.targets import describe
from tawt.heads.task import TASK
from tawt.labels.leaks.verdict import Verdict, clean, unverified
from tawt.runs.answer import LoadedTask, answer, load_task
from tawt.runs.embedding import Embedding, load_embedding
from tawt.runs.find import called
from tawt.runs.invariant import embeddings_that_change
from tawt.seals import sha256_file
from tawt.training.device import choose_compute
from tawt.training.outputs import is_run
from tawt.training.versions import read_versions

MOST_EMBEDDED = 2_000
"""Subjects whose embeddings are compared; more would say the same, slower."""


def audit_run(
    root: Path, run: Path, dataset: TripletDataset, labels: LabelSet, device: str, threshold: float | None,
    seed: int, tell: Callable[[str], None],
) -> list[Verdict]:  # fmt: skip
    """Look for what a run shows.

    Args:
        root: The workspace.
        run: The run folder.
        dataset: Which the run reads.
        labels: Of its subjects.
        device: As asked for.
        threshold: One that is reported of the run; None = that which an evaluation settled.
        seed: Of the draw of subjects.
        tell: Hears which part is at work.

    Raises:
        CheckpointError: The run is absent or broken, or has another vocabulary.
        ConfigError: A threshold is given of a run that answers no yes or no.
        DeviceError: The device is not there.
    """
    tell("embeddings")
    embedding = load_embedding(run, dataset.vocabulary, root, None, device)
    found = [_invariant(embedding, dataset, labels, seed), _read(run, embedding, dataset)]
    task = load_task(run) if (run / TASK).is_file() else None
    if task is not None and task.spec.labels_sha256 == labels.sha256:
        found += [_rates(run, task, dataset, labels)]
    return [*found, _chosen(root, run, task, dataset, labels, device, threshold)]


def _invariant(embedding: Embedding, dataset: TripletDataset, labels: LabelSet, seed: int) -> Verdict:
    subject, time = moments(dataset, labels.subject_id, labels.time)
    drawn = thinned(subject, np.ones(len(subject), dtype=np.bool_), MOST_EMBEDDED, seed)
    subject, time = subject[drawn], time[drawn]
    changed = int(embeddings_that_change(dataset, embedding, subject, time).sum())
    if changed:
        told = f"embeddings of {few(changed)} of {len(subject):,} subjects change when what is later goes"
        return Verdict("FUTURE_EVENT", "leak", told)
    return clean("FUTURE_EVENT", f"embeddings of {len(subject):,} subjects too")


def _read(run: Path, embedding: Embedding, dataset: TripletDataset) -> Verdict:
    """Hold the records that a run, and those that it began from, have read to train and tuning of the dataset."""
    code = "PRETRAINED_ON_TEST"
    splits = [dataset.split(name) for name in ("train", "tuning") if name in dataset.split_names]
    now, lineage = fingerprint_of(splits), [*_lineage(run)]
    weights = f"weights {sha256_file(embedding.loaded.weights)[:12]}"
    for name, read in lineage:
        if read is None:
            return unverified(code, f"nothing here says which records {name} has read: look whether held_out was among "
                              "them, or pretrain again on train")  # fmt: skip
        if read != now:
            return unverified(code, f"{name} has read other records than train and tuning hold now: look whether "
                              "held_out was among them, or pretrain again")  # fmt: skip
    names = " and ".join(name for name, _ in lineage)
    return clean(code, f"{names} read train, and tuning to validate, as they are now ({weights})")


def _lineage(run: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the name of a run and of each that it began from, and the hash of what it has read."""
    seen: set[Path] = set()
    at: Path | None = run
    while at is not None and at not in seen:
        seen.add(at)
        versions = read_versions(at) if at.is_dir() else None
        yield at.name, versions.read if versions is not None else None
        if versions is None or versions.init is None:
            return
        weights = (at / versions.init.weights).resolve()
        # weights lie in a run, or in a checkpoint of one
        at = next((one for one in (weights.parent, *weights.parents[1:4]) if is_run(one)), weights.parent)


def _rates(run: Path, task: LoadedTask, dataset: TripletDataset, labels: LabelSet) -> Verdict:
    """Count again what the head was told of its labels."""
    train = np.isin(labels.subject_id, dataset.split("train").subject_ids)
    now = describe(labels, train, task.loaded.config.objective.label)
    told = {name: getattr(task.spec, name) for name in ("prior", "mean", "scale", "edges", "class_weight")}
    other = [name for name, was in told.items() if not _near(was, getattr(now, name))]
    if other:
        return Verdict("PREPROCESSING_FIT", "leak", f"{', '.join(other)} of the head of {run.name} are not those of "
                       "the training labels")  # fmt: skip
    return clean("PREPROCESSING_FIT", f"so are the rates that the head of {run.name} began from")


def _near(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))


def _chosen(
    root: Path, run: Path, task: LoadedTask | None, dataset: TripletDataset, labels: LabelSet, device: str,
    threshold: float | None,
) -> Verdict:  # fmt: skip
    """Say on which rows the weights of a run, and a threshold, were chosen."""
    final = "the last" if task is None or task.loaded.config.train.final == "last" else "the best on tuning"
    own = f"the weights of {run.name} are {final}"
    if threshold is None and task is not None:
        threshold = settled_threshold(root, labels, called(root, run), sha256_file(task.loaded.weights))
        if threshold is not None:
            own = f"{own}; the threshold is that on record in {EVALUATIONS}/{labels.name}"
    if threshold is None:
        why = "no evaluation has a threshold of these labels and weights: give one that you report with `--threshold`"
        return unverified("EVALUATION_REUSE", f"{own}; {why}")
    if task is None or task.head.answers.family != "binary":
        raise ConfigError(
            f"--threshold {threshold:g}", f"is of no yes or no that {run.name} answers, expected a run that does",
            "give one of `tawt finetune` with `--run`, or leave it out",
        )  # fmt: skip
    compute = choose_compute(device, task.loaded.config.train.precision, task.loaded.config.train.threads)
    sides = []
    for name in ("tuning", "held_out"):
        if name not in dataset.split_names:
            return unverified("EVALUATION_REUSE", f"there is no {name} to hold the threshold to")
        rows, said, _ = answer(task, dataset.split(name), labels, compute)
        rows, said = _known(labels, rows), said[~np.isnan(labels.value[rows, 0])]
        side = Binary(labels.value[rows, 0] > 0, said[:, 0])
        if side.one_class(np.ones(side.n_rows)) or not side.n_rows:
            return unverified("EVALUATION_REUSE", f"the labels of {name} are of one class alone")
        sides.append(side)
    found = audit_threshold(threshold, *sides)
    return replace(found, told=f"{found.told}; {own}")


def _known(labels: LabelSet, rows: Ints) -> Ints:
    return rows[~np.isnan(labels.value[rows, 0])]
