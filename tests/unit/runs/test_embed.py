"""`tawt embed` beside others: what killed ones left, and a dataset that is older than what it came from."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tawt.commands.embed import embed
from tawt.commands.pretrain import pretrain
from tawt.dataset.upstream import made_anew
from tawt.errors import ConfigError, DatasetError
from tawt.files import alone, write_json


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


@pytest.fixture
def stages(workspace):
    """Manifests of what a dataset came from, as far as its age hangs on them; `stages(events="2")` makes one anew."""
    inputs = {
        "dataset": {"triplets": "1", "vocabulary": "1"}, "triplets": {"events": "1", "vocabulary": "1"},
        "vocabulary": {"events": "1"}, "events": {"event_parts.labs": "1", "codes.labs": "1"},
        "event_parts.labs": {"staging.labs": "1"}, "staging.labs": {"raw.labs": "of its bytes"}, "codes.labs": {},
    }  # fmt: skip

    def made(**fingerprints: str) -> None:
        for stage, own in inputs.items():
            fingerprint = fingerprints.get(stage.replace(".", "_"), "1")
            about = {"fingerprint": fingerprint, "components": {"inputs": own}}
            write_json(workspace / "manifests" / f"{stage}.json", about)

    made()
    return made


@pytest.mark.parametrize(
    "stage", ["triplets", "vocabulary", "events", "event_parts.labs", "staging.labs", "codes.labs"]
)
def test_a_stage_that_was_made_anew_makes_a_dataset_old(stage, workspace, stages):
    """However far before it, and also one that went; the dataset itself and raw tables are no such stage."""
    assert made_anew(workspace) == []
    stages(**{stage.replace(".", "_"): "2"})
    assert made_anew(workspace) == [stage]
    stages(dataset="2")
    assert made_anew(workspace) == []
    (workspace / "manifests" / f"{stage}.json").unlink()
    assert made_anew(workspace) == [stage]


@pytest.mark.parametrize("components", [None, [], "x", {}, {"inputs": None}, {"inputs": [1]}, {"inputs": "x"}])
def test_a_manifest_of_another_form_tells_no_age(components, workspace, stages):
    """What is damaged is for `check` to name: whoever trains goes by the dataset alone."""
    stages(events="2")
    path = workspace / "manifests" / "dataset.json"
    write_json(path, {"fingerprint": "1", "components": components})
    assert made_anew(workspace) == []


def test_whoever_reads_an_old_dataset_is_told(make_run, workspace, stages):
    """In one line, with what is newer and what builds it again; a workspace that holds a dataset alone says nothing."""
    make_run("a")
    said: list[str] = []

    def hear(event: dict) -> None:
        said.extend([event["text"]] if "older than" in event.get("text", "") else [])

    def look() -> list[str]:
        said.clear()
        pretrain(workspace, device="cpu", settings=["train.threads=1"], dry_run=True, report=hear)
        embed(workspace, "a", device="cpu", dry_run=True, report=hear)
        return said

    assert look() == []
    stages(events="2", event_parts_labs="2", staging_labs="2", codes_labs="2")
    again = f"`tawt build-vocab -w {workspace}` builds it again"
    text = f"the dataset is older than codes.labs, event_parts.labs, events and 1 more, and not of what is there now: {again}"
    assert look() == [text] * 2
    for path in (workspace / "manifests").iterdir():
        path.unlink()
    assert look() == []


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
