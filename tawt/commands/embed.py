"""`tawt embed`: a pretrained run -> embeddings of subjects, as they end or at any time, as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.batching.at_times import Asked, every_moment
from tawt.batching.loader import PackedLoader
from tawt.commands.carried import place_for
from tawt.config.base import one_or_more
from tawt.config.model import Pooling
from tawt.contracts.dataset import SPLITS
from tawt.contracts.embeddings import LABELS, OF, PER, STALE, TASK, about_embeddings
from tawt.contracts.embeddings import SPLITS as SPLITS_READ
from tawt.dataset.reader import Split, fingerprint_of, open_dataset
from tawt.errors import ConfigError, TawtError, listed, nearest
from tawt.files import digest
from tawt.heads.labels import PredictionTimes, label_file, read_times
from tawt.machine import version_of
from tawt.pipeline.fresh import hold_fresh, hold_labels
from tawt.runs.embedding import Embedding, load_embedding
from tawt.runs.embedding_file import hold_place, usual_file, write_embeddings, writing
from tawt.runs.embedding_parts import Parts
from tawt.runs.find import find_run
from tawt.seals import sha256_file
from tawt.training.folder import Report
from tawt.training.memory import explained

Per = Literal["subject", "event"]
PART_TOKENS = 1 << 19
"""About so many tokens go through the model between two parts that a killed command can go on from."""
_LESS = "use a machine or a device with more memory, or `--device cpu`"


@dataclass(frozen=True)
class EmbedResult:
    """What `embed` wrote."""

    path: Path
    """The Parquet file."""
    n_rows: int
    """Rows."""
    n_subjects: int
    """Subjects among them."""
    d_embedding: int
    """Numbers per embedding."""
    n_cut: int
    """Triplets that lay before the subjects' last windows; one that lies before several windows counts in each."""
    n_unseen: int
    """Prediction times by which nothing was known of the subject: they have no row."""
    n_outside: int
    """Prediction times of subjects whom the splits do not have: they have no row."""
    weights: Path
    """The weights that were used."""
    computed: dict[str, str]
    """What it was made on: `device`, `precision` and `threads`."""
    reasons: dict[str, str]
    """Why this device, precision and thread count."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of the file that a split has, `n` documents."""

    split: Split
    loader: PackedLoader | None
    asked: Asked | None
    n_unseen: int

    @property
    def subject_id(self) -> Ints:
        """`(n,)`, in the loader's order."""
        if self.loader is None:
            return np.empty(0, dtype=np.int64)
        return self.split.subject_ids[self.loader.in_order.documents.subjects]

    @property
    def asked_at(self) -> Ints:
        """`(n,)`, which of the prediction times each is; 0 where nothing is asked."""
        at = self.loader.at if self.loader is not None else None
        return at.row if at is not None else np.zeros_like(self.subject_id)

    @property
    def n_cut(self) -> int:
        """Triplets before their windows."""
        return int(self.loader.in_order.windows.n_cut.sum()) if self.loader is not None else 0


