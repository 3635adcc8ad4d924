"""`tawt evaluate`: how well runs answer a task, beside what is simpler, on the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tawt.commands.carried import place_for
from tawt.commands.fewer_contents import with_fewer
from tawt.commands.out_folder import hold_folder, hold_names, published
from tawt.config.base import one_or_more
from tawt.contracts.cells import SMALL_CELL, few
from tawt.contracts.workspace import EVALUATION, EVALUATIONS
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.errors import ConfigError
from tawt.evaluation.attributes import UNKNOWN, attributes_of
from tawt.evaluation.baselines import task_of
from tawt.evaluation.families import metrics_of
from tawt.evaluation.features import statics_at
from tawt.evaluation.official import OFFICIAL
from tawt.evaluation.predictions import Predictions
from tawt.evaluation.regression import COVERAGE, WIDTH
from tawt.evaluation.resample import N_DRAWS, draws_of
from tawt.evaluation.settle import Settled
from tawt.evaluation.subgroups import by_group
from tawt.evaluation.table import Comparison, compare, unmeasured
from tawt.evaluation.tabular import given_weights
from tawt.evaluation.withheld import FEW, n_subjects, withheld, withheld_text, without
from tawt.evaluations.answered import Asked
from tawt.evaluations.held import hold_task, inside, looked_at, said_of
from tawt.evaluations.result import EvaluateResult
from tawt.evaluations.simpler import NAMES, SHUFFLED, TRAIN, TUNING, Beside, chosen
from tawt.figures.common import matplotlib
from tawt.figures.evaluation import plot_models
from tawt.files import digest, write_sealed, write_text
from tawt.heads.kinds import KINDS
from tawt.heads.labels import label_file, read_labels
from tawt.pipeline.fresh import hold_fresh, hold_labels
from tawt.runs.answer import LoadedTask, answer_all, load_task
from tawt.runs.find import called, find_run
from tawt.runs.learned import learned_kind
from tawt.runs.load import same_vocabulary
from tawt.seals import sha256_file
from tawt.training.device import Compute, choose_compute

TABLES = "evaluation.txt"
"""What an evaluation found, in tables."""
PREVALENCE = "prevalence"
"""The baseline that answers by the rate of the training labels, and the metric of it."""


def evaluate(
    workspace: Path,
    task: str | Path,
    runs: str | Path | Sequence[str | Path],
    *,
    split: str = "held_out",
    baselines: str | Sequence[str] | None = None,
    weights: Sequence[str] = (),
    kind: Any = None,
    group: Sequence[str] | None = None,
    horizons: Sequence[float] = (),
    n_draws: int = N_DRAWS,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
    plots: bool = False,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> EvaluateResult:
    """Measure runs on a split, beside baselines fitted to the same training labels where these are not asked about.

    Args:
        workspace: Holds `dataset/`.
        task: Name of a label set in WORKSPACE/labels, or a Parquet file of labels.
        runs: Runs of `tawt finetune`; the first is what the others are compared with.
        split: Whose labels are asked about.
        baselines: Names; None = all that belong to the kind of task and are installed.
        weights: `TabPFN=FILE` or `TabICL=FILE`, or a folder: models of tables from weights that lie on this disk.
        kind: What is asked, where the columns of the labels leave it open.
        group: What subjects are told apart by: `age`, or static data_types; None = age and static facts of few kinds.
        horizons: Hours at which a time to an event is measured; none = those that the first run learned.
        n_draws: Draws of subjects for intervals.
        seed: Of the draws and the baselines.
        device: auto, cpu, cuda or cuda:N.
        out: A folder; default WORKSPACE/evaluations/TASK.
        plots: Draw curves, numbers or survival by risk into the folder; nothing of 10 rows or fewer.
        stale_ok: Measure also on a dataset or labels that are older than what they were made from.
        dry_run: Only name the models, rows and folder: nothing is measured or written.
        report: Hears which model is at work, and notes.

    Raises:
        CheckpointError: A run is absent or broken, learned no task, or has another vocabulary.
        ConfigError: The labels do not hold, a run answers another kind of task, a baseline is none, or `out` is among
            the files of a workspace or a run, or holds files of something else.
        DatasetError: The dataset is absent or broken, or lacks the split.
        StaleError: The dataset or the labels are older than what they were made from.
        DeviceError: The device is not there.
    """
    workspace = Path(workspace)
    tell = report if report is not None else lambda event: None
    file = label_file(workspace, task)
    hold_labels(workspace, file, stale_ok)
    folders = [find_run(workspace, run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    if not folders:
        raise ConfigError("--run", "names no run, expected one at least", "give a run of `tawt finetune`")
    tables = given_weights(one_or_more(weights))
    notes: list[str] = []
    if split == TRAIN and baselines:
        raise ConfigError(
            "--baseline", "learns from train, which is asked about, expected none", "leave it out, or ask of held_out"
        )
    if split == TRAIN:
        notes.append("no baseline stands beside: each learns from train, which is asked about")
        baselines = ()
    names = [called(workspace, folder) for folder in folders]
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise ConfigError("--run", f"names `{twice[0]}` twice, expected runs of different names", "rename a folder")
    if taken := next((name for name in names if name in NAMES), None):
        raise ConfigError(
            "--run", f"names `{taken}`, as a baseline is called, expected a run of another name", "rename its folder"
        )
    if plots:
        matplotlib()
    places = [place_for(workspace, folder, tell, stale_ok, dry_run=dry_run) for folder in folders]
    datasets = [open_dataset(at) for at in places]
    for at in dict.fromkeys(places):
        hold_fresh(at, stale_ok, lambda text: tell({"event": "note", "text": text}), file)
    labels = read_labels(file, kind, usual=learned_kind(folders[0]) if kind is None else None)
    beside_them = [name for name in chosen(baselines, tables, labels.kind) if name != SHUFFLED]
    place = Path(out) if out is not None else workspace / EVALUATIONS / labels.name
    hold_folder(place, workspace, EVALUATIONS)
    if out is not None:
        predicted = [f"{name}.parquet" for name in (*names, *NAMES)]
        hold_names(place, [EVALUATION, TABLES, *predicted, *(f"{TUNING}/{name}" for name in predicted)])
    models: dict[str, tuple[Predictions, Settled | None]] = {}
    notes += looked_at(datasets[0], labels, split, group)
    for name, folder in zip(names, folders, strict=True):
        notes += hold_task(name, folder, labels, horizons)
    splits = (split, TUNING) if split != TUNING and len(inside(datasets[0], TUNING, labels)) else (split,)
    family = KINDS[labels.kind].family
    if dry_run:
        whose = inside(datasets[0], split, labels).subject_id
        empty = unmeasured(family, [*names, *beside_them], whose, n_draws, seed, labels.sha256)
        return EvaluateResult(empty, place, tuple(notes), split=split)
    said_here = said_of(workspace, file, labels)
    first: tuple[LoadedTask, Compute] | None = None
    asked: Asked | None = None
    with published(place, EVALUATION) as aside:
        for name, folder, own in zip(names, folders, datasets, strict=True):
            tell({"event": "model", "name": name})
            loaded = load_task(folder)
            same_vocabulary(str(folder), loaded.loaded.vocabulary, own.vocabulary, workspace)
            compute = choose_compute(device, loaded.loaded.config.train.precision, loaded.loaded.config.train.threads)
            first = first or (loaded, compute)
            rows, said, n_unseen = answer_all(loaded, [own.split(one) for one in splits], labels, compute)
            if n_unseen:
                notes.append(f"{name}: {few(n_unseen)} rows of whom nothing was known are answered by the rates")
            measured = np.isin(labels.subject_id[rows], own.split(split).subject_ids)
            score = said_here.scores.get(labels.name) if said_here and family == "binary" else None
            asked = Asked(labels, rows, measured, aside, tuple(sorted({*horizons})), score)
            models[name] = asked.answered(
                name, said.astype(np.float64), loaded.spec, sha256_file(loaded.loaded.weights)
            )
        assert first is not None and asked is not None, "there is one run at least"
        _say_withheld(models[names[0]][0], split, tell)
        beside = Beside(datasets[0], labels, splits, first[0], first[1], seed, notes.append, tables)
        for name, told in beside.models(baselines, lambda name: tell({"event": "model", "name": name})):
            models[name] = asked.answered(name, told, first[0].spec, digest([name, seed, str(tables.get(name, ""))]))
        models = {name: (asked.told(one), settled) for name, (one, settled) in models.items()}
        named = [datasets[0].split(one) for one in splits]
        fewer = with_fewer(asked, first[0], names[0], named, models[names[0]][0], first[1], n_draws, seed, notes.append)
        found = _compared(datasets[0], asked, models, fewer, group, n_draws, seed)
        unit = said_here.label_units.get(labels.name, "") if said_here and task_of(family) == "numbers" else ""
        shown = [f"{metric}:{one:g}" for one in asked.horizons for metric in ("auroc", "brier")]
        found = replace(found, comparison=replace(found.comparison.in_unit(unit), further=tuple(shown)))
        shuffled = beside.shuffled(baselines, n_draws)
        if shuffled is not None and (why := found.comparison.rows[0].metrics[shuffled.metric].reason) is not None:
            shuffled = replace(shuffled, interval=without(why))
        found = replace(found, shuffled=shuffled, folder=place, notes=tuple(notes), split=split)
        write_sealed(aside / EVALUATION, found.to_json())
        write_text(aside / TABLES, found.text())
        drawn_of = {name: one for name, (one, _) in models.items()}
        undrawn: list[str] = []
        drawn = tuple(plot_models(drawn_of, aside, labels.name, undrawn.append, names, unit)) if plots else ()
    drawn = tuple(place / path.relative_to(aside) for path in drawn)
    return replace(found, plots=drawn, notes=(*found.notes, *undrawn))


def _say_withheld(said: Predictions, split: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """Say that nothing will be told, before baselines that take minutes learn what it would stand beside."""
    if withheld(("any",), said.outcome, said.subject_id):
        n = n_subjects(said.subject_id, np.ones(said.outcome.n_rows, dtype=bool))
        tell({"event": "note", "text": withheld_text(split, n if n > SMALL_CELL else None)})


def _compared(
    dataset: TripletDataset, asked: Asked, models: Mapping[str, tuple[Predictions, Settled | None]],
    fewer: Comparison | None, group: Sequence[str] | None, n_draws: int, seed: int,
) -> EvaluateResult:  # fmt: skip
    """Measure all models, at what was settled on tuning, and the first one in groups of subjects."""
    said = {name: one for name, (one, _) in models.items()}
    settled = {name: one for name, (_, one) in models.items() if one is not None}
    at = {name: one.threshold for name, one in settled.items() if one.threshold is not None}
    name, first = next(iter(said.items()))
    best = {name: one.official for name, one in settled.items() if one.official is not None}
    official = None
    if asked.score is not None and {*best} == {*said}:
        official = {name: OFFICIAL[asked.score].metrics(one, best[name]) for name, one in said.items()}
    comparison = compare(
        said, name, threshold=at if len(at) == len(said) else None, official=official, n_draws=n_draws, seed=seed
    )
    known = statics_at(dataset, first.subject_id, first.prediction_time)
    draws = draws_of(first.subject_id, n_draws, seed)
    groups = {
        attribute: by_group(metrics_of(first.outcome), first.outcome, draws, of)
        for attribute, of in attributes_of(known, dataset, group).items()
        if group is not None or n_subjects(first.subject_id, of != UNKNOWN) > SMALL_CELL
    }
    few_tuning = asked.few_tuning
    reasons = withheld(comparison.titles, first.outcome, first.subject_id)
    if few_tuning:
        reasons |= dict.fromkeys({COVERAGE.name, WIDTH.name} & {*comparison.titles}, FEW)
    # what the rate of the training labels is right about is how many there are
    told = [name for name in settled if name != PREVALENCE or not (few_tuning or PREVALENCE in reasons)]
    settled = {name: settled[name].without(reasons, few_tuning) for name in told}
    return EvaluateResult(
        comparison.without(reasons), Path(), (), settled=settled, groups=groups,
        n_tuning=None if few_tuning else int((~asked.measured).sum()), fewer=fewer and fewer.without(reasons),
    )  # fmt: skip
