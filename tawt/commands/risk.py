"""`tawt risk`: a task answered by a decoder that has learned nothing of it: what comes in continuations of a record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tawt.arrays import Floats, Ints
from tawt.batching.at_times import Asked
from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.commands.audit_read import task_of
from tawt.commands.carried import place_for
from tawt.commands.out_folder import hold_folder, hold_names, published
from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.label_set import about_labels
from tawt.contracts.workspace import RISKS
from tawt.database.connect import Limits, connect
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError
from tawt.evaluation.predictions import read_predictions, write_predictions
from tawt.evaluation.resample import N_DRAWS
from tawt.evaluation.table import Comparison, compare
from tawt.evaluation.withheld import n_subjects, withheld, withheld_text
from tawt.files import digest, write_sealed, write_text
from tawt.heads.kinds import KINDS
from tawt.heads.label_set import LabelSet
from tawt.heads.labels import label_file, read_labels
from tawt.labels.ahead import Ahead, ahead_of
from tawt.pipeline.fresh import hold_fresh, hold_labels
from tawt.pipeline.workspace import open_workspace
from tawt.runs.find import find_run
from tawt.runs.load import LoadedDecoder, load_decoder, same_vocabulary
from tawt.seals import sha256_file
from tawt.shell import command
from tawt.synthesis.risk import METHODS, Question, simulate
from tawt.training.folder import Report

RECORD, TABLE = "risk.json", "risk.txt"


@dataclass(frozen=True)
class RiskResult:
    """What simulation says of a task."""

    comparison: Comparison | None
    """The three estimators on the same labels; None of a dry run."""
    folder: Path
    """Holds `risk.json`, `risk.txt`, and the chances by each estimator as predictions."""
    n_rows: int | None
    """Labels; None = of few subjects."""
    n_unseen: int
    """Labels of whom nothing was known: they are left out."""
    complete: float = 0.0
    """Share of continuations that were followed to the outcome or to what ends the window."""
    steps: dict[str, float] = field(default_factory=dict)
    """Estimator -> events drawn for a label, a mean."""
    cost: dict[str, float] = field(default_factory=dict)
    """Estimator -> variance of one continuation times its events: what an equal error costs."""
    split: str = "held_out"
    """Whose labels were asked about."""

    @property
    def gain(self) -> dict[str, float]:
        """Estimator -> by how much fewer events than Monte Carlo it needs for an equal error."""
        return {name: self.cost["M0"] / cost for name, cost in self.cost.items() if cost}

    def text(self, width: int = 160) -> str:
        """Return the table, and what was drawn for it."""
        assert self.comparison is not None, "of a dry run there is no text"
        split, n = self.split, self.comparison.n_subjects
        lines = [
            withheld_text(split, n) if self.comparison.is_withheld else self.comparison.text(width=width).rstrip(), "",
        ]  # fmt: skip
        for name in METHODS:
            less = f"; {self.gain[name]:.1f} times fewer than M0 for an equal error" if self.gain.get(name) else ""
            lines.append(f"{name}: {self.steps[name]:,.0f} events a label{less}")
        lines.append(f"{self.complete:.1%} of continuations were followed to the end of what is asked")
        return "\n".join(lines) + "\n"


def risk(
    workspace: Path,
    task: str | Path,
    run: str | Path,
    *,
    aces: str | Path | None = None,
    predicates: str | Path | None = None,
    split: str = "held_out",
    n: int = 20,
    most: int = 1000,
    seed: int = 0,
    out: Path | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> RiskResult:
    """Continue the records that a label set asks about, and count what comes.

    Args:
        workspace: Holds `dataset/`, and the label set's task.
        task: Name of a label set that `tawt label` made of an ACES task.
        run: A decoder: a run folder, or the name of one in WORKSPACE/runs.
        aces: The file of the task, where it is no ready one.
        predicates: The dataset's own predicates of that file.
        split: Whose labels are asked about.
        n: Continuations of each record, with the outcome possible, and as many without.
        most: Events after which a continuation is cut.
        seed: Of the continuations.
        out: A folder; default WORKSPACE/risks/TASK.
        stale_ok: Also on a dataset or labels that are older than what they were made from.
        dry_run: Hold what is asked, and draw nothing.
        report: Hears `n_done` and `n_rows`, and notes.

    Raises:
        CheckpointError: The run is absent or broken, is no decoder, or has another vocabulary.
        ConfigError: The labels do not hold, or their task asks more than whether something comes.
        DatasetError: The dataset is absent or broken, or lacks the split.
        StaleError: The dataset or the labels are older than what they were made from.
    """
    workspace, tell = Path(workspace), report if report is not None else lambda event: None
    file, folder = label_file(workspace, task), find_run(workspace, run)
    hold_labels(workspace, file, stale_ok)
    place = place_for(workspace, folder, tell, stale_ok)
    hold_fresh(place, stale_ok, lambda text: tell({"event": "note", "text": text}), file)
    labels, decoder, dataset = read_labels(file, None), load_decoder(folder), open_dataset(place)
    if decoder.latent is not None:
        raise CheckpointError(
            str(folder), "is told of whole records, which nobody has before they end, expected one without a latent",
            f"pretrain one: `{command('pretrain', workspace=workspace, config='decode_small')}`",
        )  # fmt: skip
    same_vocabulary(str(folder), decoder.vocabulary, dataset.vocabulary, workspace)
    if KINDS[labels.kind].family != "binary":
        raise ConfigError(str(file), "asks for more than a yes or no, expected one", "see `tawt label`")
    ahead = _asked(workspace, file, decoder, aces, predicates)
    target = Path(out) if out is not None else workspace / RISKS / labels.name
    hold_folder(target, workspace, RISKS)
    if out is not None:
        hold_names(target, [RECORD, TABLE, *(f"{name}.parquet" for name in METHODS)])
    held = dataset.split(split)
    labels = labels.rows(np.isin(labels.subject_id, held.subject_ids) & ~labels.without)
    loader = PackedLoader(
        held, decoder.vocabulary, decoder.config.batching, seed, asked=Asked(labels.subject_id, labels.time)
    )
    assert loader.at is not None
    if dry_run:
        few_people = n_subjects(labels.subject_id, np.ones(len(labels), dtype=bool)) <= SMALL_CELL
        n_rows = None if few_people else len(loader.at.row)
        return RiskResult(None, target, n_rows, len(loader.at.unseen), split=split)
    simulated = list(_simulated(decoder, loader, ahead, n, seed, most, tell))
    labels = labels.rows(loader.at.row)
    steps = {name: float(np.concatenate([one.steps[name].sum(1) for one in simulated]).mean()) for name in METHODS}
    each = {name: np.concatenate([one.each[name] for one in simulated]) for name in METHODS}
    made = {name: np.concatenate([one.steps[name] for one in simulated]) for name in METHODS}
    with published(target, RECORD) as aside:
        said = {}
        for name in METHODS:
            path = aside / f"{name}.parquet"
            _write(path, labels, each[name].mean(1), digest([sha256_file(decoder.weights), name, n, seed, most]))
            said[name] = read_predictions(path)
        comparison = compare(said, "M0", n_draws=N_DRAWS, seed=seed)
        first = next(iter(said.values()))
        comparison = comparison.without(withheld(comparison.titles, first.outcome, first.subject_id))
        result = RiskResult(
            comparison, target, comparison.n_rows, len(loader.at.unseen),
            float(np.concatenate([one.complete.reshape(-1) for one in simulated]).mean()), steps,
            {name: float((each[name].var(1, ddof=1) * made[name].mean(1)).mean()) for name in METHODS} if n > 1 else {},
            split=split,
        )  # fmt: skip
        about = {name: getattr(result, name) for name in ("complete", "steps", "cost", "gain", "split")}
        unseen = result.n_unseen if result.n_unseen > SMALL_CELL else None
        write_sealed(aside / RECORD, {**comparison.to_json(), **about, "n_unseen": unseen, "n": n, "most": most})
        write_text(aside / TABLE, result.text())
    if len(loader.at.unseen):
        tell({"event": "note", "text": f"{few(len(loader.at.unseen))} labels of whom nothing was known are left out"})
    return result


def _asked(
    workspace: Path, file: Path, decoder: LoadedDecoder, aces: str | Path | None, predicates: str | Path | None
) -> Ahead:
    opened = open_workspace(workspace)
    task = task_of(opened, about_labels(file), aces, predicates)
    if task is None:
        raise ConfigError(
            str(file), "is of no ACES task that is known here, expected one: it says what to look for",
            "make it by `tawt label` of a ready task, or give the file with `--aces FILE`",
        )  # fmt: skip
    with closing(connect(Limits.of(1, None), [workspace], None, opened.project)) as connection:
        connection.register("vocabulary_codes", pa.table({"code": [*decoder.vocabulary.codes]}))
        ahead = ahead_of(connection, task, "vocabulary_codes")
    if ahead is None:
        raise ConfigError(
            str(file), "asks more than whether one of some codes comes after the prediction time, expected that",
            "fine-tune for it: `tawt finetune`",
        )  # fmt: skip
    if not ahead.outcome:
        raise ConfigError(
            str(file), "asks for codes of which the decoder's vocabulary has none: they never came in train",
            "pretrain on records that hold the outcome",
        )  # fmt: skip
    return ahead


def _simulated(
    decoder: LoadedDecoder, loader: PackedLoader, ahead: Ahead, n: int, seed: int, most: int, tell: Report
) -> Iterator[Any]:
    codes = decoder.vocabulary.codes

    def of(wanted: frozenset[str]) -> torch.Tensor:
        return torch.tensor([code in wanted for code in codes])

    assert loader.at is not None
    done, end = 0, loader.at.end - loader.at.began
    batch: PackedBatch
    for batch in loader.sequential():
        d: int = batch.n_documents
        until: Ints | None = None if ahead.length is None else end[done : done + d] + ahead.length
        question = Question(of(ahead.outcome), until, of(ahead.ends) if ahead.ends else None)
        yield simulate(decoder.encoder, decoder.heads, decoder.vocabulary, batch, question, n, seed, most)
        done += d
        tell({"event": "part", "n_done": done, "n_rows": len(end)})


def _write(path: Path, labels: LabelSet, chance: Floats, model: str) -> None:
    columns: dict[str, Any] = {
        "subject_id": labels.subject_id, "prediction_time": labels.time, "boolean_value": labels.value[:, 0] > 0,
        "predicted_boolean_probability": np.clip(chance, 0, 1),
    }  # fmt: skip
    write_predictions(path, columns, "binary", model=model, labels=labels.sha256)
