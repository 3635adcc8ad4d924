"""What is loaded is what was written: runs, checkpoints and shared models are held to their hashes before use."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands.embed import embed
from tawt.commands.pretrain import pretrain
from tawt.contracts.run import say_unfinished
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, TrainingError
from tawt.runs import embedding
from tawt.runs.hub import TawtModel
from tawt.seals import LIST, changed_files


@pytest.fixture
def run(workspace, config) -> Path:
    """A finished run."""
    return pretrain(workspace, config, device="cpu", out=workspace / "runs" / "r").run


def flip(path: Path, at: int = -1) -> None:
    """Flip the lowest bit of a byte: of a number it stays a number."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def refused(path: Path, use) -> None:
    """Hold that a use ends with one line that names the file, and with what mends it."""
    with pytest.raises(CheckpointError, match="as it was written") as error:
        use()
    assert error.value.where == str(path) and error.value.hint


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "vocabulary.parquet"])
def test_a_finished_run_is_loaded_as_it_was_written(workspace, config, run, name, tmp_path):
    """A bit that turned in the weights, the config or the vocabulary ends embed, sharing, and a start from them."""
    flip(run / name)
    for use in (
        lambda: embed(workspace, run, device="cpu"),
        lambda: TawtModel.from_pretrained(run),
        lambda: pretrain(workspace, config, device="cpu", init="r", out=tmp_path / "new"),
    ):
        refused(run / name, use)
    assert not (workspace / "embeddings").exists() and not (tmp_path / "new").exists()


def test_a_checkpoint_is_loaded_as_it_was_written(workspace, config, broken_off):
    """A bit that turned in a checkpoint ends embed, and resuming before any step; in its optimizer, resuming alone."""
    run = workspace / "runs" / "r"
    broken_off(5, workspace, config, device="cpu", out=run)
    folder = run / "checkpoints" / "step-000004"

    def resumed():
        pretrain(workspace, config, device="cpu", out=run, resume=True)

    embed(workspace, run, device="cpu")
    for name in ("model.safetensors", "optimizer.safetensors"):
        flip(folder / name)
        refused(folder / name, resumed)
        if name == "model.safetensors":
            refused(folder / name, lambda: embed(workspace, run, device="cpu"))
        flip(folder / name)
    state = (folder / "state.json").read_text()
    (folder / "state.json").write_text(state.replace('"threads": 1', '"threads": 3'))
    refused(folder / "state.json", resumed)
    (folder / "state.json").write_text(state)
    (folder / "files.json").unlink()
    with pytest.raises(CheckpointError, match=r"files\.json: is not there"):
        resumed()


def test_a_run_without_its_list_is_not_finished(workspace, config, run):
    """Weights that no list names, as a kill between the two leaves them, give way to the newest checkpoint. Where the
    record of an unfinished run is gone too, nothing holds the files: that is an error, until the run is taken up again."""
    (run / LIST).unlink()
    with pytest.raises(CheckpointError, match=r"files\.json: is not there, nor is unfinished\.json") as error:
        embed(workspace, run, device="cpu")
    assert "pretrain" in error.value.hint and "--resume" in error.value.hint
    say_unfinished(run, 12)
    assert embed(workspace, run, device="cpu").weights == run / "checkpoints" / "step-000012" / "model.safetensors"
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text[: text.rindex("#")])
    refused(run / "config.yaml", lambda: embed(workspace, run, device="cpu"))
    (run / "unfinished.json").unlink()
    pretrain(workspace, config, device="cpu", out=run, resume=True)
    assert embed(workspace, run, device="cpu").weights == run / "model.safetensors"


@pytest.mark.parametrize("name", ["versions.json", "unfinished.json"])
def test_a_record_of_a_run_without_its_seal_is_refused(workspace, config, broken_off, name):
    """Every record has had a seal from the first run on: what has none was written by somebody else."""
    run = workspace / "runs" / "r"
    broken_off(5, workspace, config, device="cpu", out=run)
    about = json.loads((run / name).read_text())
    assert about.pop("seal")
    (run / name).write_text(json.dumps(about))
    refused(run / name, lambda: pretrain(workspace, config, device="cpu", out=run, resume=True))


