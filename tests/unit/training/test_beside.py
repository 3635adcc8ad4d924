"""Images beside the record, from shards to answers: learned where they matter, never seen before they could be."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from tawt.assessment.spaces import embedded
from tawt.commands.evaluate import evaluate
from tawt.commands.finetune import finetune
from tawt.commands.pretrain import pretrain
from tawt.config.modalities import CnnConfig, ImageConfig, ModalitiesConfig
from tawt.dataset.reader import open_dataset
from tawt.dataset.records import OfSplit
from tawt.errors import CheckpointError, ConfigError, FileError
from tawt.files import write_hashes, write_json
from tawt.heads.labels import read_labels
from tawt.modalities.contents import content_hash, write_events, writing_arrays
from tawt.modalities.encoders.made import make_modalities, save_weights
from tawt.runs.answer import answer, load_task
from tawt.runs.embedding import load_embedding
from tawt.runs.hub import TawtModel
from tawt.runs.load import OF_SHARED
from tawt.training.device import choose_compute

HOUR = 3_600_000_000
QUICK = ("train.threads=1", "modalities.image.size=16", "modalities.image.cnn.n_stages=2", "modalities.image.cnn.width=8",
         "modalities.image.d_embedding=16", "modalities.fusion.d_content=16")  # fmt: skip
MODEL = ("model.d_model=16", "model.n_layers=1", "model.n_heads=2", "model.d_ffn=16", "train.max_steps=2",
         "train.threads=1", "batching.tokens_per_batch=2048")  # fmt: skip


@pytest.fixture(scope="module")
def seen(tmp_path_factory, shards):
    """480 subjects, four in five with an image: bright or dark, which is the label; and one of each that came too late."""
    workspace = tmp_path_factory.mktemp("seen")
    rng, rows, labels, arrays, entries = np.random.default_rng(3), [], [], {}, {}
    for split, n, first in (("train", 200, 0), ("tuning", 40, 200), ("held_out", 240, 240)):
        columns, index = shards.invent(rng, first + np.arange(n), np.full(n, 12), np.full(n, 2))
        for name, value in {"data_type": 5, "value": 0, "value_token": 0, "value_status": shards.NONE}.items():
            columns[name][11::12] = value
        columns = shards.in_order(columns, index)
        entries[split] = [shards.write_shard(workspace / "dataset" / split, "00000", columns, index)]
        for subject, start, origin in zip(index["subject_id"], index["start"], index["origin"], strict=True):
            end = int(columns["timestamp"][start : start + 12].max()) + HOUR
            bright, there = bool(rng.random() < 0.5), rng.random() < 0.8
            # what comes later says the contrary
            for light, when in ((bright, end - HOUR), (not bright, end + 1)):
                array = rng.integers(0, 60, (12, 9, 1), np.uint8) + np.uint8(120 * light)
                arrays[content_hash(array)] = array
                if there:
                    rows.append((int(subject), end - HOUR, when, "IMAGE//cxr", content_hash(array)))
            labels.append((int(subject), int(origin) + end, bright, there))
    shards.write_manifest(workspace, shards.write_vocabulary(workspace, codes={5: "IMAGE//cxr"}), entries)
    with writing_arrays(workspace / "contents" / "0.arrow") as add:
        for sha256, array in arrays.items():
            add(sha256, array)
    write_events(
        workspace / "content_events" / "content_events.parquet",
        pa.table([list(x) for x in zip(*rows, strict=True)],
                 ("subject_id", "time", "available_time", "code", "sha256")),
    )  # fmt: skip
    (workspace / "labels" / "bright").mkdir(parents=True)
    columns = list(zip(*labels, strict=True))
    pq.write_table(
        pa.table({"subject_id": columns[0], "prediction_time": pa.array(columns[1], pa.timestamp("us")),
                  "boolean_value": columns[2]}),
        workspace / "labels" / "bright.parquet",
    )  # fmt: skip
    pretrain(workspace, "pretrain_demo", out=workspace / "runs" / "base", device="cpu", settings=MODEL)
    return workspace, dict(zip(columns[0], columns[3], strict=True))


def told(workspace, run, **changes):
    """Answers of held_out, their truth and subjects; `changes` to how contents are looked at."""
    task, split = load_task(run), open_dataset(workspace).split("held_out")
    labels = read_labels(workspace / "labels" / "bright.parquet")
    rows, said, _ = answer(task, split, labels, choose_compute("cpu", "fp32", 1), **changes)
    return said[:, -1], labels.value[rows].reshape(-1).astype(bool), labels.subject_id[rows]


def auroc(said, truth):
    return (said[truth][:, None] > said[~truth]).mean() + (said[truth][:, None] == said[~truth]).mean() / 2


def tuned(workspace, how, *settings):
    """A run that learned the label."""
    return finetune(workspace, workspace / "labels" / "bright.parquet", "base", fusion=how, epochs=6, device="cpu",
                    settings=(*QUICK, *settings), out=workspace / "runs" / f"{how}{len(settings)}").run  # fmt: skip


def few_have(workspace, has, most=3):
    """Labels of all who have no image, and of three or so who have one."""
    table = pq.read_table(workspace / "labels" / "bright.parquet")
    kept, n = [], 0
    for subject in table["subject_id"].to_pylist():
        n += has[subject] and subject >= 240
        kept.append(not has[subject] or (subject >= 240 and n <= most))
    path = workspace / "labels" / "few.parquet"
    pq.write_table(table.filter(pa.array(kept)), path)
    return path


def test_what_images_say_is_learned_and_what_comes_later_is_not_seen(seen, tmp_path):
    """Of those with an image the label is told; dealt out anew, images tell nothing. What could be read a moment after the
    prediction time says the contrary: answers are the same to the bit without it. Where no image is left, each answer is
    that of the record alone."""
    workspace, has = seen
    run = tuned(workspace, "concat", "train.lr=2e-2")
    said, truth, subject = told(workspace, run)
    there = np.array([has[s] for s in subject])
    assert auroc(said[there], truth[there]) > 0.95 and (~there).sum() > 10
    shuffled, *_ = told(workspace, run, changed=lambda contents: contents.shuffled(1))
    assert auroc(shuffled[there], truth[there]) < 0.75
    later = []

    def in_time(contents):
        own = contents.available == contents.time
        later.append(int((~own).sum()))
        return contents.rows_of(np.flatnonzero(own))

    assert np.array_equal(told(workspace, run, changed=in_time)[0], said) and later[0] > 100
    none, *_ = told(workspace, run, changed=lambda contents: contents.without(1))
    assert np.array_equal(none[~there], said[~there]) and not np.array_equal(none[there], said[there])
    half, *_ = told(workspace, run, changed=lambda contents: contents.without(0.5))
    lost = half[there] == none[there]
    assert 0.3 < lost.mean() < 0.7 and np.array_equal(half[there][~lost], said[there][~lost])
    (workspace / "content_events").rename(workspace / "elsewhere")
    try:
        assert np.array_equal(told(workspace, run)[0], none)
    finally:
        (workspace / "elsewhere").rename(workspace / "content_events")
    found = evaluate(workspace, workspace / "labels" / "bright.parquet", run, baselines=(), n_draws=50, device="cpu")
    assert found.fewer is not None and [row.name for row in found.fewer.rows] == [
        run.name, "25% lost", "50% lost", "75% lost", "100% lost", "dealt out anew",
    ]  # fmt: skip
    figures = [row.metrics["auroc"].value for row in found.fewer.rows]
    assert figures[:5] == sorted(figures[:5], reverse=True) and figures[4] < figures[0] - 0.2
    assert figures[4] == pytest.approx(auroc(none, truth)) and figures[0] == pytest.approx(auroc(said, truth))
    assert found.fewer.rows[5].differences["auroc"].high < 0 and "dealt out anew" in found.text()
    few = evaluate(
        workspace, few_have(workspace, has), run, baselines=(), n_draws=20, device="cpu", out=tmp_path / "few"
    )
    assert few.fewer is None and any("is not told: too few people have some" in note for note in few.notes)
    some = evaluate(
        workspace, few_have(workspace, has, 36), run, baselines=(), n_draws=20, device="cpu", out=tmp_path / "some"
    )
    assert some.fewer is not None and [row.name for row in some.fewer.rows][1:] == ["100% lost", "dealt out anew"]
    assert any("not told: 25% lost, 50% lost, 75% lost: too few people have some" in note for note in some.notes)
    assert not [path for path in found.folder.iterdir() if path.is_dir() and path.name != "tuning"]


def test_what_cannot_join_is_said(seen, tmp_path):
    """A probe, a workspace without contents, a way that is none, embeddings that nothing is learned from, outputs that are
    not there: each in one line, before anything is made."""
    workspace, _ = seen
    labels = workspace / "labels" / "bright.parquet"
    for fusion, mode, said in (("gate", "probe", "learns none"), ("gates", "full", "expected one of token")):
        with pytest.raises(ConfigError, match=said):
            finetune(workspace, labels, "base", fusion=fusion, mode=mode, out=tmp_path / "run", device="cpu")
    for how, said in (("gate", "nothing is learned from these"), ("late", "adds to a task's outputs")):
        with pytest.raises(ConfigError, match=said):
            pretrain(workspace, "pretrain_demo", out=tmp_path / "run", device="cpu",
                     settings=(*MODEL, "modalities.image.size=16", "modalities.image.cnn.n_stages=2",
                               f"modalities.fusion.how={how}"))  # fmt: skip
    (workspace / "content_events").rename(workspace / "elsewhere")
    try:
        with pytest.raises(ConfigError, match="finds no contents"):
            finetune(workspace, labels, "base", fusion="gate", out=tmp_path / "run", device="cpu")
    finally:
        (workspace / "elsewhere").rename(workspace / "content_events")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", ["token", "attention", "gate", "late"])
def test_each_way_of_joining_trains_and_answers(seen, how):
    """A step changes what joins and what encodes; answers with images differ from those without."""
    workspace, has = seen
    run = tuned(workspace, how, "train.lr=1e-2", "train.max_steps=4", "objective.label.start=prior")
    moved = {name for name, weight in load_file(run / "model.safetensors").items() if name.startswith("encoder.beside")}
    assert any(".modalities.0." in name for name in moved)
    said, _, subject = told(workspace, run)
    none, *_ = told(workspace, run, changed=lambda contents: contents.without(1))
    there = np.array([has[s] for s in subject])
    assert np.array_equal(said[~there], none[~there]) and (said[there] != none[there]).mean() > 0.9


def test_weights_of_a_file_begin_a_run_that_reads_them_no_more(seen, tmp_path):
    """What learned has its own; of what is frozen a dry run encodes nothing, and the run goes on by the file."""
    workspace, _ = seen
    image = ImageConfig(size=16, d_embedding=16, cnn=CnnConfig(n_stages=2, width=8))
    (modality,), file = make_modalities(ModalitiesConfig(image=image), 7), tmp_path / "image.safetensors"
    save_weights(modality, file)
    still = ("train.max_steps=1", "train.lr=1e-12", "objective.label.start=prior", f"modalities.image.weights={file}")
    learned = tuned(workspace, "gate", *still)
    own = load_file(learned / "model.safetensors")
    for name, tensor in modality.state_dict().items():
        assert np.allclose(own[f"encoder.beside.modalities.0.{name}"], tensor, atol=1e-9)
    before = told(workspace, learned)[0]
    frozen = {"fusion": "gate", "device": "cpu", "settings": (*QUICK, *still, "modalities.image.frozen=true")}
    finetune(workspace, workspace / "labels" / "bright.parquet", "base", dry_run=True, **frozen)
    kept = workspace / "content_embeddings"
    assert not kept.exists()
    (tmp_path / "others").mkdir()
    kept.symlink_to(tmp_path / "others")
    with pytest.raises(FileError, match="is a link, expected a folder of its own"):
        finetune(workspace, workspace / "labels" / "bright.parquet", "base", out=tmp_path / "run", **frozen)
    assert not [*(tmp_path / "others").iterdir()] and not (tmp_path / "run").exists()
    kept.unlink()
    run = finetune(workspace, workspace / "labels" / "bright.parquet", "base", out=tmp_path / "run", **frozen).run
    assert kept.exists()
    load_task(run)
    shared = TawtModel.from_pretrained(learned).save_pretrained(tmp_path / "shared")
    assert str(tmp_path) not in (shared / "config.json").read_text()
    TawtModel.from_pretrained(shared)
    about = json.loads((shared / "config.json").read_text())
    for named in ({"weights": str(file)}, {"frozen": True}, {"encoder": "checkpoint", "checkpoint": "../elsewhere"}):
        other = json.loads(json.dumps(about))
        other["config"]["modalities"]["image"] |= named
        write_json(shared / "config.json", other)
        write_hashes(shared, OF_SHARED)
        with pytest.raises(CheckpointError, match=r"names weights of `modalities\.image` that lie elsewhere"):
            TawtModel.from_pretrained(shared)
    with pytest.raises(ConfigError, match="whose weights lie outside of the run"):
        TawtModel.from_pretrained(run).save_pretrained(tmp_path / "other")
    save_weights(make_modalities(ModalitiesConfig(image=image), 8)[0], file)
    with pytest.raises(CheckpointError, match="is not what the run began with"):
        load_task(run)
    file.unlink()
    assert np.array_equal(told(workspace, learned)[0], before)
    with pytest.raises(CheckpointError, match=r"image\.safetensors"):
        load_task(run)
    damaged = shutil.copytree(learned, tmp_path / "damaged") / "model.safetensors"
    begun = ModalitiesConfig(image=image.model_copy(update={"weights": str(damaged), "frozen": True}))
    make_modalities(begun, 7)
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not as it was written"):
        make_modalities(begun, 7)


def test_where_there_are_no_contents_a_run_answers_as_where_all_are_lost(seen, tmp_path, monkeypatch):
    """A run that looks at images alone has its one answer for a workspace without any; and records in memory have none,
    also of subjects who have some in the workspace in which somebody stands."""
    workspace, _ = seen
    run = tuned(workspace, "alone", "train.max_steps=4", "train.lr=1e-2", "objective.label.start=prior")
    lost, *_ = told(workspace, run, changed=lambda contents: contents.without(1))
    assert np.ptp(lost) < 1e-6
    dataset = open_dataset(workspace)
    cohort = OfSplit(dataset.split("held_out"), np.arange(40))
    made = load_embedding(run, dataset.vocabulary, workspace, None, "cpu")
    vectors = []
    for place in (workspace, tmp_path):
        monkeypatch.chdir(place)
        vectors.append(embedded(made, cohort, dataset.time_origin, "kept"))
    assert np.array_equal(*vectors) and np.ptp(vectors[0], axis=0).max() < 1e-5
    (workspace / "content_events").rename(workspace / "elsewhere")
    try:
        assert np.allclose(told(workspace, run)[0], lost, atol=1e-6)
    finally:
        (workspace / "elsewhere").rename(workspace / "content_events")
