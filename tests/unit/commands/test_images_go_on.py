"""A run that looks at images goes on: with new data_types its tables grow, in another place it reads what lies there."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

import tawt
from tawt.config.load import build
from tawt.config.train import PretrainConfig
from tawt.modalities.encoders.made import make_modalities, save_weights
from tests.unit.places import HOUR, write_place

NUMBER = lambda rng: float(rng.normal(100, 15))  # noqa: E731
OLD = {"LAB//SODIUM": ("Sodium", None, NUMBER, "mmol/L"), "LAB//GLUCOSE": ("Glucose", None, NUMBER, "mg/dL")}
NEW = OLD | {"LAB//NA": ("Sodium in whole blood", None, NUMBER, "mmol/L")}
IMAGE = {"size": 16, "d_embedding": 16, "augment": 0.0, "cnn": {"n_stages": 2, "width": 8}}
N = 60


def write_images(raw: Path, kinds: tuple[str, ...]) -> Path:
    """Add an image of each kind to two in three people, hours after their first values."""
    (raw / "images").mkdir(parents=True, exist_ok=True)
    arrays = np.random.default_rng(5).integers(0, 255, (len(kinds) * N, 16, 16), dtype=np.uint8)
    np.savez(raw / "images" / "set.npz", shown=arrays)
    with (raw / "images" / "manifest.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("subject_id", "time", "path", "member", "row", "kind"))
        for k, kind in enumerate(kinds):
            for subject in range(1, N + 1):
                if subject % 3 != 1 and (kind == kinds[0] or subject % 3 == 0):
                    out.writerow((subject, "1970-01-09 00:00:00", "images/set.npz", "shown", k * N + subject - 1, kind))
    return raw


def config(paired: float, masked: float, weights: str = "") -> PretrainConfig:
    """A small config of pairs, of images at their events, or of both."""
    tree = {
        "model": {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16},
        "batching": {"tokens_per_batch": 4096, "max_length": 512},
        "modalities": {"image": {**IMAGE, "weights": weights}, "fusion": {"d_content": 16}},
        "objective": {"masked": {"weight": masked}, "paired": {"weight": paired, "d_projection": 8}},
        "train": {"max_steps": 2, "lr": 0.01, "threads": 1, "validate_every": 2, "health_every": 0},
    }
    return build(PretrainConfig, tree, "test")


@pytest.fixture(scope="module")
def shorter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with two data_types and images, a run of pairs that began at a file which is gone, one of images at their
    events, and one that learned a task by a gate."""
    root = tmp_path_factory.mktemp("shorter")
    raw, w, file = write_images(write_place(root / "raw", OLD), ("cxr",)), root / "w", root / "image.safetensors"
    tawt.ingest(raw, "image", w, threads=1)
    tawt.build_vocab(w, threads=1)
    pairs = config(1, 0, str(file))
    save_weights(make_modalities(config(1, 0).modalities, 7)[0], file)
    tawt.pretrain(w, pairs, device="cpu", out=w / "runs" / "pairs")
    file.unlink()
    tawt.pretrain(w, config(0, 1), device="cpu", out=w / "runs" / "token")
    finetune(w, "pairs", "gate")
    return w


def finetune(w: Path, run: str, name: str) -> Path:
    """Learn a task by a gate, a step."""
    rows = [(subject, 9 * 24 * HOUR, subject % 2 == 0) for subject in range(1, N + 1)]
    subject, time, value = zip(*rows, strict=True)
    table = {"subject_id": subject, "prediction_time": pa.array(time, pa.timestamp("us")), "boolean_value": value}
    pq.write_table(pa.table(table), w.parent / "task.parquet")
    settings = ("train.max_steps=1", "train.threads=1", "train.final=last", "train.keep_best=0", "train.patience=0")
    return tawt.finetune(w, w.parent / "task.parquet", run, fusion="gate", device="cpu", settings=settings,
                         out=w / "runs" / name).run  # fmt: skip


