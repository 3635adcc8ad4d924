"""Each step by tawt's own functions, kept under a hash of what it depends on: what is there is not made again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from recipes import BESIDE, Recipe, pretraining
from stays import FEWEST_TRIPLETS, N_FOLDS, SEED, Draw, Fold, Stays

import tawt
from tawt.arrays import Bools, Floats
from tawt.dataset.reader import open_dataset
from tawt.evaluation.metrics import Binary
from tawt.evaluation.predictions import read_predictions
from tawt.files import write_text

TASK = "in_hospital_death"


@dataclass(frozen=True)
class Said:
    """What a model says of the stays that are asked about, and what came."""

    chance: Floats
    died: Bools


def prepare(data: Path, workspace: Path, splits: str = "") -> None:
    """Ingest the sets that are there and fit the vocabulary, with the splits of a fold."""
    settings: tuple[str, ...] = ()
    if splits:
        path = workspace.parent / "splits.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != splits:
            write_text(path, splits)
        settings = (f"splits.file={path.resolve()}",)
    tawt.ingest(data, "physionet2012", workspace, settings=settings)
    tawt.build_vocab(workspace)


def long_enough(workspace: Path, stays: Stays) -> Stays:
    """Return the stays that have triplets enough to count."""
    dataset = open_dataset(workspace)
    splits = [dataset.split(name) for name in dataset.split_names]
    kept = np.concatenate([split.subject_ids[split.lengths >= FEWEST_TRIPLETS] for split in splits])
    return stays.of(np.isin(stays.subject_id, kept))


class Steps:
    """The steps of one fold."""

    def __init__(self, folder: Path, fold: Fold) -> None:
        self.workspace, self.fold = folder / "workspace", fold
        self.folder = folder
        self._data = hashlib.sha256((self.workspace / "dataset" / "dataset.json").read_bytes()).hexdigest()

    def pretrained(self, encoder: str, passes: int, seed: int, changes: dict[str, Any]) -> Path:
        """Pretrain on train, or go on where it was left."""
        config = pretraining(encoder, passes, len(self.fold.train), seed, changes)
        run = self.workspace / "runs" / self._hash(config.model_dump_json())
        if not (run / "model.safetensors").exists():
            self._timed(
                f"pretraining, {encoder}, seed {seed}, {config.train.max_steps} steps",
                lambda: tawt.pretrain(self.workspace, config, device="cpu", out=run, resume=run.exists()),
            )
        return run

    def said(self, draw: Draw, recipe: Recipe, run: Path, percent: int, split: str = "held_out") -> Said:
        """Learn the task as a recipe has it, and answer the stays of a split."""
        tuned = self._learned(draw, recipe, run, percent)
        out = self._place(draw, percent) / f"{tuned.name}-{split}"
        if not (out / "evaluation.json").exists():
            self._evaluate(self.labels(draw, percent), tuned, split, out)
        return _read(out / f"{_first(out)}.parquet")

    def beside(self, draw: Draw, run: Path, percent: int, split: str = "held_out") -> dict[str, Said]:
        """Fit baselines to the same labels, and answer the stays of a split; the untrained encoder is of the run's shape."""
        place, found, labels = self._place(draw, percent), {}, self.labels(draw, percent)
        probe = self._learned(draw, Recipe(), run, percent)
        for name in BESIDE:
            out = place / f"{self._hash(name)}-{split}"
            if not (out / "evaluation.json").exists():
                evaluate = partial(self._evaluate, labels, probe, split, out, name)
                self._timed(f"{percent} %, {draw.name}: {name}", evaluate)
            found[name] = _read(out / f"{name}.parquet")
        return found

    def _learned(self, draw: Draw, recipe: Recipe, run: Path, percent: int) -> Path:
        """Learn the task as a recipe has it."""
        settings = ("train.threads=1", *recipe.settings.get(percent, ()))
        epochs = recipe.epochs.get(percent, 1.0)
        tuned = self._place(draw, percent) / "runs" / self._hash(f"{run.name} {recipe.mode} {epochs} {settings}")
        if not (tuned / "model.safetensors").exists():
            labels = self.labels(draw, percent, taught=any("self_training.weight" in one for one in settings))
            learn = partial(
                tawt.finetune, self.workspace, labels, run, mode=recipe.mode, epochs=epochs, settings=settings, device="cpu",
                out=tuned, resume=tuned.exists(),
            )  # fmt: skip
            self._timed(f"{percent} %, {draw.name}: {recipe.mode}", learn)
        return tuned

    def _evaluate(self, labels: Path, run: Path, split: str, out: Path, *baselines: str) -> None:
        tawt.evaluate(
            self.workspace, labels, run, baselines=baselines, device="cpu", out=out, split=split, n_draws=10
        )  # fmt: skip

    def left_out(self, draw: Draw, run: Path, percent: int) -> Said:
        """Return what probes say of those whose labels are given, each by one that was not shown its label."""
        place, parts = self._place(draw, percent), []
        table = pq.read_table(self.labels(draw, percent))
        subject = table["subject_id"].to_numpy()
        part = np.random.RandomState(SEED).permutation(len(draw.fit)) % N_FOLDS
        for i in range(N_FOLDS):
            out = place / f"left_out_{i}_{self._hash(run.name)}"
            own = np.isin(subject, draw.fit[part == i])
            shown, hidden, probe = out / "shown.parquet", out / "hidden.parquet", out / "probe"
            if not (probe / "model.safetensors").exists():
                out.mkdir(parents=True, exist_ok=True)
                pq.write_table(table.filter(pa.array(~own)), shown)
                pq.write_table(table.filter(pa.array(own)), hidden)
                tawt.finetune(
                    self.workspace, shown, run, mode="probe", settings=("train.threads=1",), device="cpu", out=probe,
                    resume=probe.exists(),
                )  # fmt: skip
            if not (out / "said" / "evaluation.json").exists():
                self._evaluate(hidden, probe, "train", out / "said")
            parts.append(_read(out / "said" / f"{_first(out / 'said')}.parquet"))
        return Said(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("chance", "died")))

    def labels(self, draw: Draw, percent: int, *, taught: bool = False) -> Path:
        """Write the labels that are given in a draw, and those that are asked about; others of train are empty where a teacher answers them."""
        path = self._place(draw, percent) / f"{'taught' if taught else 'given'}.parquet"
        if not path.exists():
            table = pa.concat_tables(
                pq.read_table(f) for f in sorted((self.workspace / "labels" / TASK).rglob("*.parquet"))
            )
            subject = table["subject_id"].to_numpy()
            given = np.isin(subject, np.concatenate((draw.fit, draw.stop, self.fold.test)))
            kept = given | (taught & np.isin(subject, self.fold.train))
            hidden = pa.array(~given)
            value = pa.compute.if_else(hidden, pa.scalar(None, pa.bool_()), table["boolean_value"])
            made = table.select(["subject_id", "prediction_time"]).append_column("boolean_value", value)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(made.filter(pa.array(kept)), path)
        return path

    def _place(self, draw: Draw, percent: int) -> Path:
        return self.folder / f"{percent}_percent" / draw.name

    def _hash(self, text: str) -> str:
        return hashlib.sha256(f"{self._data} {text}".encode()).hexdigest()[:12]

    def _timed(self, what: str, step: Callable[[], Any]) -> None:
        began = time.monotonic()
        step()
        seconds = time.monotonic() - began
        print(f"{self.fold.name}: {what}: {seconds:.0f} s", flush=True)
        with (self.folder / "seconds.jsonl").open("a") as file:
            file.write(json.dumps({"step": what, "seconds": round(seconds, 1)}) + "\n")


def _first(evaluation: Path) -> str:
    """Return what an evaluation calls its first run."""
    return str(json.loads((evaluation / "evaluation.json").read_text())["reference"])


def _read(path: Path) -> Said:
    found = read_predictions(path).outcome
    assert isinstance(found, Binary)
    return Said(np.asarray(found.score), np.asarray(found.truth, dtype=np.bool_))
