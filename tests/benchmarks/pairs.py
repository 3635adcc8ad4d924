"""Whether pairs of records and images learn what a hundred labels do not: invented records before the images of PneumoniaMNIST.

    OMP_NUM_THREADS=1 python tests/benchmarks/pairs.py --data FOLDER --out FOLDER [--seeds 3] [--steps 240]

`--data` holds the npz file of the set. Each image ends a record of 4 to 8 hours whose numbers lie a little off where
there is pneumonia. An encoder is pretrained by `masked`, and from there by pairs; then a hundred labels are learned from
the record alone, and by a gate from an image encoder of nothing, of pairs, and of pairs frozen.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

import tawt
from tawt.dataset.reader import open_dataset
from tawt.heads.labels import read_labels
from tawt.runs.answer import answer, load_task
from tawt.training.device import choose_compute

SPLITS = {"train": "train", "val": "tuning", "test": "held_out"}
COMMON = (
    "model.d_model=64", "model.n_layers=2", "model.n_heads=4", "model.d_ffn=128", "model.dropout=0.1", "train.threads=1",
    "batching.tokens_per_batch=4096", "batching.max_length=128", "train.accumulate_tokens=0",
    "train.validate_every=80", "train.validate_batches=2",
)  # fmt: skip
PAIRS = ("objective.masked.weight=0", "objective.paired.weight=1", "objective.paired.temperature=0.2",
         "objective.paired.whole_share=0", "modalities.image={}", "train.lr=2e-3")  # fmt: skip
FEW = ("train.threads=1", "batching.tokens_per_batch=1024", "train.accumulate_tokens=0", "train.max_steps=75",
       "train.validate_every=25", "train.checkpoint_every=75")  # fmt: skip
ARMS = {
    "record": ("plain", None, ()), "gate, from nothing": ("plain", "gate", ()), "gate, from pairs": ("pairs", "gate", ()),
    "gate, from pairs, frozen": ("pairs", "gate", ("modalities.image.frozen=true",)),
}  # fmt: skip
N_LABELS, N_TUNING = 100, 50
Label = tuple[int, datetime, bool, str]


def invent(data: Path, raw: Path) -> list[Label]:
    """Write a MEDS dataset with a table of images, and return what is asked: subject, time, answer and split."""
    for folder in ("data", "images", "metadata"):
        (raw / folder).mkdir(parents=True)
    (file,) = data.glob("*.npz")
    shutil.copy(file, raw / "images" / "set.npz")
    rng, rows, images, labels = np.random.default_rng(15), [], [], []
    with np.load(file) as arrays:
        sick = {name: arrays[f"{name}_labels"][:, 0].tolist() for name in SPLITS}
    for name, split in SPLITS.items():
        for i, ill in enumerate(sick[name]):
            subject, begun = len(labels) + 1, datetime(2150, 1, 1) + timedelta(hours=int(rng.integers(0, 8000)))
            n_hours, own = int(rng.integers(4, 9)), rng.normal(size=3)
            rows.append((subject, None, f"GENDER//{'MF'[rng.integers(2)]}", None))
            for hour in range(n_hours):
                at, noise = begun + timedelta(hours=hour), rng.normal(size=4)
                rows += [
                    (subject, at, "LAB//crp", float(np.exp(2.6 + 0.9 * ill + 0.7 * own[0] + 0.4 * noise[0]))),
                    (subject, at, "TEMP", 37.2 + 0.5 * ill + 0.6 * own[1] + 0.3 * noise[1]),
                    (subject, at, "SPO2", 96.5 - 1.2 * ill + 1.5 * own[2] + 0.6 * noise[2]),
                ]
                rows += [(subject, at, "HR", 88 + 10 * noise[3])] if rng.random() < 0.5 else []
            taken = begun + timedelta(hours=n_hours)
            images.append((subject, taken, taken + timedelta(minutes=40), "images/set.npz", f"{name}_images", i, "cxr"))
            labels.append((subject, taken + timedelta(hours=2), bool(ill), split))
    _write(raw / "data" / "0.parquet", rows, {"subject_id": pa.int64(), "time": pa.timestamp("us"), "code": pa.string(),
                                              "numeric_value": pa.float32()})  # fmt: skip
    _write(raw / "metadata" / "subject_splits.parquet", [(one[0], one[3]) for one in labels],
           {"subject_id": pa.int64(), "split": pa.string()})  # fmt: skip
    with (raw / "images" / "manifest.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerows([("subject_id", "time", "available_time", "path", "member", "row", "kind"), *images])
    return labels


def _write(path: Path, rows: list[tuple], types: dict[str, pa.DataType]) -> None:
    columns = zip(*rows, strict=True)
    pq.write_table(pa.table([pa.array(c, t) for c, t in zip(columns, types.values(), strict=True)], [*types]), path)


def write_labels(path: Path, labels: list[Label]) -> Path:
    """Write labels, and return where."""
    _write(path, [one[:3] for one in labels], {"subject_id": pa.int64(), "prediction_time": pa.timestamp("us"),
                                               "boolean_value": pa.bool_()})  # fmt: skip
    return path


def few_of(labels: list[Label], seed: int) -> list[Label]:
    """Return so many labels of train and of tuning, drawn by a seed, and all of held_out."""
    chosen = [one for one in labels if one[3] == "held_out"]
    for split, n in (("train", N_LABELS), ("tuning", N_TUNING)):
        own = [one for one in labels if one[3] == split]
        chosen += [own[i] for i in np.random.default_rng(seed).permutation(len(own))[:n]]
    return chosen


def main() -> None:
    """Invent, pretrain twice, and print an AUROC for each arm and each draw of labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=240)
    given = parser.parse_args()
    work, start = given.out / "w", time.process_time()
    labels = invent(given.data, given.out / "raw")
    tawt.ingest(given.out / "raw", "image", work, threads=1)
    tawt.build_vocab(work, threads=1)
    (given.out / "plain.yaml").write_text("{}\n")  # as configs are without a preset
    for name, steps, init, more in (("plain", 400, None, ("train.lr=1e-3",)), ("pairs", given.steps, "plain", PAIRS)):
        settings = (*COMMON, *more, f"train.max_steps={steps}", f"train.checkpoint_every={steps}")
        tawt.pretrain(
            work, given.out / "plain.yaml", device="cpu", settings=settings, init=init, out=work / "runs" / name
        )
    told = read_labels(write_labels(given.out / "all.parquet", labels))
    held, cpu = open_dataset(work).split("held_out"), choose_compute("cpu", "fp32", 1)
    for seed in range(given.seeds):
        few = write_labels(given.out / f"few{seed}.parquet", few_of(labels, seed))
        for arm, (run, fusion, more) in ARMS.items():
            out = work / "runs" / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}"
            made = tawt.finetune(work, few, run, fusion=fusion, device="cpu", out=out,
                                 settings=(*FEW, f"train.seed={seed}", *more))  # fmt: skip
            rows, said, _ = answer(load_task(made.run), held, told, cpu)
            auroc = roc_auc_score(told.value[rows].reshape(-1), said[:, -1])
            print(f"labels {seed} | {arm} | {auroc:.3f} | {time.process_time() - start:.0f} CPU s so far", flush=True)


if __name__ == "__main__":
    main()