def test_a_shared_model_is_loaded_as_it_was_written(workspace, run, tmp_path):
    """Another vocabulary under the hash of the old one, a turned bit, and a lost list are refused; the card may be
    edited."""
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    (folder / "README.md").write_text("Where the records come from.")
    embed(workspace, folder, device="cpu")
    path = folder / "vocabulary.parquet"
    kept = path.read_bytes()
    rows, schema = pq.read_table(path).to_pylist(), pq.read_schema(path)
    rows[4]["center"], rows[4]["scale"] = 0.0, 1000.0
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    refused(path, lambda: embed(workspace, folder, device="cpu"))
    path.write_bytes(kept)
    for name in ("model.safetensors", "config.json"):
        shutil.copyfile(folder / name, tmp_path / "kept")
        flip(folder / name) if name == "model.safetensors" else _reword(folder / name)
        refused(folder / name, lambda: TawtModel.from_pretrained(folder))
        shutil.copyfile(tmp_path / "kept", folder / name)
    TawtModel.from_pretrained(folder)
    (folder / "files.json").unlink()
    with pytest.raises(CheckpointError, match=r"files\.json: is not there") as error:
        TawtModel.from_pretrained(folder)
    assert "save_pretrained" in error.value.hint


def _reword(path: Path) -> None:
    path.write_text(path.read_text().replace('"dropout": 0.2', '"dropout": 0.3'))


def test_embedding_that_fails_leaves_no_lock(workspace, run, monkeypatch):
    """Whatever ends the command, nothing stays beside the file that it did not write."""

    def fails(*args):
        raise TrainingError("x", "is not finite, expected numbers")

    monkeypatch.setattr(embedding, "_pooled", fails)
    with pytest.raises(TrainingError):
        embed(workspace, run, device="cpu")
    assert not (workspace / "embeddings").exists()


def test_a_card_that_was_filled_in_stays(workspace, config, run):
    """A finished run whose card was edited, as it asks for, is taken up again; the text of its user stays, which is said,
    and is listed; where it was removed a new one is written."""
    path = run / "README.md"
    path.write_text(path.read_text().replace("to-be-chosen", "odbl"))
    edited = path.read_bytes()
    events: list[dict] = []
    pretrain(workspace, config, device="cpu", out=run, resume=True, report=events.append)
    assert path.read_bytes() == edited and changed_files(run) == []
    assert any("was edited and stays" in event.get("text", "") for event in events)
    path.unlink()
    pretrain(workspace, config, device="cpu", out=run, resume=True)
    assert "to-be-chosen" in path.read_text()


def test_a_finished_run_is_taken_up_again_as_it_was_written(workspace, config, run):
    """What was damaged since is named, for it would be listed as good; figures drawn since are none of the list."""
    (run / "plots").mkdir()
    (run / "plots" / "loss.png").write_bytes(b"drawn")
    pretrain(workspace, config, device="cpu", out=run, resume=True)
    (run / "plots" / "loss.png").write_bytes(b"drawn again")
    assert changed_files(run) == []
    for name in ("packages.txt", "metrics.jsonl", "versions.json", LIST):
        kept = (run / name).read_bytes()
        flip(run / name)
        refused(run / name, lambda: pretrain(workspace, config, device="cpu", out=run, resume=True))
        (run / name).write_bytes(kept)


def test_a_run_that_was_broken_off_is_loaded_and_taken_up_as_it_was_written(workspace, config, run):
    """Without a list yet, config, versions and each line of metrics are held to their own checksums."""
    for name in (LIST, "model.safetensors"):
        (run / name).unlink()
    say_unfinished(run, 12)
    for name, use in {
        "config.yaml": lambda: embed(workspace, run, device="cpu"),
        "versions.json": lambda: pretrain(workspace, config, device="cpu", out=run, resume=True),
    }.items():
        content = (run / name).read_bytes()
        digit = next(m.end() - 1 for m in re.finditer(rb": [0-9]+\b", content))
        flip(run / name, digit)
        refused(run / name, use)
        (run / name).write_bytes(content)
    content = (run / "metrics.jsonl").read_bytes()
    flip(run / "metrics.jsonl", content.index(b'"loss": ') + len('"loss": '))
    with pytest.raises(CheckpointError, match="is damaged, expected a line of metrics") as error:
        pretrain(workspace, config, device="cpu", out=run, resume=True)
    assert error.value.where == f"{run / 'metrics.jsonl'}:1"


@pytest.mark.parametrize("name", ["dataset.json", "train/00000.arrow", "tuning/00000.index.arrow"])
def test_a_dataset_that_is_written_to_in_place_has_changed(workspace, name):
    """Of the same size and with the time of writing set back, it is noticed all the same; and so is one that is gone."""
    dataset = open_dataset(workspace)
    assert not dataset.has_changed()
    path = dataset.folder / name
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns and dataset.has_changed()
    path.unlink()
    assert dataset.has_changed()
