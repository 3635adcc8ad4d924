"""`tawt demo`, the first command of the README, from its first line to its last."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tawt.commands import demo as demos
from tawt.commands import demo_images, demo_place
from tawt.config.load import dump
from tawt.config.named import resolve_config
from tawt.errors import ConfigError
from tawt.files import alone, write_sealed


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's own config, ended after four steps of a small model."""
    settings = (
        "train.max_steps=4", "train.threads=1", "train.checkpoint_every=2", "train.validate_every=2", "model.d_model=16",
        "model.n_heads=2", "model.n_layers=1", "model.d_ffn=32", "batching.tokens_per_batch=1024", "batching.max_length=256",
    )  # fmt: skip
    path = tmp_path / "short.yaml"
    path.write_text(dump(resolve_config(demos.CONFIG, settings)[1]))
    monkeypatch.setattr(demos, "CONFIG", str(path))


def test_a_demo_makes_everything_and_the_next_one_replaces_it(short: None, tmp_path: Path, tawt, monkeypatch) -> None:
    """Hospital, events, dataset, run and embeddings are there and pass `check`; said are the counts and what to ask next;
    a second demo removes all of it before its first step."""
    work = tmp_path / "w"
    words = ("demo", "-w", work, "--subjects", 12, "--device", "cpu", "--threads", 1)
    first = tawt(*words)
    assert first.code == 0, first.err
    assert first.err.splitlines()[-1].startswith("next: tawt label ")
    for said in (
        "invented subjects",
        "12 (seed 0)",
        "triplets in mapped shards",
        "loss on train",
        "embeddings",
        "time",
    ):
        assert said in first.out, said
    assert len(pq.read_table(work / "embeddings" / "demo.parquet")) == 12
    assert (work / "runs" / "demo" / "model.safetensors").is_file()
    assert tawt("check", "-w", work).code == 0
    plan = tawt(*words, "--dry-run")
    assert plan.code == 0 and "it replaces an earlier demo" in plan.out

    def stopped(*_: object, **__: object) -> None:
        assert sorted(path.name for path in work.iterdir()) == [".lock", "hospital.json"]
        raise KeyboardInterrupt

    monkeypatch.setattr(demos, "write_hospital", stopped)
    assert tawt(*words).code == 130
    # stopped at its first step, it is still known as a demo, which the next one replaces
    assert "it replaces an earlier demo" in tawt(*words, "--dry-run").out


def test_a_demo_with_images_ends_beside_what_can_be_told(tmp_path: Path, tawt, monkeypatch) -> None:
    """Runs that look at the record, at images and at both stand beside the best answers on the same people; broken files
    are in quarantine; what is known lies in `hospital.json` alone."""
    small = ("model.d_model=16", "model.n_heads=2", "model.n_layers=1", "model.d_ffn=32", "model.pooling=mean")
    monkeypatch.setattr(
        demo_images, "STEPS", (*demo_images.STEPS, *small, "train.max_steps=2", "train.validate_every=2")
    )
    monkeypatch.setattr(demo_images, "EPOCHS", dict.fromkeys(demo_images.EPOCHS, 1.0))
    tiny = ("modalities.image.size=16", "modalities.image.cnn.n_stages=1", "modalities.image.cnn.width=8")
    monkeypatch.setattr(demo_images, "PICTURES", tiny)
    work = tmp_path / "w"
    words = ("demo", "--images", "-w", work, "--subjects", 150, "--device", "cpu", "--threads", 1)
    done = tawt(*words)
    assert done.code == 0, done.err
    assert done.err.splitlines()[-1].startswith("next: tawt evaluate in_hospital_mortality_24h ")
    assert "path:truncated 1, path:unknown_format 1" in done.out
    rows = [line.split("  ") for line in done.out.splitlines() if "[" in line and line.startswith(("record", "images"))]
    assert [row[0] for row in rows] == ["record and images", "record", "images"]
    truth = json.loads((work / "hospital.json").read_text())
    best = [f"{truth['best_auc'][name]:.3f}" for name in ("both", "record", "image")]
    assert [one in row for one, row in zip(best, rows, strict=True)] == [True] * 3 and len(truth["truth"]) == 150
    assert tawt("check", "-w", work).code == 0
    plan = tawt(*words, "--dry-run")
    assert plan.code == 0 and "150 subjects and chest pictures" in plan.out and "it replaces" in plan.out
    assert tawt("demo", "--images", "-w", tmp_path / "x", "--subjects", 50).code == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("images", "n", "seed"), [(False, 9, 0), (True, 99, 0), (True, None, -1)])
