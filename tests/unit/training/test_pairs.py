"""Pretraining on records and their images as pairs: what is learned, what is never seen, and what goes on from it."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from tawt.commands.embed import embed
from tawt.commands.finetune import finetune
from tawt.commands.pretrain import pretrain
from tawt.config.load import build
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.errors import CheckpointError, ConfigError, TrainingError
from tawt.modalities.contents import content_hash, write_events, writing_arrays
from tawt.modalities.encoders.made import make_modalities, save_weights
from tawt.runs.load import load_encoder
from tawt.training.metrics import read_metrics

HOUR = 3_600_000_000
N_ROWS = 10
IMAGE = {"size": 16, "d_embedding": 16, "augment": 0.0, "cnn": {"n_stages": 2, "width": 8}}
ONCE = ("train.threads=1", "train.final=last", "train.keep_best=0", "train.patience=0")
"""Of a short run that learns a task."""
CONFIG = {
    "model": {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16, "dropout": 0.1},
    "batching": {"tokens_per_batch": 512, "max_length": 64},
    "modalities": {"image": IMAGE, "fusion": {"d_content": 16}},
    "objective": {"masked": {"weight": 0}, "paired": {"weight": 1, "d_projection": 16, "whole_share": 0}},
    "train": {"max_steps": 4, "lr": 0.003, "threads": 1, "validate_every": 4, "checkpoint_every": 2, "health_every": 0},
}


def config(**sections):
    """The small config of pairs, with other sections."""
    tree = json.loads(json.dumps(CONFIG))
    for name, section in sections.items():
        tree[name] = {**tree[name], **section}
    return build(PretrainConfig, tree, "test")


@pytest.fixture(scope="module")
def beside(tmp_path_factory, shards):
    """`beside(later, has)`: a workspace of whose images a part is bright that a laboratory value before them tells; what came later, or
    could be read later, is drawn by `later`, and of the former are `behind`. Subjects below `has` have an image."""

    def write(later: int = 0, has: int = 10_000, fresh: int = 1_000, behind: int = 1):
        workspace = tmp_path_factory.mktemp("pairs")
        rng, rows, arrays, entries = np.random.default_rng(3), [], {}, {}
        other = np.random.default_rng(later)
        for split, n, first in (("train", 120, 0), ("tuning", 40, 200), ("held_out", 20, 300)):
            columns, index = shards.invent(rng, first + np.arange(n), np.full(n, N_ROWS), np.full(n, 1))
            for subject, start in zip(index["subject_id"], index["start"], strict=True):
                light, t = rng.random(), int(columns["timestamp"][start : start + N_ROWS].max())
                at = t + HOUR
                # before: what tells; then the image's own event, one that could be read later, and one that came later
                for row, (kind, value, when, known) in enumerate((
                    (22, 3 * light - 1.5, t, t), (5, None, at, at + HOUR // 2),
                    (7, other.normal(), t, at), (7, other.normal(), at + HOUR, at + HOUR),
                )):  # fmt: skip
                    i = start + N_ROWS - 4 + row
                    columns["data_type"][i], columns["timestamp"][i], columns["available_time"][i] = kind, when, known
                    columns["value"][i] = 0 if value is None else value
                    columns["value_token"][i] = 0 if value is None else 1 + np.searchsorted(shards.EDGES, value)
                    columns["value_status"][i] = shards.NONE if value is None else shards.NUMERIC
                array = np.where(np.arange(16)[:, None, None] < 16 * light, 220, 20) + rng.integers(0, 9, (16, 14, 1))
                array = array.astype(np.uint8)
                if subject % 200 < has:
                    arrays[content_hash(array)] = array
                    rows.append((int(subject), at, at + HOUR // 2, "IMAGE//cxr", content_hash(array)))
            last = np.isin(np.arange(len(columns["value"])), index["start"] + N_ROWS - 1)
            columns = {name: column.repeat(np.where(last, behind, 1)) for name, column in columns.items()}
            index["length"] = index["length"] + behind - 1
            index["start"] = np.cumsum(index["length"]) - index["length"]
            timed = np.lexsort((columns["timestamp"], columns["subject_id"]))
            columns = shards.in_order({name: column[timed] for name, column in columns.items()}, index)
            entries[split] = [shards.write_shard(workspace / "dataset" / split, "00000", columns, index)]
        shards.write_manifest(workspace, shards.write_vocabulary(workspace, codes={5: "IMAGE//cxr"}), entries)
        with writing_arrays(workspace / "contents" / "0.arrow") as add:
            for sha256, array in arrays.items():
                add(sha256, array)
        table = pa.table({
            "subject_id": pa.array([row[0] for row in rows], pa.int64()),
            "time": pa.array([row[1] for row in rows], pa.int64()),
            "available_time": pa.array([row[2] for row in rows], pa.int64()),
            "code": pa.array([row[3] for row in rows], pa.string()),
            "sha256": pa.array([row[4] for row in rows], pa.string()),
        })  # fmt: skip
        write_events(workspace / "content_events" / "content_events.parquet", table)
        return workspace

    return write


@pytest.fixture(scope="module")
def pairs(beside):
    """A workspace, and a run that learned pairs in it."""
    workspace = beside()
    tree = config(
        model={"dropout": 0.0}, objective={"paired": {**CONFIG["objective"]["paired"], "temperature": 0.2}},
        train={"max_steps": 60, "lr": 0.02, "warmup_steps": 6, "validate_every": 60, "checkpoint_every": 60},
    )  # fmt: skip
    return workspace, pretrain(workspace, tree, device="cpu", out=workspace / "runs" / "pairs").run


@pytest.fixture(scope="module")
def asked(pairs):
    """Labels of that workspace, an hour after each image of train."""
    workspace, _ = pairs
    events = pq.read_table(workspace / "content_events" / "content_events.parquet")
    split = open_dataset(workspace).split("train")
    origin = dict(zip(split.subject_ids.tolist(), split.origins.tolist(), strict=True))
    rows = [(s, origin[s] + t + HOUR, s % 2 == 0)
            for s, t in zip(events["subject_id"].to_pylist(), events["time"].to_pylist(), strict=True) if s in origin]  # fmt: skip
    subjects, times, truth = map(list, zip(*rows, strict=True))
    table = {"subject_id": subjects, "prediction_time": pa.array(times, pa.timestamp("us")), "boolean_value": truth}
    pq.write_table(pa.table(table), workspace / "labels.parquet")
    return workspace / "labels.parquet"


def weights(run):
    return load_file(run / "model.safetensors")


def test_images_are_found_by_their_records(pairs):
    """The loss falls below the log of the number of candidates, and more records find their own image than by chance; the
    run holds encoders of both, and nothing by which images would join."""
    _, run = pairs
    (last,) = [line for line in read_metrics(run / "metrics.jsonl") if line["split"] == "tuning"]
    assert last["loss_paired"] < last["baseline_paired"] - 0.6
    assert last["found_paired"] > 1.5 * last["found_by_chance"] > 0
    assert last["n_paired"] == last["subjects_paired"] == 40
    assert last["found_by_chance"] == pytest.approx(np.exp(-last["baseline_paired"]), rel=0.2)
    held = {name.removeprefix("encoder.beside.").split(".")[0] for name in weights(run) if "beside" in name}
    assert held == {"modalities", "norms", "sides"}


def test_what_came_after_an_image_changes_nothing(beside, tmp_path):
    """Values that came, or could be read, only from the image's time on are others in the second workspace: weights and losses
    are the same to the bit."""
    runs = [pretrain(beside(later), config(), device="cpu", out=tmp_path / str(later)).run for later in (0, 1)]
    one, other = map(weights, runs)
    assert all(torch.equal(one[name], other[name]) for name in one)
    lines = [
        [{k: v for k, v in line.items() if k.startswith(("loss", "found"))} for line in read_metrics(run / "metrics.jsonl")
         if line["split"] != "health"] for run in runs
    ]  # fmt: skip
    assert lines[0] == lines[1] and len(lines[0]) > 1


@pytest.mark.parametrize("window", ["last", "random"])
def test_how_much_came_after_an_image_changes_nothing(beside, tmp_path, window):
    """Of records longer than a window, the one before the image is laid by what was known then: with one or eleven events
    behind it the weights are the same to the bit."""
    tree = config(batching={"max_length": 7, "window": window})
    one, other = (weights(pretrain(beside(behind=n), tree, device="cpu", out=tmp_path / str(n)).run) for n in (1, 11))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_was_stopped_ends_with_the_same_weights(beside, tmp_path):
    """Taken up again after two of four steps, with several batches a step, masks, and images at their triplets, too."""
    workspace = beside()
    tree = config(objective={"masked": {"weight": 1}, "paired": {**CONFIG["objective"]["paired"], "whole_share": 0.5}},
                  train={"accumulate_tokens": 1000})  # fmt: skip
    run = pretrain(workspace, tree, device="cpu", out=tmp_path / "run").run
    before = weights(run)
    assert any("to_value" in name for name in before)
    (run / "checkpoints" / "latest").write_text("step-000002\n")
    pretrain(workspace, tree, device="cpu", out=run, resume=True)
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_step_of_several_batches_has_the_gradient_of_one(beside, tmp_path):
    """All pairs of a step are candidates, however many batches they lie in."""
    workspace = beside()
    still = {"model": {**CONFIG["model"], "dropout": 0.0}}
    one = config(batching={"tokens_per_batch": 4096}, train={"max_steps": 1, "accumulate_tokens": 0}, **still)
    many = config(batching={"tokens_per_batch": 512}, train={"max_steps": 1, "accumulate_tokens": 1024}, **still)
    runs = [
        pretrain(workspace, tree, device="cpu", out=tmp_path / name).run for name, tree in (("1", one), ("2", many))
    ]
    first, second = ([line for line in read_metrics(run / "metrics.jsonl") if line["split"] == "train"] for run in runs)
    for name in ("loss_paired", "baseline_paired", "n_paired", "grad_norm"):
        assert first[0][name] == pytest.approx(second[0][name], rel=1e-4), name
    assert first[0]["n_paired"] == 120


def test_what_has_no_pairs_is_said(beside, tmp_path):
    """No modality, a workspace without contents, nobody to be told from, another objective that ends records: each in one
    line, before anything is made."""
    for objective, modalities, said in (
        ({"paired": {"weight": 1}}, {"image": None}, "names nothing to look at"),
        ({"paired": {"weight": 1}, "forecast": {"weight": 1}}, {}, "no other objective may end or double"),
        ({"paired": {"weight": 1}, "contrastive": {"weight": 1}}, {}, "no other objective may end or double"),
    ):
        with pytest.raises(ConfigError, match=said):
            config(objective=objective, modalities=modalities)
    for has, said in ((1, "no two have one"), (0, "looks at contents")):
        with pytest.raises(ConfigError, match=said):
            pretrain(beside(has=has), config(), device="cpu", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_learns_a_task_starts_from_the_encoders_that_learned_pairs(pairs, asked, tmp_path):
    """Joint, it begins with their weights; frozen, it keeps the image's as they are; where only the record is asked, images
    are not looked at."""
    (workspace, run), labels = pairs, asked
    still = ("train.lr=1e-12", "train.max_steps=1", *ONCE)
    begun, name = weights(run), "encoder.beside.modalities.0."
    for fusion in ("gate", "token"):
        joint = finetune(workspace, labels, run, fusion=fusion, device="cpu", settings=still, out=tmp_path / fusion).run
        learned = weights(joint)
        shared = [n for n in begun if n.startswith("encoder.") and n in learned]
        assert sum(n.startswith(name) for n in shared) > 5
        assert all(torch.allclose(learned[n], begun[n], atol=1e-9) for n in shared)
    frozen = finetune(workspace, labels, run, fusion="concat", device="cpu", out=tmp_path / "frozen",
                      settings=(*still, "modalities.image.frozen=true"))  # fmt: skip
    assert not any(n.startswith(name) for n in weights(frozen.run))
    (modality,) = load_encoder(frozen.run).encoder.beside.looked_at
    assert all(torch.equal(tensor, begun[name + n]) for n, tensor in modality.state_dict().items())
    with pytest.raises(CheckpointError, match="other names or shapes"):
        finetune(workspace, labels, run, fusion="gate", device="cpu", out=tmp_path / "other",
                 settings=(*still, "modalities.image.frozen=true", "modalities.image.cnn.width=16"))  # fmt: skip
    told = embed(workspace, run, splits=["held_out"], device="cpu", out=tmp_path / "a.parquet")
    (workspace / "content_events").rename(workspace / "elsewhere")
    try:
        again = embed(workspace, run, splits=["held_out"], device="cpu", out=tmp_path / "b.parquet")
    finally:
        (workspace / "elsewhere").rename(workspace / "content_events")
    assert pq.read_table(told.path)["embedding"] == pq.read_table(again.path)["embedding"]


def test_what_pairs_taught_learns_on_at_the_rate_of_what_was_pretrained(pairs, asked, tmp_path):
    """An image's encoder that pairs or a file have taught makes smaller steps than one of nothing and than what joins, also
    where a run is taken up again; a file that is named is taken in place of what the run has."""
    workspace, run = pairs
    fast = ("train.lr=1e-3", "train.max_steps=2", "train.checkpoint_every=1", "train.weight_decay=0", *ONCE,
            "train.schedule=constant", "objective.label.encoder_rate=0.25", "train.clip=1e9")  # fmt: skip
    sizes = tuple(f"modalities.image.{key}" for key in ("size=16", "d_embedding=16", "cnn.n_stages=2", "cnn.width=8"))
    plain = pretrain(workspace, config(modalities={"image": None}, objective={"masked": {"weight": 1}, "paired": {"weight": 0}}),
                     device="cpu", out=tmp_path / "plain").run  # fmt: skip
    own, file = "encoder.beside.modalities.0.", tmp_path / "image.safetensors"
    taught = {name.removeprefix(own): 0.5 * tensor for name, tensor in weights(run).items() if name.startswith(own)}
    save_file(taught, file)

    def moved(out, *more, **about):
        """How far the second of two steps went, as a share of the rate: of the image's encoder, and of what joins it."""
        made = finetune(workspace, asked, about.pop("run", run), fusion="gate", device="cpu", out=tmp_path / out,
                        settings=(*fast, *more), **about).run  # fmt: skip
        first, last = (load_file(made / "checkpoints" / f"step-00000{k}" / "model.safetensors") for k in (1, 2))
        steps = {name: float((last[name] - first[name]).abs().max() / 1e-3) for name in last}
        image = [steps.pop(name) for name in [*steps] if name.startswith(own)]
        return max(image), max(step for name, step in steps.items() if "beside.way" in name), first

    from_pairs, way, _ = moved("pairs")
    assert 0.1 < from_pairs < 0.4 < 0.6 < way
    assert moved("nothing", *sizes, run=plain)[0] > 0.6
    from_file, _, first = moved("file", f"modalities.image.weights={file}")
    assert 0.1 < from_file < 0.4
    assert all(torch.allclose(first[own + name], tensor, atol=1e-3) for name, tensor in taught.items())
    before = weights(tmp_path / "pairs")
    (tmp_path / "pairs" / "checkpoints" / "latest").write_text("step-000001\n")
    assert moved("pairs", resume=True)[0] == from_pairs
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(tmp_path / "pairs").items())