def embed(
    workspace: Path,
    run: str | Path,
    *,
    labels: str | Path | None = None,
    per: Per = "subject",
    out: Path | None = None,
    splits: Sequence[str] = SPLITS,
    device: str = "auto",
    pooling: Pooling | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> EmbedResult:
    """Embed the last window of every subject, or what was known of subjects at any times.

    The file is sorted by subject_id and time: `subject_id` int64, `time` timestamp[us] (of the last event used, or the
    prediction time), `split` string, with `labels` also `row` int64 (the first row of the label set that asks about
    it), `embedding` fixed_size_list<float32>. Its metadata name the vocabulary, the dataset, the weights and the label
    set by their hashes. What is done of it is kept beside it, so that one that was killed goes on from there.

    Args:
        workspace: Whose subjects are embedded.
        run: A run folder, the name of one in WORKSPACE/runs, or a folder that `TawtModel.save_pretrained` wrote.
        labels: Name of a label set in WORKSPACE/labels, or a Parquet file: a row per subject and prediction time.
        per: `event` makes each moment of a record a prediction time.
        out: The file; default WORKSPACE/embeddings/NAME OF THE RUN.parquet, an arm's below its sweep's; with `labels`
            TASK.parquet in a folder of the run's name.
        splits: Which splits.
        device: auto, cpu, cuda or cuda:N.
        pooling: `mean` or `max` instead of the run's own readout.
        stale_ok: Embed also a dataset or labels that are older than what they were made from; the file then says so.
        dry_run: Only say what would be written.
        report: Called after each part with `n_done` and `n_rows`, and with notes.

    Raises:
        CheckpointError: The run is absent or broken, or has another vocabulary than the workspace.
        ConfigError: The pooling was not trained, the run's config or the labels do not hold, or `out` is a folder,
            another kind of file or among a workspace's own.
        DatasetError: The dataset is absent or broken, or lacks a split.
        StaleError: The dataset or the labels are older than what they were made from.
        DeviceError: The device is not there.
        TrainingError: An embedding is not finite, or memory ran out.
    """
    workspace = Path(workspace)

    def note(text: str) -> None:
        if report is not None:
            report({"event": "note", "text": text})

    if per not in get_args(Per) or (per == "event" and labels is not None):
        what = "asks for other times than `--labels`" if per in get_args(Per) else "is none"
        raise ConfigError(f"--per {per}", f"{what}, expected `subject` or `event`", nearest(per, get_args(Per)))
    asked_in = label_file(workspace, labels) if labels is not None else None
    if asked_in is not None:
        hold_labels(workspace, asked_in, stale_ok)
    folder = find_run(workspace, run)
    place = place_for(workspace, folder, report or (lambda event: None), stale_ok, dry_run=dry_run)
    dataset = open_dataset(place)
    stale = hold_fresh(place, stale_ok, note, asked_in)
    made = load_embedding(folder, dataset.vocabulary, workspace, pooling, device)
    weights, config = made.loaded.weights, made.loaded.config
    times = read_times(asked_in) if asked_in is not None else None
    task = times.name if times is not None else "per-event" if per == "event" else None
    path = Path(out) if out is not None else usual_file(workspace, folder, task)
    hold_place(path, workspace, out is not None, f"{folder.name}.parquet")
    chosen = [split for split in map(dataset.split, one_or_more(splits)) if split.n_triplets]
    asked = Asked(times.subject_id, times.time) if times is not None else None
    found = [_rows(made, split, every_moment(split) if per == "event" else asked) for split in chosen]
    subject = _joined(rows.subject_id for rows in found)
    if times is not None and not any(np.isin(times.subject_id, one.subject_ids).any() for one in chosen):
        raise ConfigError(
            times.name, f"has no prediction time of a subject of {listed([one.name for one in chosen])}, expected some",
            "`subject_id` must be those of this workspace",
        )  # fmt: skip
    n_unseen = sum(rows.n_unseen for rows in found)
    result = EmbedResult(
        path, len(subject), len(np.unique(subject)), made.width, sum(rows.n_cut for rows in found), n_unseen,
        len(times.time) - len(subject) - n_unseen if times is not None else 0, weights,
        {name: str(getattr(made.compute, name)) for name in made.compute.reasons}, made.compute.reasons,
    )  # fmt: skip
    of = about_embeddings(path) if path.is_file() else None
    if of is not None and of.get(OF[2]) != sha256_file(weights):
        note(f"{path} holds embeddings of other weights, which are replaced")
    if dry_run:
        return result
    made_of = (dataset.vocabulary.sha256, fingerprint_of(chosen), sha256_file(weights))
    about = dict(zip(OF, made_of, strict=True)) | {SPLITS_READ: ",".join(split.name for split in chosen)}
    about |= {PER: "event" if per == "event" else "subject" if times is None else "prediction time"}
    about |= {LABELS: times.sha256, TASK: times.name} if times is not None else {}
    about |= {STALE: stale} if stale is not None else {}
    hangs_on = [about, result.computed, made.how, config.batching.model_dump(), version_of("tawt"), version_of("torch")]
    with writing(path, workspace), explained(folder, config, device, _LESS):
        _write(path, made, found, times, about, Parts(path, digest(hangs_on)), report)
    if dataset.has_changed():
        note(f"{dataset.folder} has changed: what was read is embedded")
    return result


def _rows(made: Embedding, split: Split, asked: Asked | None) -> _Rows:
    """Return whom of a split there will be rows of."""
    loader = made.loader(split, asked)
    n_asked = 0 if asked is None else int(np.isin(asked.subject_id, split.subject_ids).sum())
    n_seen = loader.n_documents if loader is not None and asked is not None else 0
    return _Rows(split, loader, asked, n_asked - n_seen)


def _write(
    path: Path,
    made: Embedding,
    found: Sequence[_Rows],
    times: PredictionTimes | None,
    about: dict[str, str],
    parts: Parts,
    report: Report | None,
) -> None:
    """Embed what is not done yet, and write the file."""
    subject, number = _joined(rows.subject_id for rows in found), _joined(rows.asked_at for rows in found)
    time = _joined(np.zeros_like(r.asked_at) if r.asked is None else r.asked.time[r.asked_at] for r in found)
    order = np.lexsort((time, subject))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    n_done = first = 0
    with parts.rows((len(order), made.width)) as of_all:
        try:
            for rows in found:
                for documents, ends, part in _parts_of(made, rows, parts):
                    time[first + documents] = ends
                    of_all.vectors[place[first + documents]] = part
                    of_all.let_go()
                    n_done += len(documents)
                    if report is not None:
                        report({"event": "embed", "n_done": n_done, "n_rows": len(order)})
                rows.split.hold()
                first += len(rows.subject_id)
        except TawtError:  # it would come again, or what was read has changed
            parts.remove()
            raise
        names = np.repeat(np.array([r.split.name for r in found], object), [len(r.subject_id) for r in found])
        row = times.row[number[order]] if times is not None else None
        write_embeddings(path, subject[order], time[order], names[order], row, of_all, about)
    parts.remove()


def _parts_of(made: Embedding, rows: _Rows, parts: Parts) -> Iterator[tuple[Ints, Ints, NDArray[np.float32]]]:
    """Yield documents of a split with their ends and vectors, a part at a time; those that are done are read."""
    loader = rows.loader
    if loader is None:
        return
    plan = loader.in_order.plan
    step = max(1, PART_TOKENS // loader.config.tokens_per_batch)
    for start in range(0, len(plan), step):
        stop = min(start + step, len(plan))
        documents = np.concatenate([plan[i] for i in range(start, stop)])
        name = f"{rows.split.name}-{start}-{stop}"
        done = parts.read(name, (len(documents), made.width))
        if done is None:
            ends, vectors = zip(*made.vectors(loader, start, stop), strict=True)
            done = np.concatenate(ends), np.concatenate(vectors)
            if stop - start < len(plan):  # one that is the whole of a split would save nothing
                rows.split.hold()
                parts.write(name, *done)
        yield documents, *done


def _joined(arrays: Iterable[Ints]) -> Ints:
    return np.concatenate([np.empty(0, dtype=np.int64), *arrays])