@pytest.fixture(scope="module")
def longer(shorter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a laboratory value and a kind of images more, of every third person."""
    root = Path(shutil.copytree(shorter, tmp_path_factory.mktemp("longer") / "w"))
    raw = write_images(write_place(root.parent / "raw", NEW, rare=("LAB//NA",)), ("cxr", "mr"))
    tawt.ingest(raw, "image", root, threads=1)
    tawt.build_vocab(root, extend=True, threads=1)
    return root


@pytest.mark.parametrize("name", ["pairs", "token", "gate"])
def test_tables_grow_and_what_is_known_of_images_stays(shorter: Path, longer: Path, tmp_path: Path, name: str) -> None:
    """Two rows more in each table, the image's encoder and what joins to the bit; who has nothing new keeps the embedding,
    but for rounding where an image was encoded beside others."""
    result = tawt.extend(longer, name)
    assert {one.data_type for one in result.grown} == {"LAB//NA", "IMAGE//mr"}
    before, after = (load_file(run / "model.safetensors") for run in (shorter / "runs" / name, result.run))
    assert before.keys() == after.keys()
    table = "encoder.embedding.data_type.weight"
    assert len(after[table]) == len(before[table]) + 2 and after[table][: len(before[table])].equal(before[table])
    beside = [one for one in before if ".beside." in one or one.startswith("heads.pairs.")]
    assert beside and all(after[one].equal(before[one]) for one in beside)
    old = pq.read_table(tawt.embed(shorter, name, device="cpu", out=tmp_path / "old.parquet").path)
    new = pq.read_table(tawt.embed(longer, result.run, device="cpu", out=tmp_path / "new.parquet").path)
    assert old["subject_id"].equals(new["subject_id"])
    one, other = (np.array(table["embedding"].to_pylist()) for table in (old, new))
    apart, group = np.abs(one - other).max(1), np.array(old["subject_id"].to_pylist()) % 3
    assert (apart[group == 1] == 0).all() and apart[group == 2].max() < 1e-6 and (apart[group == 0] > 1e-5).all()
    assert all(finding.ok for finding in tawt.check(longer)), [f for f in tawt.check(longer) if not f.ok]


def test_what_was_extended_goes_on(longer: Path) -> None:
    """A run of pairs learns on with the new kind of images, and a task begins at its encoders."""
    run = tawt.extend(longer, "pairs", name="wider").run
    grown = load_file(run / "model.safetensors")
    more = tawt.pretrain(longer, config(1, 1), init=run, device="cpu", out=longer / "runs" / "more")
    assert more.metrics["train"]["n_paired"] > 0
    learned = finetune(longer, "wider", "answers")
    first = load_file(learned / "model.safetensors")
    image = [one for one in grown if ".beside.modalities." in one]
    assert image and all((first[one] - grown[one]).abs().max() < 2e-3 for one in image)


@pytest.mark.parametrize("name", ["token", "gate"])
def test_images_of_another_place_are_read_there(shorter: Path, tmp_path: Path, name: str) -> None:
    """The same people in a place of another vocabulary, under a run of the first: the same embeddings, and others once their
    images are gone; who has something new there has another one."""
    place = tmp_path / "w"
    raw = write_images(write_place(tmp_path / "raw", {"LAB//AN": OLD["LAB//SODIUM"], **NEW}, rare=("LAB//NA", "LAB//AN")),
                       ("cxr", "mr"))  # fmt: skip
    tawt.ingest(raw, "image", place, threads=1)
    tawt.build_vocab(place, threads=1)

    def told(workspace: Path) -> tuple[np.ndarray, np.ndarray]:
        run = shorter / "runs" / name
        table = pq.read_table(tawt.embed(workspace, run, device="cpu", out=tmp_path / "e.parquet").path)
        (tmp_path / "e.parquet").unlink()
        return np.array(table["embedding"].to_pylist()), np.array(table["subject_id"].to_pylist()) % 3

    own, group = told(shorter)
    other, _ = told(place)
    blind = Path(shutil.copytree(shorter, tmp_path / "blind"))
    shutil.rmtree(blind / "content_events")
    apart, unseen = np.abs(own - other).max(1), np.abs(own - told(blind)[0]).max(1)
    assert (apart[group == 1] == 0).all() and (apart[group == 0] > 1e-5).all()
    assert apart[group == 2].max() < 1e-6 and (unseen[group == 2] > 1e-5).all() and (unseen[group == 1] == 0).all()
