"""`tawt extend`: a run -> a run that knows the data_types which a longer vocabulary has beside its own."""

from __future__ import annotations

import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from tawt.arrays import Ints
from tawt.batching.left import make_cutter
from tawt.batching.loader import PackedLoader
from tawt.config.base import one_or_more
from tawt.config.load import dump
from tawt.config.train import PretrainConfig
from tawt.contracts.cells import Part, together
from tawt.contracts.dataset import VOCABULARY
from tawt.dataset.likeness import Began, Init, beginnings
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError, nearest
from tawt.files import publish, whole, write_hashes, write_sealed, write_text, written_aside
from tawt.heads.lora import merged
from tawt.heads.task import TASK
from tawt.machine import version_of
from tawt.models.grow import Growth, hold_longer, is_counted
from tawt.models.readout import readout_types
from tawt.objectives.baselines import SAMPLE_BATCHES, count_baselines, forecast_types
from tawt.objectives.pretrain_model import build_model
from tawt.pipeline.fresh import hold_fresh
from tawt.runs.card import write_card
from tawt.runs.find import find_run
from tawt.runs.learned import read_task
from tawt.runs.load import Saved, load_encoder, read_saved
from tawt.seals import BLANK, filled, sha256_file
from tawt.shell import command
from tawt.training.checkpoint import WEIGHTS, read_tensors, write_tensors
from tawt.training.choices import loader_config
from tawt.training.outputs import is_run, refuse_no_run
from tawt.training.versions import Start, Versions, write_versions
from tawt.transforms.extend import is_named

GROWN = "grown.json"
"""File of a run that says how each of its new rows began."""
_OTHER = "give another name with `--name NAME`"


@dataclass(frozen=True)
class Grown:
    """One new data_type, or what an old one has more."""

    data_type: str
    """Its code; those of few people are together."""
    means: str | None
    """What the source's dictionary says of it."""
    how: str
    """similar, family, parents, text, random; or what an old one has more."""
    sources: tuple[str, ...]
    """What it began from, by weight, the heaviest first."""
    n_rows: int | None
    """Its rows in train; None = all of few people."""


@dataclass(frozen=True)
class ExtendResult:
    """What `extend` made."""

    run: Path
    """The new run folder."""
    grown: tuple[Grown, ...]
    """What is new, and how it began."""
    ways: dict[str, int]
    """How many new data_types began how."""
    n_unknown: int | None
    """Rows of train that the run read as [UNK]; None = all of few people."""
    n_rows: int
    """Rows of train."""


