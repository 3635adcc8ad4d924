"""A model that is saved, loaded and shared: the same bits out, and nothing in it that points at a patient."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from tawt.batching.loader import PackedLoader
from tawt.commands.embed import embed
from tawt.dataset.reader import open_dataset
from tawt.dataset.vocabulary import read_vocabulary
from tawt.errors import CheckpointError, ConfigError
from tawt.files import write_hashes
from tawt.runs.hub import TawtModel
from tawt.runs.withhold import shareable


@pytest.fixture
def batch(workspace, config):
    """A batch of tuning subjects."""
    dataset = open_dataset(workspace)
    return next(PackedLoader(dataset.split("tuning"), dataset.vocabulary, config.batching, 0).sequential())


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention", "per_type"])
def test_a_saved_model_gives_the_same_bits(pooling, make_run, batch, tmp_path):
    """From a run folder, to a folder, and back: equal embeddings and states, whatever the readout; only the ranks of
    `per_type` are told by rounded edges from then on."""
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
            assert torch.equal(out.states, first.states)
            assert torch.equal(out.embedding, again.embed(batch))
            ranked = pooling == "per_type"
            assert torch.equal(out.embedding, first.embedding) != ranked
            torch.testing.assert_close(out.embedding, first.embedding, atol=0.05, rtol=0.05)
    assert not again.training and again.vocabulary.sha256 == model.vocabulary.sha256
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "vocabulary.parquet", "files.json", "README.md"
    }  # fmt: skip


def test_a_shared_model_embeds_as_its_run_does(make_run, workspace, tmp_path):
    """`tawt embed --run` takes a folder that was saved to share, and writes the rows that the run's own weights give."""
    run = make_run("a", "model.pooling=attention")
    shared = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    ours = embed(workspace, run, device="cpu", out=tmp_path / "a.parquet")
    theirs = embed(workspace, shared, device="cpu", out=tmp_path / "b.parquet")
    assert theirs.weights == shared / "model.safetensors"
    assert pq.read_table(ours.path).equals(pq.read_table(theirs.path))  # each of its own weights, as metadata say


def test_a_card_may_be_edited_and_is_named_where_it_is_no_text(make_run, tmp_path):
    """Its words are the user's; bytes that are no UTF-8 are one error with the file's name."""
    folder = TawtModel.from_pretrained(make_run("a")).save_pretrained(tmp_path / "shared")
    (folder / "README.md").write_text("# Ours\n")
    assert TawtModel.from_pretrained(folder).card == "# Ours\n"
    (folder / "README.md").write_bytes("# Für uns".encode("latin-1"))
    with pytest.raises(CheckpointError, match="is damaged or of another format") as caught:
        TawtModel.from_pretrained(folder)
    assert caught.value.where == str(folder / "README.md")


def test_the_folder_is_what_a_hub_expects(make_run, tmp_path):
    """The card starts with YAML, config.json says what it is, and only the encoder's weights are there."""
    folder = TawtModel.from_pretrained(make_run("a")).save_pretrained(tmp_path / "shared")
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(front)
    assert about["library_name"] == "tawt" and about["license"] and "tawt" in about["tags"]
    assert "from_pretrained" in text and "This folder holds patients' data" not in text
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "tawt" and config["config"]["model"]["d_model"] == 16
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert all(name.startswith("encoder.") for name in list(file.keys()))


