"""`tawt risk`: a task answered by a decoder that has learned nothing of it: what comes in continuations of a record."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tawt.arrays import Bools, Floats, Ints
from tawt.batching.at_times import Asked
from tawt.batching.loader import PackedLoader
from tawt.commands.carried import place_for
from tawt.commands.out_folder import hold_folder, hold_names, published
from tawt.config.label import LabelConfig
from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.workspace import RISKS
from tawt.database.connect import connect
from tawt.database.limits import Limits
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError
from tawt.evaluation.predictions import Predictions, read_predictions, write_predictions
from tawt.evaluation.resample import N_DRAWS
from tawt.evaluation.table import compare
from tawt.evaluation.withheld import n_subjects, withheld
from tawt.evaluation.zero_shot import Check
from tawt.files import digest, write_sealed, write_text
from tawt.heads.kinds import KINDS, answers
from tawt.heads.label_set import LabelSet
from tawt.heads.labels import label_file, read_labels
from tawt.heads.task import TaskSpec
from tawt.pipeline.fresh import hold_fresh, hold_labels
from tawt.pipeline.workspace import open_workspace
from tawt.risks.asked import Wanted, wanted
from tawt.risks.checks import Grounds, checks_of
from tawt.risks.chosen import chosen
from tawt.risks.estimates import Trajectories, batches_of
from tawt.risks.result import RECORD, TABLE, RiskResult
from tawt.risks.simulate import METHODS, QUICK, Simulation
from tawt.runs.find import find_run
from tawt.runs.load import LoadedDecoder, load_decoder, same_vocabulary
from tawt.seals import sha256_file
from tawt.shell import command
from tawt.training.folder import Report

TRAJECTORIES = "trajectories"


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
    hours: float | None = None,
    only: int | None = None,
    shortcuts: int = 300,
    trajectories: bool = False,
    seed: int = 0,
    out: Path | None = None,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> RiskResult:
    """Continue the records that a label set asks about, and count what comes.

    Args:
        workspace: Holds `dataset/`, and the label set.
        task: Name of a label set: it says whom, when and what came.
        run: A decoder: a run folder, or the name of one in WORKSPACE/runs.
        aces: What to look for, where the labels do not say it: an ACES file, or the name of a ready task.
        predicates: The dataset's own predicates of that file.
        split: Whose labels are asked about.
        n: Continuations of each record, with the outcome possible, and as many without.
        most: Events after which a continuation is cut.
        hours: How long continuations are followed, where the task does not say it; None = to the record's end.
        only: About so many labels are asked about, all of some people, drawn by the seed; None = all. See `chosen`.
        shortcuts: Of so many labels the history is taken away, to see what is left; 0 = of none.
        trajectories: Whether continuations are written too, as `GeneratedTrajectorySchema` has them.
        seed: Of the continuations.
        out: A folder; default WORKSPACE/risks/TASK.
        stale_ok: Also on a dataset or labels that are older than what they were made from.
        dry_run: Hold what is asked, and draw nothing.
        report: Hears of a `part`, and of the labels that are asked `again` for the check of shortcuts, `n_done` and
            `n_rows`; and notes.

    Raises:
        CheckpointError: The run is absent or broken, is no decoder, or has another vocabulary.
        ConfigError: The labels do not hold, or nothing says what to look for that a simulation can be asked.
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
    opened = open_workspace(workspace)
    target = Path(out) if out is not None else workspace / RISKS / labels.name
    hold_folder(target, workspace, RISKS)
    with closing(connect(Limits.of(), [workspace], opened.spill, opened.project)) as connection:
        asks = wanted(opened, connection, file, labels, decoder, aces, predicates, hours)
        if out is not None:
            hold_names(target, [RECORD, TABLE, *(f"{name}.parquet" for name in METHODS)])
        held = dataset.split(split)
        if split == "train":
            what = "the run learned from these subjects: what it says of them is remembered as well as foretold"
            tell({"event": "note", "text": what})
        labels = labels.rows(np.isin(labels.subject_id, held.subject_ids) & ~labels.without)
        n_all, labels = len(labels), labels if only is None else labels.rows(chosen(labels, only, seed))
        if only is not None and len(labels) > max(min(only, n_all), SMALL_CELL):
            tell({"event": "note", "text": f"{len(labels):,} labels are asked about: what fewer tell, beside what "
                  "others do, could be of few people"})  # fmt: skip
        only = only if len(labels) < n_all else None
        loader = PackedLoader(
            held, decoder.vocabulary, decoder.config.batching, seed, asked=Asked(labels.subject_id, labels.time)
        )
        assert loader.at is not None
        n_unseen = len(loader.at.unseen)
        if dry_run:
            few_people = n_subjects(labels.subject_id, np.ones(len(labels), dtype=bool)) <= SMALL_CELL
            n_rows = None if few_people else len(loader.at.row)
            return RiskResult(None, target, n_rows, n_unseen, plain=asks.is_plain, split=split)
        labels, end = labels.rows(loader.at.row), loader.at.end - loader.at.began
        with published(target, RECORD) as aside:
            written = Trajectories(aside / TRAJECTORIES if trajectories else None, n, decoder)

            def heard(done: int) -> None:
                tell({"event": "part", "n_done": done, "n_rows": len(end)})

            heard(0)
            how = Simulation(n, seed, most)
            told = asks.simulate(labels, end, batches_of(loader), how, written, heard)
            written.flush()
            has: Bools = np.asarray(~np.isnan(told.said["M0"]).any(1))
            if not has.any():
                raise ConfigError(
                    str(file), "has no label of which a continuation has an answer, expected some: the task is asked "
                    "at other times, or all was cut", "give the task that the labels are of, or raise `--most`",
                )  # fmt: skip
            said = _said(aside, labels.rows(has), {name: one[has] for name, one in told.said.items()}, decoder, how)
            comparison = compare(said, "M0", n_draws=N_DRAWS, seed=seed)
            first = said["M0"]
            comparison = comparison.without(withheld(comparison.titles, first.outcome, first.subject_id))
            checks: tuple[Check, ...] = ()
            if labels.kind == "binary":
                again = partial(_again, tell, asks, labels, end, replace(how, methods=QUICK))
                found = Grounds(
                    labels=labels.rows(has), said=said, told=told, loader=loader, rows=np.flatnonzero(has), again=again
                )
                checks = checks_of(found, asks, workspace=workspace, run=folder, n_shortcuts=shortcuts, seed=seed)
            few_people = comparison.is_withheld
            result = RiskResult(
                comparison, target, comparison.n_rows, n_unseen, int((~has).sum()), None if few_people else told,
                () if few_people else checks, asks.is_plain, split, only,
            )  # fmt: skip
            about: dict[str, Any] = {"split": split, "plain": asks.is_plain}
            if result.told is not None:
                about |= {name: getattr(result, name) for name in ("complete", "steps", "cost", "gain")}
                about |= {"bounds": told.bounds, "shares": told.shares}
            gone = {name: getattr(result, name) for name in ("n_unseen", "n_open")}
            about |= {name: None if 0 < number <= SMALL_CELL else number for name, number in gone.items()}
            about |= {"n": n, "most": most, "checks": [check.to_json() for check in result.checks]}
            about |= {"checks_of": result.checks_of, "run": folder.name}
            write_sealed(aside / RECORD, {**comparison.to_json(), **about, "model": sha256_file(decoder.weights)})
            write_text(aside / TABLE, result.text())
    for number, why in (
        (n_unseen, "of whom nothing was known"),
        (result.n_open, "of which no continuation has an answer"),
    ):
        if number:
            tell({"event": "note", "text": f"{few(number)} labels {why} are left out"})
    return result


