"""A model that is saved, loaded and shared: the same bits out, and nothing in it that points at a patient."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors import safe_open

from tawt.batching.loader import PackedLoader
from tawt.dataset.reader import open_dataset
from tawt.dataset.vocabulary import read_vocabulary
from tawt.errors import CheckpointError, ConfigError
from tawt.tasks.embed import embed
from tawt.tasks.hub import TawtModel, shareable


@pytest.fixture
def batch(workspace, config):
    """A batch of tuning subjects."""
    dataset = open_dataset(workspace)
    return next(PackedLoader(dataset.split("tuning"), dataset.vocabulary, config.batching, 0).sequential())


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention", "per_type"])
def test_a_saved_model_gives_the_same_bits(pooling, make_run, batch, tmp_path):
    """From a run folder, to a folder, and back: equal embeddings and states, whatever the readout."""
    run = make_run("a", f"model.pooling={pooling}", "model.readout.n_types=5", "model.granularity=timestamp")
    model = TawtModel.from_pretrained(run)
    folder = model.save_pretrained(tmp_path / "shared")
    again = TawtModel.from_pretrained(folder)
    twice = TawtModel.from_pretrained(again.save_pretrained(tmp_path / "twice"))
    with torch.inference_mode():
        first = model(batch)
        assert first.states.shape == (batch.n_tokens, 16)
        assert first.embedding.shape == (batch.n_documents, model.d_embedding)
        assert torch.equal(model.embed(batch), first.embedding) and first.embedding.dtype == torch.float32
        for other in (again, twice):
            out = other(batch)
            assert torch.equal(out.states, first.states) and torch.equal(out.embedding, first.embedding)
    assert not again.training and again.vocabulary.sha256 == model.vocabulary.sha256
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "vocabulary.parquet", "README.md"
    }  # fmt: skip


def test_a_shared_model_embeds_as_its_run_does(make_run, workspace, tmp_path):
    """`tawt embed --run` takes a folder that was saved to share, and writes the bytes that the run's own weights give."""
    run = make_run("a", "model.pooling=per_type", "model.readout.n_types=5")
    shared = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    ours = embed(workspace, run, device="cpu", out=tmp_path / "a.parquet")
    theirs = embed(workspace, shared, device="cpu", out=tmp_path / "b.parquet")
    assert theirs.weights == shared / "model.safetensors"
    assert ours.path.read_bytes() == theirs.path.read_bytes()


def test_the_folder_is_what_a_hub_expects(make_run, tmp_path):
    """The card starts with YAML, config.json says what it is, and only the encoder's weights are there."""
    folder = TawtModel.from_pretrained(make_run("a")).save_pretrained(tmp_path / "shared")
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(front)
    assert about["library_name"] == "tawt" and about["license"] and "tawt" in about["tags"]
    assert "from_pretrained" in text
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "tawt" and config["config"]["model"]["d_model"] == 16
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert all(name.startswith("encoder.") for name in list(file.keys()))


def _rows(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def test_what_few_patients_have_is_not_shared(make_run, workspace, tmp_path, batch):
    """Data_types of 1 to 10 patients lose code and statistics, all lose quantiles and category texts; shapes stay."""
    run = make_run("a", "model.pooling=per_type")
    model = TawtModel.from_pretrained(run)
    rows = _rows(run / "vocabulary.parquet")
    for i, row in enumerate(rows):
        row["n_subjects"] = (0, 10, 11, 500)[i % 4]
        row["description"], row["parents"] = "Sodium", ["LOINC/1"]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=pq.read_schema(run / "vocabulary.parquet")), run / "vocabulary.parquet"
    )
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    shared = _rows(folder / "vocabulary.parquet")
    for i, (row, was) in enumerate(zip(shared, rows, strict=True)):
        assert row["quantiles"] is None and not set(row["categories"]) & {"NEG", "POS", "TRACE"}
        assert len(row["categories"]) == len(was["categories"]) and row["n_bins"] == was["n_bins"]
        if i % 4 == 1 and i > 3:
            assert row["code"] == f"[WITHHELD]//{i}" and row["n_rows"] == row["n_subjects"] == 0
            assert row["mean"] is row["std"] is row["description"] is row["parents"] is None and row["bin_edges"] == []
        else:
            assert row["code"] == was["code"] and row["mean"] == was["mean"] and row["n_rows"] == was["n_rows"]
    with torch.inference_mode():
        again = TawtModel.from_pretrained(folder)
        ours, theirs = model.embed(batch), again.embed(batch)
    # the edges of bins are withheld too: the readout of such a data_type then ranks its numbers by their bins alone
    readout = model.encoder.pooling
    withheld = torch.tensor([i % 4 == 1 for i in readout.types]).repeat_interleave(model.config.model.readout.d_type)
    withheld = torch.cat((withheld, withheld.new_zeros(len(ours[0]) - len(withheld))))
    assert 0 < withheld.sum() < len(withheld) / 2
    assert torch.equal(ours[:, ~withheld], theirs[:, ~withheld])
    assert 0 < (ours - theirs)[:, withheld].abs().max() < 0.5 * ours[:, withheld].abs().max()
    text = (folder / "config.json").read_text() + (folder / "README.md").read_text()
    assert "LAB//00001" not in text  # data_type 5, of 10 patients