def _rows(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def _change(folder: Path, change: Callable[[int, dict], None], **metadata: list[int]) -> None:
    """Change the rows of the vocabulary in a folder, and its metadata."""
    path = folder / "vocabulary.parquet"
    rows, schema = _rows(path), pq.read_schema(path)
    schema = schema.with_metadata(
        schema.metadata | {name.encode(): json.dumps(value) for name, value in metadata.items()}
    )
    for i, row in enumerate(rows):
        change(i, row)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    write_hashes(folder)


def test_what_few_patients_have_is_not_shared(make_run, tmp_path, batch):
    """Data_types of 1 to 10 patients lose all they have; those with 1 to 10 patients who have a number lose what is
    said of numbers, and those with as few in a bin or near an edge their edges; quantiles, texts and rows go everywhere;
    shapes stay."""
    run = make_run("a", "model.pooling=per_type")

    def change(i: int, row: dict) -> None:
        row["n_subjects"], row["n_value_subjects"] = ((500, 500), (10, 10), (500, 10), (11, 11))[i % 4]
        row["description"], row["parents"] = "Sodium", ["LOINC/1"]
        if i % 8 < 4:  # the last bin has 10 people, or the cell of the last edge
            name = ("bin_subjects", "edge_subjects")[i // 8 % 2]
            row[name] = [11] * (len(row[name]) - 1) + [10] if row[name] else []

    _change(run, change)
    rows = _rows(run / "vocabulary.parquet")
    model = TawtModel.from_pretrained(run)
    folder = model.save_pretrained(tmp_path / "shared")
    for i, (row, was) in enumerate(zip(_rows(folder / "vocabulary.parquet"), rows, strict=True)):
        assert row["quantiles"] is None and not set(row["categories"]) & {"NEG", "POS", "TRACE"}
        assert len(row["categories"]) == len(was["categories"]) and row["n_bins"] == was["n_bins"]
        if i < 4:
            continue
        withheld = row["code"] == f"[WITHHELD]//{i}"
        assert withheld == (i % 4 == 1) == (row["n_rows"] == row["n_subjects"] == 0)
        assert withheld == (row["description"] is row["parents"] is None)
        if i % 4 in (1, 2):
            assert row["mean"] is row["std"] is row["unit"] is None and row["bin_edges"] == []
            assert (row["center"], row["scale"], row["n_values"], row["n_value_subjects"]) == (0, 1, 0, 0)
        else:
            assert row["code"] == was["code"] and row["unit"] == was["unit"] and row["n_rows"] == 0
            assert row["mean"] == (was["mean"] and pytest.approx(was["mean"], abs=was["std"] * 0.55))
            assert len(row["bin_edges"]) == (len(was["bin_edges"]) if i % 8 > 3 else 0)
    with torch.inference_mode():
        again = TawtModel.from_pretrained(folder)
        assert again.embed(batch).shape == model.embed(batch).shape
    text = (folder / "config.json").read_text() + (folder / "README.md").read_text()
    assert "LAB//00005" not in text and "LAB//00009" not in text  # of 10 patients


def test_weights_that_few_patients_trained_are_zero(make_run, tmp_path):
    """The rows that a withheld data_type, number, category or status has in any table are zero, as are those of [UNK] and
    OTHER, whose people nobody counts; and no other row is."""
    run = make_run("a", "model.pooling=per_type", "model.readout.n_types=8")

    def change(i: int, row: dict) -> None:
        if i == 4:  # numeric
            row["n_subjects"] = row["n_value_subjects"] = 10
        if i == 7:  # numeric
            row["n_value_subjects"] = 10
        if i == 8:  # mixed
            row["category_subjects"] = [500, 500, 10]
        if i == 11:  # categorical
            row["category_subjects"] = [500, 11, 11]

    _change(run, change, status_subjects=[500, 11, 500, 10, 1, 0, 12, 500, 9, 0])
    model = TawtModel.from_pretrained(run)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.fill_(1)
    folder = model.save_pretrained(tmp_path / "shared")
    weights = {name.removeprefix("encoder."): w for name, w in load_file(folder / "model.safetensors").items()}
    zero: dict[str, set[int]] = {name: set((w == 0).nonzero()[:, 0].tolist()) for name, w in weights.items()}
    without = {i for i, row in enumerate(_rows(run / "vocabulary.parquet")) if row["n_bins"] == 0} - {0, 1, 2, 3}
    assert zero.pop("embedding.data_type.weight") == {1, 4}
    assert zero.pop("embedding.value.scale.weight") == zero.pop("embedding.value.shift.weight") == {4, 7} | without
    assert zero.pop("embedding.status.weight") == {3, 4, 5, 8, 9}
    counted = pq.read_schema(folder / "vocabulary.parquet").metadata[b"status_subjects"]
    assert json.loads(counted) == [352, 11, 352, 0, 0, 0, 11, 352, 0, 0]
    other = {1 + int(offset) for offset in model.vocabulary.category_offset}
    assert {1 + int(model.vocabulary.category_offset[i]) for i in (8, 11)} < other
    rare = 1 + int(model.vocabulary.category_offset[8]) + 3
    assert zero.pop("embedding.value.categories.weight") == other | {rare}
    assert zero.pop("embedding.value.bins.weight") == {0}  # of no bin, zero in every model
    types = model.encoder.pooling.types
    columns = {types.index(4), types.index(7)}
    assert zero.pop("pooling.recency.weight") == zero.pop("pooling.level.weight") == columns
    assert zero.pop("pooling.weight") == columns
    d = model.config.model.readout.d_type
    assert zero.pop("pooling.bias") == {column * d + k for column in columns for k in range(d)}
    assert not any(zero.values())


@pytest.mark.parametrize(("n", "is_told"), [(10, False), (11, True)])
def test_what_reads_numbers_is_zero_where_few_have_any(n, is_told, make_run, tmp_path):
    """The network that all data_types share is of those who have numbers: of 1 to 10 patients it is not shared."""
    run = make_run("a")
    _change(run, lambda i, row: None, status_subjects=[500, n, *[500] * 8])
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    network = {n: w for n, w in load_file(folder / "model.safetensors").items() if "embedding.value.network." in n}
    assert network and all(bool(w.any()) == is_told for name, w in network.items() if name.endswith("weight"))


def test_bins_that_only_few_patients_have_are_zero(make_run, workspace, tmp_path):
    """The row of a bin is zero where no data_type has a bin there of enough people, and its numbers shared."""

    def change(i: int, row: dict) -> None:
        if i == 4:
            row["n_value_subjects"], row["n_bins"] = 10, 12
            row["bin_edges"], row["bin_subjects"] = [float(k) for k in range(11)], [500] * 12
        elif row["n_bins"]:
            row["bin_subjects"] = [10, *row["bin_subjects"][1:-1], 10 if i > 7 else 11]

    _change(workspace / "vocabulary", change)
    folder = TawtModel.from_pretrained(make_run("a")).save_pretrained(tmp_path / "shared")
    bins = load_file(folder / "model.safetensors")["encoder.embedding.value.bins.weight"]
    assert (bins == 0).all(1).nonzero().flatten().tolist() == [0, 1, 9, 10, 11, 12]


def test_sharing_what_was_shared_changes_nothing_more(make_run, tmp_path):
    """Rounding is done once: a model that was shared and is shared again is the same bytes."""
    first = TawtModel.from_pretrained(make_run("a", "model.pooling=per_type")).save_pretrained(tmp_path / "deep" / "a")
    (tmp_path / "b").mkdir()
    second = TawtModel.from_pretrained(first).save_pretrained(tmp_path / "b")
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}


def test_a_table_of_lengths_of_time_is_not_shared_under_a_limit(make_run, tmp_path):
    """Whose gaps trained a row of `bucket` nobody counts: such a model is shared without a limit alone, and is refused before
    anything is made."""
    model = TawtModel.from_pretrained(make_run("a", "model.attention=[rotary,bucket]"))
    with pytest.raises(ConfigError, match="`bucket`, whose table tells") as error:
        model.save_pretrained(tmp_path / "shared")
    assert "min_subjects=1" in error.value.hint and not (tmp_path / "shared").exists()
    model.save_pretrained(tmp_path / "shared", min_subjects=1)


def test_a_run_is_not_shared_over_itself(make_run):
    """Saving into a run folder, whose vocabulary it would replace, is refused and leaves it as it was."""
    run = make_run("a")
    before = {path: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(ConfigError, match="run folder"):
        TawtModel.from_pretrained(run).save_pretrained(run)
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_texts_of_many_patients_are_shared_on_request(make_run, tmp_path):
    """`with_categories` keeps the texts that enough patients have, and no others."""
    run = make_run("a")

    def change(i: int, row: dict) -> None:
        row["category_subjects"] = [10, 11, 500][: len(row["categories"])]
        if i == 6:
            row["n_subjects"] = 10

    _change(run, change)
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared", with_categories=True)
    rows = _rows(folder / "vocabulary.parquet")
    assert rows[8]["categories"] == ["#1", "POS", "TRACE"] and rows[8]["category_subjects"] == [0, 11, 352]
    assert rows[6]["categories"] == ["#1", "#2", "#3"] and rows[6]["category_subjects"] == [0, 0, 0]


def test_what_nobody_counted_is_withheld(make_run, tmp_path):
    """A vocabulary from before subjects with a number were counted tells nothing of numbers."""
    run = make_run("a")
    table = pq.read_table(run / "vocabulary.parquet").drop_columns(["n_value_subjects", "category_subjects"])
    table = table.replace_schema_metadata(None)
    pq.write_table(table, run / "vocabulary.parquet")
    write_hashes(run)
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared", with_categories=True)
    rows = _rows(folder / "vocabulary.parquet")
    assert all(row["bin_edges"] == [] and row["mean"] is None for row in rows)
    assert {text for row in rows for text in row["categories"]} == {"#1", "#2", "#3"}
    assert rows[4]["code"] == "LAB//00004"
    status = load_file(folder / "model.safetensors")["encoder.embedding.status.weight"]
    assert not status[:-1].any() and status[-1].any()


def test_a_shared_vocabulary_of_quantiles_can_be_read(make_run, tmp_path):
    """A model of quantile-normalized data_types is shared without its quantiles, and loaded again."""
    run = make_run("a", "model.pooling=per_type")
    rows = _rows(run / "vocabulary.parquet")
    for row in rows:
        if row["value_kind"] == "numeric":
            row["normalization"] = "quantile"
    schema = pq.read_schema(run / "vocabulary.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), run / "vocabulary.parquet")
    write_hashes(run)
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    vocabulary = TawtModel.from_pretrained(folder).vocabulary
    numeric = [i for i, kind in enumerate(vocabulary.value_kind) if kind == "numeric"]
    assert all(len(vocabulary.bin_edges[i]) == 0 for i in numeric) and vocabulary.n_bins[numeric].min() > 1


def test_more_is_shared_on_request(make_run):
    """`min_subjects=1` withholds no data_type and keeps quantiles, `with_categories` keeps texts."""
    table = pq.read_table(make_run("a") / "vocabulary.parquet")
    assert shareable(table, 1, with_categories=True) == table
    at = table.schema.get_field_index("n_subjects")
    few = table.set_column(at, table.schema.field(at), pa.array([3] * len(table), table.schema.field(at).type))
    assert shareable(few, 3).column("code") == table.column("code")
    assert shareable(few, 4).column("code").to_pylist()[:5] == [*table.column("code").to_pylist()[:4], "[WITHHELD]//4"]


@pytest.mark.parametrize("pooling", ["mean", "per_type"])
def test_no_setting_names_what_is_withheld(make_run, tmp_path, pooling):
    """A code of few patients that a setting names stands in no shared file, whether the setting is used or not."""
    run = make_run("a", f"model.pooling={pooling}", "model.readout.types=[LAB//00007,LAB//00004]")

    def change(i: int, row: dict) -> None:
        if row["code"] == "LAB//00007":
            row["n_subjects"] = 10

    rows = _rows(run / "vocabulary.parquet")
    assert [row["n_bins"] > 0 for row in rows if row["code"] in ("LAB//00004", "LAB//00007")] == [True, True]
    _change(run, change)
    folder = TawtModel.from_pretrained(run).save_pretrained(tmp_path / "shared")
    assert not any(b"LAB//00007" in path.read_bytes() for path in folder.iterdir())
    assert TawtModel.from_pretrained(folder).d_embedding == TawtModel.from_pretrained(run).d_embedding


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
    """OWNER/NAME is fetched by huggingface_hub, only its five files; a failure names its kind."""
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