def test_a_run_needs_the_file_that_it_began_from_no_more(beside, tmp_path):
    """Once an encoder has learned, the weights that its config names may be gone: the run goes on, and others start from it."""
    workspace, file = beside(), tmp_path / "image.safetensors"
    image = config().modalities
    save_weights(make_modalities(image, 7)[0], file)
    tree = config(modalities={"image": {**IMAGE, "weights": str(file)}}, train={"max_steps": 2, "checkpoint_every": 1})
    run = pretrain(workspace, tree, device="cpu", out=tmp_path / "run").run
    before = weights(run)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"image\.safetensors: is not there"):
        pretrain(workspace, tree, device="cpu", out=tmp_path / "other", dry_run=True)
    (run / "checkpoints" / "latest").write_text("step-000001\n")
    pretrain(workspace, tree, device="cpu", out=run, resume=True)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(run).items())
    still = config(train={"max_steps": 1, "lr": 1e-12})
    more = pretrain(workspace, still, init=run, device="cpu", out=tmp_path / "more").run
    assert all(torch.allclose(before[name], tensor, atol=1e-9) for name, tensor in weights(more).items())


def test_a_plan_counts_what_images_need(beside, tmp_path):
    """A larger image needs what a backward pass keeps of each more; a frozen encoder needs no gradients; an encoder that
    cannot fit is refused before it is made."""
    workspace = beside()

    def needed(**image):
        tree = config(
            objective={"masked": {"weight": 1}, "paired": {"weight": 1}},
            modalities={"image": {**IMAGE, **image}},
            train={"max_steps": 2},
        )  # fmt: skip
        plan = pretrain(workspace, tree, device="cpu", out=tmp_path / "run", dry_run=True).plan
        return plan.memory_bytes, plan.parameters.total

    small, own = needed()
    wide, more = needed(cnn={"n_stages": 2, "width": 128})
    assert wide - small > 16 * (more - own) > 1e6
    large, same = needed(size=96)
    # of each image the first stage alone keeps two activations of 8 channels
    assert same == own and large - small > 40 * 2 * 8 * (96**2 - 16**2) * 4
    frozen, fewer = needed(size=96, frozen=True)
    assert fewer < own and frozen < large - 0.9 * (large - small)
    with pytest.raises(TrainingError, match="parameters needs"):
        needed(encoder="vit", size=1024, vit={"patch": 256, "d_model": 4096, "n_layers": 128, "n_heads": 64})