def test_a_shared_vocabulary_of_quantiles_can_be_read(make_run, tmp_path):
    """A model of quantile-normalized data_types is shared without its quantiles, and loaded again."""
    run = make_run("a", "model.pooling=per_type")
    rows = _rows(run / "vocabulary.parquet")
    for row in rows:
        if row["value_kind"] == "numeric":
            row["normalization"] = "quantile"
    schema = pq.read_schema(run / "vocabulary.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), run / "vocabulary.parquet")
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    vocabulary = TawtModel.from_pretrained(folder).vocabulary
    numeric = [i for i, kind in enumerate(vocabulary.value_kind) if kind == "numeric"]
    assert all(len(vocabulary.bin_edges[i]) == 0 for i in numeric) and vocabulary.n_bins[numeric].min() > 1


def test_more_is_shared_on_request(make_run):
    """`min_subjects=1` withholds no data_type and keeps quantiles, `with_categories` keeps texts."""
    table = pq.read_table(make_run("a") / "vocabulary.parquet")
    assert shareable(table, 1, with_categories=True) == table
    few = table.set_column(4, table.schema.field(4), pa.array([3] * len(table), table.schema.field(4).type))
    assert few.schema.names[4] == "n_subjects"
    assert shareable(few, 3).column("code") == table.column("code")
    assert shareable(few, 4).column("code").to_pylist()[:5] == [*table.column("code").to_pylist()[:4], "[WITHHELD]//4"]


def test_what_is_no_model_is_an_error(make_run, tmp_path, monkeypatch):
    """No folder, an empty one, another format, missing weights and a missing huggingface_hub each say what to do."""
    with pytest.raises(CheckpointError, match="neither a folder nor"):
        TawtModel.from_pretrained("nowhere")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError) as error:
        TawtModel.from_pretrained("owner/model")
    assert 'pip install "tawt[hub]"' in error.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        TawtModel.from_pretrained(tmp_path / "empty")
    folder = TawtModel.from_pretrained(make_run("a")).save_pretrained(tmp_path / "shared")
    vocabulary = (folder / "vocabulary.parquet").read_bytes()
    (folder / "vocabulary.parquet").unlink()
    with pytest.raises(CheckpointError, match=r"vocabulary\.parquet") as error:
        TawtModel.from_pretrained(folder)
    assert "save_pretrained" in error.value.hint
    (folder / "vocabulary.parquet").write_bytes(vocabulary)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        TawtModel.from_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="another format"):
        TawtModel.from_pretrained(folder)


def test_a_hub_id_is_fetched(make_run, tmp_path, monkeypatch, batch):
    """OWNER/NAME is fetched by huggingface_hub, only the four files; a failure names its kind."""
    model = TawtModel.from_pretrained(make_run("a"))
    folder = model.save_pretrained(tmp_path / "shared")
    asked = {}
    hub = ModuleType("huggingface_hub")

    def snapshot_download(name, allow_patterns):
        asked[name] = set(allow_patterns)
        if name == "owner/gone":
            raise OSError("offline")
        return str(folder)

    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with torch.inference_mode():
        assert torch.equal(TawtModel.from_pretrained("owner/model").embed(batch), model.embed(batch))
    assert asked["owner/model"] == {path.name for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match="OSError"):
        TawtModel.from_pretrained("owner/gone")


def test_the_vocabulary_of_a_run_is_left_as_it_was(make_run, tmp_path):
    """Sharing a model changes nothing in its run, and a loaded one still names the vocabulary it was trained with."""
    run = make_run("a")
    before = {path: path.read_bytes() for path in run.iterdir()}
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    assert TawtModel.from_pretrained(folder).vocabulary.sha256 == read_vocabulary(run / "vocabulary.parquet").sha256


def test_a_shared_model_makes_its_own_batches(make_run, workspace, tmp_path):
    """The batches of a loaded model hold each subject of a workspace once, and give what `tawt embed` writes."""
    run = make_run("a")
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    model = TawtModel.from_pretrained(folder)
    with torch.inference_mode():
        made = {
            subject: vector
            for batch in model.batches(workspace, ["tuning"])
            for subject, vector in zip(batch.subject_id.tolist(), model.embed(batch).tolist(), strict=True)
        }
    rows = _rows(embed(workspace, run, out=tmp_path / "e.parquet", splits=["tuning"], device="cpu").path)
    assert len(rows) > 3 and {row["subject_id"]: row["embedding"] for row in rows} == made
    text = (folder / "README.md").read_text()
    assert "model.batches" in text and "tawt embed" not in text and "category texts" not in text
    model.vocabulary = replace(model.vocabulary, sha256="another")
    with pytest.raises(CheckpointError, match="vocabulary"):
        next(model.batches(workspace))