def test_who_cannot_be_invented_is_said_before_a_demo_is_replaced(images, n, seed, tmp_path: Path) -> None:
    """So few subjects, or such a seed, are refused by the plan and by the demo alike, and an earlier demo stays."""
    write_sealed(tmp_path / "hospital.json", {})
    (tmp_path / "events").mkdir()
    for ask in (demos.demo_plan, demos.demo):
        with pytest.raises(ConfigError, match=r"expected at least|expected 0 or more"):
            ask(tmp_path, images=images, n_subjects=n, seed=seed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "hospital.json"]


@pytest.mark.parametrize("lock", ["runs/mine/.lock", "runs/sweep/.lock", "embeddings/.mine.parquet.lock"])
def test_a_demo_at_work_is_not_replaced(lock: str, tmp_path: Path) -> None:
    """While a run, a sweep or embeddings below an earlier demo are being written, nothing of it is removed."""
    write_sealed(tmp_path / "hospital.json", {})
    (tmp_path / lock).parent.mkdir(parents=True)
    before = (tmp_path / "hospital.json").read_bytes()
    with alone(tmp_path / lock), pytest.raises(ConfigError, match="is in use by another tawt command"):
        demos.demo(tmp_path, device="cpu")
    assert (tmp_path / lock).exists() and (tmp_path / "hospital.json").read_bytes() == before


@pytest.mark.parametrize("new", ["runs/mine/config.yaml", "runs/demo/plots/losses.png", "embeddings/mine.parquet"])
@pytest.mark.parametrize("when", ["before it is locked", "before it is removed"])
def test_what_begins_while_a_demo_is_replaced_stays(new: str, when: str, tmp_path: Path, monkeypatch) -> None:
    """A run, a figure or embeddings that come after the earlier demo was looked at end the new one, and are left, as is
    what they are made from."""
    write_sealed(tmp_path / "hospital.json", {})
    for old in ("runs/demo/model.safetensors", "runs/demo/.lock", "embeddings/demo.parquet", "dataset/dataset.json"):
        (tmp_path / old).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / old).write_text("old")
    taken = demo_place._taken

    def later(lock: Path):
        if when == "before it is locked":
            begin()
        return taken(lock)

    def begin() -> None:
        (tmp_path / new).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / new).write_text("mine")

    rmdir = Path.rmdir

    def removing(path: Path) -> None:
        if when == "before it is removed" and not (tmp_path / new).exists():
            begin()
        rmdir(path)

    monkeypatch.setattr(demo_place, "_taken", later)
    monkeypatch.setattr(Path, "rmdir", removing)
    with pytest.raises(ConfigError, match="is in use by another tawt command"):
        demos.demo(tmp_path, device="cpu")
    assert (tmp_path / new).read_text() == "mine" and (tmp_path / "dataset" / "dataset.json").read_text() == "old"
    assert [path.name for path in tmp_path.rglob("*.lock") if path.parent != tmp_path] in ([], [".lock"])


def test_a_demo_that_is_refused_leaves_no_locks(tmp_path: Path) -> None:
    """Of a workspace in which one run is at work nothing is changed, and no lock is left in another."""
    write_sealed(tmp_path / "hospital.json", {})
    for folder in ("runs/a/checkpoints", "runs/z"):
        (tmp_path / folder).mkdir(parents=True)
    with alone(tmp_path / "runs" / "z" / ".lock"), pytest.raises(ConfigError, match="z: is in use by another"):
        demos.demo(tmp_path, device="cpu")
    assert [path.parent.name for path in (tmp_path / "runs").rglob(".lock")] == ["z"]
