"""`tawt embed` beside others: what killed ones left, and a dataset that is older than what it came from."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands.embed import embed
from tawt.commands.pretrain import pretrain
from tawt.contracts.dataset import DATASET
from tawt.contracts.embeddings import STALE, about_embeddings
from tawt.errors import ConfigError, DatasetError, StaleError
from tawt.files import alone, write_json, write_sealed
from tawt.pipeline.manifest import Account, Components, Manifest
from tawt.pipeline.stale import look
from tawt.quality.runs import check_embeddings
from tawt.quality.strangers import Known
from tawt.seals import SAYS
from tawt.training.versions import read_versions


def test_what_a_killed_one_left_goes_at_the_next(make_run, workspace, tmp_path):
    """Of any file of the workspace's embeddings, unless somebody is writing it; elsewhere nothing is tawt's to remove."""
    make_run("a")
    (folder := workspace / "embeddings").mkdir(), (elsewhere := tmp_path / "elsewhere").mkdir()
    for name in (".a b.parquet.tmp", ".a b.parquet.lock", ".old.parquet.tmp", ".held.parquet.tmp", "mine.tmp"):
        (folder / name).write_text("half"), (elsewhere / name).write_text("half")
    with alone(folder / ".held.parquet.lock"):
        embed(workspace, "a", device="cpu")
    left = {".held.parquet.tmp", ".held.parquet.lock", "mine.tmp", "a.parquet"}
    assert {path.name for path in folder.iterdir()} == left
    embed(workspace, "a", device="cpu", out=elsewhere / "a.parquet")
    assert len(list(elsewhere.iterdir())) == 6


def test_outside_of_a_workspace_embeddings_are_their_owners_alone(make_run, workspace, tmp_path, exposed):
    """What is done of them too, and the folders that are made for them; within one they have the rights of its files."""
    make_run("a")
    seen = []

    def look(event):
        if event["event"] == "embed":  # a lock is empty, and `rows` lies in a folder that is shut
            seen.append({*exposed(tmp_path / "new")} - {".a.parquet.lock", "rows"})

    embed(workspace, "a", device="cpu", out=tmp_path / "new" / "er" / "a.parquet", report=look)
    assert seen and not any(seen) and exposed(tmp_path / "new") == []
    (workspace / "pipeline.yaml").write_text(f"# {SAYS}\n")
    assert exposed(embed(workspace, "a", device="cpu").path.parent) == ["embeddings", "a.parquet"]


def test_arms_of_two_sweeps_keep_their_own_embeddings(make_run, workspace):
    """Runs of one name below two folders of `runs/` have a file each; one elsewhere has that of its name."""
    made = make_run("base-seed0")
    runs = workspace / "runs"
    for sweep in ("depth", "width"):
        shutil.copytree(made, runs / sweep / "base-seed0")
    shutil.copytree(made, elsewhere := workspace.parent / "given")
    paths = [
        embed(workspace, run, device="cpu", splits="held_out", dry_run=True).path
        for run in ("depth/base-seed0", "width/base-seed0", "base-seed0", elsewhere)
    ]
    assert [path.relative_to(workspace / "embeddings").as_posix() for path in paths] == [
        "depth/base-seed0.parquet", "width/base-seed0.parquet", "base-seed0.parquet", "given.parquet",
    ]  # fmt: skip


def test_nothing_is_embedded_of_a_shard_that_is_written_to(make_run, workspace):
    """Embeddings of which some are of other numbers than the dataset lists are not written."""
    make_run("a")
    path = workspace / "dataset" / "train" / "00000.arrow"

    def write(event):
        content = path.read_bytes()
        if event["event"] == "embed":
            with path.open("r+b") as file:
                file.write(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(DatasetError, match="is not as it was written"):
        embed(workspace, "a", device="cpu", splits="train", report=write)
    assert not list((workspace / "embeddings").glob("*"))


def test_a_pooling_that_is_none_brings_the_nearest(make_run, workspace):
    """A word that is no pooling is not told to be trained."""
    make_run("a")
    for word, hint in (("mena", "did you mean `mean`?"), ("cls", "pretrain with `--set model.pooling=cls`")):
        with pytest.raises(ConfigError) as caught:
            embed(workspace, "a", device="cpu", pooling=word)
        assert caught.value.hint == hint


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_a_dry_run_tells_what_would_be_written(pooling, make_run, workspace):
    """Subjects, numbers each and triplets left out, of a readout that is wider than a state too, and writes nothing."""
    make_run("a", "model.pooling=per_type", "batching.max_length=8", "batching.tokens_per_batch=64")
    told = embed(workspace, "a", device="cpu", pooling=pooling, dry_run=True)
    assert not (workspace / "embeddings").exists()
    assert (told.d_embedding == 16) == (pooling == "mean")
    assert embed(workspace, "a", device="cpu", pooling=pooling) == told and told.n_cut > 0 and told.n_subjects == 140


READS = {
    "staging.labs": ("raw.labs",), "codes.labs": ("staging.labs",), "event_parts.labs": ("staging.labs",),
    "events": ("event_parts.labs", "codes.labs"), "vocabulary": ("events",), "triplets": ("events", "vocabulary"),
    "dataset": ("triplets", "vocabulary"),
}  # fmt: skip


@pytest.fixture
def stages(workspace):
    """Manifests of what a dataset came from, as far as its age hangs on them; `stages(events="2")` makes one anew."""

    def made(**contents: str) -> None:
        for stage in READS:
            write(stage, contents.get(stage.replace(".", "_"), "1"))

    def write(stage: str, content: str) -> None:
        path = workspace / "manifests" / f"{stage}.json"
        path.parent.mkdir(exist_ok=True)
        write_sealed(path, manifest(stage, content).model_dump(mode="json"))

    def manifest(stage: str, content: str) -> Manifest:
        inputs = {other: "0" if other.startswith("raw.") else manifest(other, "1").content for other in READS[stage]}
        folder = stage.replace(".", "/")
        return Manifest(
            stage=stage, fingerprint="0", files={}, hashes={f"{folder}/part": content}, seconds=0,
            components=Components(inputs=inputs),
            accounts=(Account(driving=READS[stage][0], n_records_in=0, n_records_kept=0, n_rows_out=0),),
        )  # fmt: skip

    made()
    return made


@pytest.mark.parametrize(
    "stage", ["triplets", "vocabulary", "events", "event_parts.labs", "staging.labs", "codes.labs"]
)
def test_a_stage_that_was_made_anew_makes_a_dataset_stale(stage, workspace, stages):
    """However far before it, and also one that went; the dataset itself and raw tables are no such stage."""
    assert look(workspace).stale == {}
    stages(**{stage.replace(".", "_"): "2"})
    assert f"{stage} is newer" in look(workspace).why
    stages(dataset="2")
    assert look(workspace).stale == {}
    (workspace / "manifests" / f"{stage}.json").unlink()
    assert f"{stage} is not finished" in look(workspace).why


@pytest.mark.parametrize("components", [None, [], "x", {"inputs": None}, {"inputs": [1]}, {"inputs": "x"}])
def test_a_manifest_that_is_damaged_is_of_no_finished_dataset(components, workspace, stages):
    """Whatever stands in it, whoever trains is told that the dataset is not finished, and stops."""
    write_json(workspace / "manifests" / "dataset.json", {"fingerprint": "1", "components": components})
    assert look(workspace).why == "dataset (it is not finished)"


def test_whoever_reads_a_stale_dataset_stops_unless_it_is_wanted(make_run, workspace, stages):
    """In one line, with what is newer and what mends it; a run and embeddings that were wanted all the same say so."""
    make_run("a")
    settings = ["train.threads=1", "train.max_steps=2", "model.d_model=16", "model.n_heads=2", "model.n_layers=1"]

    def both(**options: bool) -> None:
        pretrain(workspace, device="cpu", settings=settings, out=workspace / "runs" / "b", **options)
        embed(workspace, "a", device="cpu", **options)

    stages(events="2")
    for command in (lambda: pretrain(workspace, device="cpu"), lambda: embed(workspace, "a", device="cpu")):
        with pytest.raises(StaleError, match=r"events is newer.*expected what is made of what is there now") as caught:
            command()
        assert "tawt run " in caught.value.hint and "--stale-ok" in caught.value.hint
    both(stale_ok=True)
    why = look(workspace).why
    assert read_versions(workspace / "runs" / "b").stale == why and why in (workspace / "runs/b/README.md").read_text()
    assert about_embeddings(workspace / "embeddings" / "a.parquet")[STALE] == why
    stages()
    embed(workspace, "a", device="cpu")
    assert STALE not in about_embeddings(workspace / "embeddings" / "a.parquet")


def test_embeddings_of_a_dataset_that_was_made_anew_are_told(make_run, workspace):
    """Of all splits or of one: they hold as long as those splits hold what was read."""
    make_run("a")
    embed(workspace, "a", device="cpu")
    embed(workspace, "a", device="cpu", splits=("tuning",), out=workspace / "embeddings" / "one.parquet")
    assert check_embeddings(workspace, Known()) == []
    path = workspace / "dataset" / DATASET
    said = json.loads(path.read_text())
    said["splits"]["train"][0]["sha256"] = "0" * 64
    write_sealed(path, {key: value for key, value in said.items() if key != "seal"})
    wrong = "is of another dataset than is there now"
    assert check_embeddings(workspace, Known()) == [(workspace / "embeddings" / "a.parquet", wrong)]


@pytest.mark.parametrize("dry_run", [True, False])
def test_only_embeddings_are_replaced(make_run, workspace, tmp_path, dry_run):
    """`out` replaces embeddings; any other file, Parquet or not, and a place among the workspace's own stay as they were."""
    make_run("a")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "mine.parquet")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").touch()
    own = workspace / "vocabulary" / "vocabulary.parquet"
    places = [tmp_path / name for name in ("mine.parquet", "notes.txt", "empty")]
    places += [
        own,
        workspace / "e.parquet",
        workspace / "runs" / "a" / "model.safetensors",
        workspace / "dataset" / "e",
    ]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for place in places:
        with pytest.raises(ConfigError, match=r"is a file of another kind|lies in a workspace") as caught:
            embed(workspace, "a", device="cpu", out=place, dry_run=dry_run)
        assert caught.value.where == str(place)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    made = tmp_path / "new.parquet"
    pq.write_table(pa.table({"x": [1]}, metadata={"vocabulary": "0", "dataset": "0"}), made)
    assert embed(workspace, "a", device="cpu", out=made, splits="tuning", dry_run=dry_run).path == made


def test_embeddings_are_asked_for_as_parquet(make_run, workspace, tmp_path):
    """A name that says another format is refused with one that would do, before anything is written."""
    make_run("a")
    with pytest.raises(ConfigError, match=r"does not end in \.parquet") as error:
        embed(workspace, "a", device="cpu", out=tmp_path / "e.csv")
    assert "e.parquet`" in error.value.hint and not (tmp_path / "e.csv").exists()