def _again(
    tell: Report, asks: Wanted, labels: LabelSet, end: Ints, how: Simulation, batches: Any, rows: Ints
) -> Floats:
    """Return the answers to some of the labels by other records, `(m,)`."""
    unwritten = Trajectories(None, how.n, asks.decoder)

    def heard(done: int) -> None:
        tell({"event": "again", "n_done": done, "n_rows": len(rows)})

    heard(0)
    return asks.simulate(labels.rows(rows), end[rows], batches, how, unwritten, heard).said[asks.best][:, 0]


def _said(
    aside: Path, labels: LabelSet, said: dict[str, Floats], decoder: LoadedDecoder, how: Simulation
) -> dict[str, Predictions]:
    """Write the answers of each estimator as predictions, and return them as they are read."""
    spec = TaskSpec(
        name=labels.name,
        kind=labels.kind,
        outputs=labels.classes or labels.asked,
        prior=(),
        labels_sha256=labels.sha256,
    )
    found, family = {}, KINDS[labels.kind].family
    for name, one in said.items():
        path, answer = aside / f"{name}.parquet", answers(spec, LabelConfig()).said(labels, one)
        columns = {"subject_id": labels.subject_id, "prediction_time": labels.time, **answer.columns}
        model = digest([sha256_file(decoder.weights), name, how.n, how.seed, how.most])
        write_predictions(path, columns, family, model=model, labels=labels.sha256, names=answer.names)
        found[name] = read_predictions(path)
    return found