def extend(
    workspace: Path,
    run: str | Path,
    *,
    init: Init = "similar",
    similar: str | Sequence[str] = (),
    name: str | None = None,
    seed: int = 0,
    stale_ok: bool = False,
    dry_run: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> ExtendResult:
    """Give a run rows for the data_types that `tawt build-vocab --extend` added to its vocabulary.

    Every old row stays, and the embedding is as wide as it was: of a subject without anything new it is the same, bit
    for bit. The new run can be embedded with, fine-tuned, and pretrained further from (`pretrain --init`).

    Args:
        workspace: Its vocabulary goes on from the run's.
        run: A run folder, the name of one in WORKSPACE/runs, or a shared model.
        init: What new rows begin from: data_types of the same family, those that share a parent, those with a
            description alike, or nothing but the spread of the old rows.
        similar: `NEW=OLD`: a new data_type that begins as this old one, whatever `init` says.
        name: Of the new run in WORKSPACE/runs; RUN-extended by default.
        seed: Of what is drawn at random.
        stale_ok: Also where the dataset is older than what it was made from.
        dry_run: Only say how rows would begin.
        report: Hears notes.

    Raises:
        CheckpointError: The run is absent or broken, or the workspace's vocabulary does not go on from its own.
        ConfigError: There is nothing new, a name is taken, or `similar` names what is not there.
        DatasetError: The dataset is absent or broken.
        StaleError: The dataset is older than what it was made from.
    """
    workspace = Path(workspace)
    if init not in get_args(Init):
        ways = get_args(Init)
        raise ConfigError(f"--init {init}", f"is none, expected one of {', '.join(ways)}", nearest(init, ways))
    folder = find_run(workspace, run)
    saved, dataset = read_saved(folder), open_dataset(workspace)
    hold_fresh(workspace, stale_ok, lambda text: report({"event": "note", "text": text}) if report else None)
    old, new = saved.vocabulary, dataset.vocabulary
    hold_longer(str(folder), old, new, f"`{command('build-vocab', '--extend', run, workspace=workspace)}`")
    if new.content == old.content:
        raise ConfigError(
            str(folder), "knows all that the vocabulary has, expected something new",
            f"use it as it is: `{command('embed', workspace=workspace, run=run)}`",
        )  # fmt: skip
    place = workspace / "runs" / (name or f"{folder.resolve().name}-extended")
    _hold_new(place, workspace)
    pairs = dict(_pair(text) for text in one_or_more(similar))
    began = beginnings(old, new, init, pairs)
    counts = _counts(dataset)
    how_many = dict(Counter(one.how for one in began).most_common())
    grown, n_unknown = _told(old, new, began, counts)
    result = ExtendResult(place, grown, how_many, n_unknown, int(counts.sum()))
    if report and init != "random" and "random" in how_many:
        report({"event": "note", "text": _unlike(init, how_many)})
    if dry_run:
        return result
    config = _config(saved, new)
    n_before, n_now = (c.objective.forecast.n_types for c in (saved.config, config))
    columns = forecast_types(old, n_before), forecast_types(new, n_now)
    growth = Growth(old, new, began, columns, _counted(dataset, config, folder), torch.Generator().manual_seed(seed))
    in_use = ConfigError(
        str(place), "is being written by another process, expected to write it alone", f"wait for it, or {_OTHER}"
    )
    with written_aside(place, in_use) as aside:
        _hold_new(place, workspace)
        _write(aside, folder, saved, config, new, growth, result, seed)
        publish(aside, place)
    return result


def _hold_new(place: Path, workspace: Path) -> None:
    if is_run(place):
        raise ConfigError(str(place), "is there already, expected a new run", _OTHER)
    refuse_no_run(place, workspace)
    if place.exists() and any(place.iterdir()):
        raise ConfigError(str(place), "holds a run that was broken off, expected a new one", f"remove it, or {_OTHER}")


def _write(
    run: Path, start: Path, saved: Saved, config: PretrainConfig, new: Vocabulary, growth: Growth, result: ExtendResult,
    seed: int,
) -> None:  # fmt: skip
    write_text(run / "config.yaml", filled(f"{dump(config)}# {BLANK}\n"))
    with whole(run / VOCABULARY) as aside:
        aside.write_bytes(new.content)
    if (start / TASK).is_file():
        shutil.copyfile(start / TASK, run / TASK)
    write_tensors(growth.grow(merged(read_tensors(saved.weights))), run / WEIGHTS)
    told = [vars(one) | {"sources": list(one.sources)} for one in result.grown]
    write_sealed(run / GROWN, {"n_unknown": result.n_unknown, "n_rows": result.n_rows, "grown": told})
    packages = {name: version_of(name) for name in ("tawt", "torch", "numpy", "pyarrow")}
    write_versions(run, Versions(
        packages=packages, python=platform.python_version(), machine=platform.machine(), device="cpu", precision="fp32",
        threads=1, processes=1, seed=seed, vocabulary=new.sha256, reasons={},
        init=Start(weights=os.path.relpath(saved.weights, result.run), sha256=sha256_file(saved.weights)),
    ))  # fmt: skip
    write_card(run)
    write_hashes(run)
    load_encoder(run)  # else it is told here, and not when it is used


def _counted(dataset: TripletDataset, config: PretrainConfig, run: Path) -> dict[str, Tensor]:
    """Return the biases that a fresh model of the vocabulary begins at, by name."""
    train, vocabulary, seed = dataset.split("train"), dataset.vocabulary, config.train.seed
    loader = PackedLoader(
        train, vocabulary, loader_config(config, True), seed, with_available=bool(config.objective.forecast.weight),
        cutter=make_cutter(config, True),
    )  # fmt: skip
    sample = (loader.batch(number) for number in range(SAMPLE_BATCHES))
    fresh = build_model(config, vocabulary, seed, read_task(run) if (run / TASK).is_file() else None)
    fresh.start_at(
        count_baselines(
            train.shards,
            vocabulary,
            config.objective,
            sample,
            people=train.people,
        )
    )
    return {name: parameter.detach() for name, parameter in fresh.named_parameters() if is_counted(name)}


def _config(saved: Saved, new: Vocabulary) -> PretrainConfig:
    """Return the run's config, which says now what it left to its vocabulary.

    The readout keeps its data_types, by name, and as many more are forecast as are new. Of which data_types a decoder
    is told how due they are stays as it was.
    """
    config, old = saved.config, saved.vocabulary
    model, objective = config.model, config.objective
    if model.pooling == "per_type":
        types = tuple(old.codes[i] for i in readout_types(model.readout, old))
        model = model.model_copy(update={"readout": model.readout.model_copy(update={"types": types})})
    n_numbers = int((new.n_bins > 0).sum() - (old.n_bins > 0).sum())
    n_types = max(objective.forecast.n_types, len(forecast_types(old, objective.forecast.n_types)) + n_numbers)
    forecast = objective.forecast.model_copy(update={"n_types": n_types})
    told = {name: min(getattr(objective.next, name), len(old)) for name in ("n_due", "n_later")}
    following = objective.next.model_copy(update=told)
    objective = objective.model_copy(update={"forecast": forecast, "next": following})
    return config.model_copy(update={"model": model, "objective": objective})


def _pair(text: str) -> tuple[str, str]:
    new, found, old = text.partition("=")
    if not found:
        raise ConfigError(f"--similar {text}", "names one data_type, expected NEW=OLD", "as `--similar NEW=OLD`")
    return new.strip(), old.strip()


def _counts(dataset: TripletDataset) -> Ints:
    """Return the rows of train of each data_type."""
    counts = np.zeros(len(dataset.vocabulary), dtype=np.int64)
    for shard in dataset.split("train").shards:
        counts += np.bincount(shard.data_type, minlength=len(counts))
    return counts


def _told(
    old: Vocabulary, new: Vocabulary, began: Sequence[Began], counts: Ints
) -> tuple[tuple[Grown, ...], int | None]:
    """Return what is new, and how many rows of train the run did not know, as far as both can be told."""
    table = new.table()
    n_subjects, means = table["n_subjects"].to_pylist(), table["description"].to_pylist()
    told: list[Grown] = []
    for i in range(len(old)):
        more = len(new.categories[i]) - len(old.categories[i])
        what = [f"{more:,} more categories, as OTHER"] if more else []
        what += ["numbers"] if new.n_bins[i] and not old.n_bins[i] else []
        if what and is_named(n_subjects[i]):
            told.append(Grown(old.codes[i], means[i], " and ".join(what), (), int(counts[i])))
    parts = {one.data_type: Part(new.codes[one.data_type], int(counts[one.data_type]), n_subjects[one.data_type])
             for one in began}  # fmt: skip
    gone, name, n_rows = together([*parts.values()])
    for one in began:
        if (part := parts[one.data_type]).name not in gone:
            heaviest = np.argsort(-np.array(one.weights), kind="stable")
            sources = tuple(old.codes[one.sources[k]] for k in heaviest)
            told.append(Grown(part.name, means[one.data_type], one.how, sources, part.n_rows))
    if hows := sorted({one.how for one in began if parts[one.data_type].name in gone}):
        told.append(Grown(name, None, " and ".join(hows), (), n_rows))
    return (*told,), None if gone and n_rows is None else sum(part.n_rows for part in parts.values())


_NOTHING = {
    "similar": "no old code is alike up to the last `//`", "parents": "no old data_type shares a parent code",
    "text": "no old description is alike",
}  # fmt: skip


def _unlike(init: str, ways: Mapping[str, int]) -> str:
    """Return how many found nothing to begin from, and what else there is."""
    n, others = ways["random"], " or ".join(f"`--init {other}`" for other in _NOTHING if other != init)
    return (
        f"--init {init} finds nothing for {n:,} of {sum(ways.values()):,} new data_types, which begin at random: "
        f"{_NOTHING[init]}; try {others}, or say one by `--similar NEW=OLD`"
    )
