"""What a run may start from and go on as: another run's weights, more steps, other settings that change no result."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import tawt
from tawt.commands.pretrain import pretrain
from tawt.config.augment import AugmentConfig
from tawt.config.load import build, merge, overrides
from tawt.config.train import PretrainConfig, TrainConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.models.encoder import Encoder
from tawt.seals import changed_files, sha256_file
from tawt.training.metrics import read_metrics
from tawt.training.optim import learning_rate, make_optimizer, same_steps


def changed(config: PretrainConfig, *settings: str) -> PretrainConfig:
    """A config with overrides."""
    return build(PretrainConfig, merge(config.model_dump(), overrides(settings)), "config")


def notes_of(workspace, config, **how) -> tuple[str, object]:
    """What a run says on its way, and what it gave."""
    events: list[dict] = []
    result = pretrain(workspace, config, device="cpu", report=events.append, **how)
    return " | ".join(event["text"] for event in events if event["event"] == "note"), result


def test_a_run_starts_from_anothers_weights(workspace, config):
    """With `init`, all weights are those of the other run, and the run says what it took; the step starts at 0."""
    first = pretrain(workspace, config, device="cpu", out=workspace / "runs" / "first")
    still = changed(config, "train.max_steps=1", "train.lr=1e-30", "train.weight_decay=0")
    said, result = notes_of(workspace, still, init="first", out=workspace / "runs" / "second")
    was, now = load_file(first.weights), load_file(result.weights)
    assert was.keys() == now.keys() and all(torch.equal(was[name], now[name]) for name in was)
    assert f"{len(was)} of {len(was)} tensors" in said and "start anew" in said
    plan = pretrain(workspace, still, device="cpu", init=first.run, out=workspace / "runs" / "third", dry_run=True).plan
    assert plan.start_step == 0 and "from the weights of" in plan.reasons["start_step"]
    about = json.loads((result.run / "versions.json").read_text())["init"]
    assert (result.run / about["weights"]).samefile(first.weights) and about["sha256"] == sha256_file(first.weights)
    # a run that goes on takes its own checkpoint, not the other run's weights again
    again, resumed = notes_of(workspace, still, init="first", out=result.run, resume=True)
    assert "tensors" not in again and resumed.weights.read_bytes() == result.weights.read_bytes()


def test_a_resumed_run_keeps_what_it_started_from(workspace, config, broken_off):
    """`versions.json` says the weights that a run began with, also after it was resumed without naming them."""
    pretrain(workspace, config, device="cpu", out=workspace / "runs" / "first")
    run = workspace / "runs" / "second"
    broken_off(5, workspace, config, device="cpu", out=run, init="first")
    before = json.loads((run / "versions.json").read_text())
    pretrain(workspace, config, device="cpu", out=run, resume=True)
    assert json.loads((run / "versions.json").read_text()) == before and "init" in before


def test_other_heads_start_anew_and_are_named(workspace, config):
    """Another objective and readout take the encoder's weights; what starts anew, and what is set otherwise, is said."""
    first = pretrain(workspace, config, device="cpu", out=workspace / "runs" / "first")
    other = changed(
        config, "train.max_steps=1", "train.lr=1e-30", "train.weight_decay=0", "objective.masked.weight=0",
        "objective.forecast.weight=1", "model.pooling=attention", "model.dropout=0",
    )  # fmt: skip
    said, result = notes_of(workspace, other, init=first.run, out=workspace / "runs" / "second")
    was, now = load_file(first.weights), load_file(result.weights)
    for name in was:
        assert not name.startswith("encoder.") or torch.equal(was[name], now[name])
    assert "heads.documents.forecast_value" in said and "encoder.pooling" in said
    assert "model.dropout" in said and "model.pooling" in said and "model.d_model" not in said


def test_an_encoding_of_time_more_says_nothing_at_first(workspace, config):
    """An encoder that is told more of time begins as the one that it starts from, to the last bit, and says what is new;
    then it learns that too."""
    config = changed(config, "model.time=[delta]")
    first = pretrain(workspace, config, device="cpu", out=workspace / "runs" / "first")
    more = "model.time=[time2vec, sinusoidal, delta, minute, calendar]"
    still = changed(config, more, "train.max_steps=1", "train.lr=1e-30", "train.weight_decay=0")
    said, result = notes_of(workspace, still, init="first", out=workspace / "runs" / "still")
    assert "of `model.time` time2vec, sinusoidal, calendar, minute is new" in said and "start anew; so do" not in said
    one, other = (tawt.embed(workspace, run, device="cpu") for run in (first.run, result.run))
    vectors = [pq.read_table(embedded.path)["embedding"].to_pylist() for embedded in (one, other)]
    assert np.allclose(*vectors, rtol=0, atol=1e-7) and np.std(vectors[0]) > 0
    _, learned = notes_of(workspace, changed(config, more), init="first", out=workspace / "runs" / "learned")
    new = {
        name: tensor for name, tensor in load_file(learned.weights).items() if ".time." in name and ".gaps." not in name
    }
    assert len(new) > 5 and all(tensor.abs().max() > 0 for tensor in new.values())
    delta = changed(config, "model.time=[minute, delta]", "train.max_steps=1", "train.lr=1e-30", "train.weight_decay=0")
    assert (
        "of `model.time` delta is new" not in notes_of(workspace, delta, init="first", out=workspace / "runs" / "d")[0]
    )


def test_weights_of_another_shape_or_vocabulary_are_refused(workspace, config, write_dataset, tmp_path):
    """An encoder of another width, or a workspace with another vocabulary, is one line and no run folder."""
    pretrain(workspace, config, device="cpu", out=workspace / "runs" / "first")
    wide = changed(config, "model.d_model=32")
    with pytest.raises(
        CheckpointError, match=r"set otherwise there: model\.d_model\), expected an encoder of this shape"
    ):
        pretrain(workspace, wide, device="cpu", init="first", out=tmp_path / "wide")
    write_dataset(tmp_path / "other", n_types=21)
    for dry_run in (True, False):
        with pytest.raises(CheckpointError, match="has vocabulary"):
            pretrain(
                tmp_path / "other", config, device="cpu", init=workspace / "runs" / "first", out=tmp_path / "run",
                dry_run=dry_run,
            )  # fmt: skip
    with pytest.raises(CheckpointError, match="neither a run"):
        pretrain(workspace, config, device="cpu", init="nowhere", out=tmp_path / "run")
    assert not (tmp_path / "run").exists() and not (tmp_path / "wide").exists()


@pytest.mark.parametrize("schedule", ["stable", "constant", "inverse_sqrt"])
def test_a_run_may_grow_where_the_steps_made_are_the_same(workspace, config, schedule):
    """More `max_steps` in a resumed run end in the weights of a run that had them from the start, bit for bit."""
    short = changed(config, f"train.schedule={schedule}", "train.max_steps=8", "train.warmup_steps=0",
                    "train.decay_steps=2", "train.validate_every=0")  # fmt: skip
    long = changed(short, "train.max_steps=16")
    whole = pretrain(workspace, long, device="cpu", out=workspace / "runs" / "whole")
    run = pretrain(workspace, short, device="cpu", out=workspace / "runs" / "grown").run
    if schedule == "stable":
        with pytest.raises(CheckpointError, match="may grow under"):  # step 8 is after the decay
            pretrain(workspace, long, device="cpu", out=run, resume=True)
        (run / "checkpoints" / "latest").write_text("step-000004\n")
    said, result = notes_of(workspace, long, out=run, resume=True)
    assert "train.max_steps was 8 and is 16" in said
    assert result.weights.read_bytes() == whole.weights.read_bytes()
    steps = [line["step"] for line in read_metrics(run / "metrics.jsonl") if line["split"] == "train"]
    assert steps == [*range(1, 17)]


def test_a_run_does_not_grow_under_a_schedule_that_its_length_shapes(workspace, config, broken_off):
    """Under `cosine`, more steps had made other steps: they are refused, and the error says where they may grow."""
    run = workspace / "runs" / "r"
    broken_off(5, workspace, config, device="cpu", out=run)
    with pytest.raises(CheckpointError, match=r"train\.max_steps was 12, is 20; `train\.max_steps` may grow under"):
        pretrain(workspace, changed(config, "train.max_steps=20"), device="cpu", out=run, resume=True)


def test_a_cut_warmup_is_named_and_may_be_kept_as_it_was(workspace, config):
    """A run whose warm-up was cut to a tenth of its steps is not grown into a longer one; the error names the warm-up with
    which it is, and that gives the weights of a run that had it from the start."""
    short = changed(config, "train.schedule=constant", "train.max_steps=20", "train.warmup_steps=50",
                    "train.validate_every=0")  # fmt: skip
    long = changed(short, "train.max_steps=40")
    run = pretrain(workspace, short, device="cpu", out=workspace / "runs" / "grown").run
    with pytest.raises(CheckpointError, match=r"`constant`, with `train\.warmup_steps=2`, to which"):
        pretrain(workspace, long, device="cpu", out=run, resume=True)
    kept = changed(long, "train.warmup_steps=2")
    whole = pretrain(workspace, kept, device="cpu", out=workspace / "runs" / "whole")
    grown = pretrain(workspace, kept, device="cpu", out=run, resume=True)
    assert grown.weights.read_bytes() == whole.weights.read_bytes()


def test_the_rate_is_stable_until_it_falls():
    """`stable` rises, stays at `lr` and falls in a line to its share at the last step, whatever came before."""
    config = TrainConfig(max_steps=100, warmup_steps=4, lr=1.0, min_lr=0.2, schedule="stable", decay_steps=10)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0] and set(rates[4:90]) == {1.0}
    assert rates[90:] == pytest.approx([1 - 0.08 * k for k in range(1, 11)])
    tenth = config.model_copy(update={"decay_steps": 0})
    assert [learning_rate(step, tenth) for step in range(100)] == rates
    longer = config.model_copy(update={"max_steps": 200})
    assert same_steps(config, longer, 90) and not same_steps(config, longer, 91)
    dropping = [one.model_copy(update={"dropout_until": 0.5}) for one in (config, longer)]
    assert same_steps(*dropping, 50) and not same_steps(*dropping, 51)
    for few in (
        TrainConfig(max_steps=1, schedule="stable"),
        TrainConfig(max_steps=3, schedule="stable", decay_steps=9),
    ):
        assert learning_rate(few.max_steps - 1, few) == pytest.approx(few.min_lr * few.lr)


def test_what_changes_no_result_may_change(workspace, config, broken_off):
    """`prefetch`, `log_every`, `health_every` and the kernel may be set anew in a resumed run; the weights stay the same."""
    left = pretrain(workspace, config, device="cpu", out=workspace / "runs" / "left")
    broken_off(5, workspace, config, device="cpu", out=workspace / "runs" / "r")
    other = changed(config, "batching.prefetch=2", "train.log_every=3", "train.health_every=5", "model.kernel=packed")
    result = pretrain(workspace, other, device="cpu", out=workspace / "runs" / "r", resume=True)
    assert result.weights.read_bytes() == left.weights.read_bytes()


def test_only_the_weights_of_linear_maps_decay(workspace, config):
    """Tables of two dimensions decay as little as those that are embeddings: it goes by what they are."""
    from tawt.dataset.reader import open_dataset

    model = changed(
        config, "model.attention=[decay,bucket,cosine,recency]", "model.decay.learned=true", "model.pooling=per_type"
    ).model
    encoder = Encoder(model, open_dataset(workspace).vocabulary)
    decays, keeps = make_optimizer(encoder, TrainConfig()).param_groups
    names = {id(p): name for name, p in encoder.named_parameters()}
    kept = {names[id(p)] for p in keeps["params"]}
    assert {
        "blocks.0.attention.buckets",
        "blocks.0.attention.amplitudes",
        "pooling.bias",
        "pooling.recency.weight",
    } <= kept
    assert {names[id(p)] for p in decays["params"]} >= {"pooling.weight", "blocks.0.ffn.inner.weight"}
    assert len(decays["params"]) + len(keeps["params"]) == len(names)


@pytest.mark.parametrize(
    ("settings", "doubt"),
    [
        (["model.decay.n_free_heads=2"], "all 2 heads are free of decay"),
        (["model.pooling=attention"], "nothing trains the readout `attention`"),
        (["objective.masked.value=0", "objective.masked.event=0", "objective.masked.data_type=0.001",
          "batching.max_length=8", "batching.tokens_per_batch=8", "train.accumulate_tokens=0"],
         "the part `data_type` has no position"),
        (["objective.contrastive.weight=1", "model.dropout=0", "batching.tokens_per_batch=4096",
          *(f"objective.contrastive.views.{name}=0" for name in AugmentConfig.model_fields)],
         "the two views of a document are equal"),
    ],
)  # fmt: skip
def test_silent_nothings_are_doubted(workspace, config, settings, doubt):
    """What would teach nothing is a doubt of the dry run and a note of the run."""
    odd = changed(config, "train.max_steps=1", *settings)
    plan = pretrain(workspace, odd, device="cpu", dry_run=True).plan
    assert any(doubt in text for text in plan.doubts)
    said, _ = notes_of(workspace, odd)
    assert doubt in said
    plain = pretrain(workspace, config, device="cpu", out=workspace / "runs" / "x", dry_run=True).plan
    told = ("free of decay", "nothing trains", "no position", "are equal")
    assert not any(text in doubt for doubt in plain.doubts for text in told)


@pytest.mark.parametrize(
    ("settings", "first", "n"),
    [
        ([], None, 0),
        (["objective.masked.data_type_weight=0", "objective.masked.event=0", "objective.masked.data_type=0"], None, 0),
        (["model.n_layers=0", "model.pooling=cls", "objective.masked.weight=0", "objective.forecast.weight=1"],
         "encoder.embedding.value.network.inner.weight", 19),
    ],
)  # fmt: skip
def test_what_no_gradient_reaches_is_told_once(workspace, config, settings, first, n):
    """At the first checkpoint a run names the parameters that every step so far has left as they were; it tells of none
    where all have learned, and of no part that the config turns off."""
    said, _ = notes_of(workspace, changed(config, "train.max_steps=8", *settings))
    assert said.count("no gradient has reached") == (first is not None)
    if first is not None:
        assert f"in 4 steps no gradient has reached `{first}`" in said
        assert f"and {n - 3} more: no part of the loss hangs on them" in said


def test_of_a_first_step_it_is_not_told_what_no_gradient_reaches(workspace, config):
    """What begins at zero lets none pass before it has learned: a run with checkpoints at each step tells at the third."""
    idle = ("model.n_layers=0", "model.pooling=cls", "objective.masked.weight=0", "objective.forecast.weight=1")
    said, _ = notes_of(workspace, changed(config, "train.max_steps=4", "train.checkpoint_every=1", *idle))
    assert said.count("no gradient has reached") == 1 and "in 3 steps no gradient has reached" in said


def test_a_run_without_a_checkpoint_begins_again_from_the_same_weights_alone(workspace, config, tmp_path, broken_off):
    """Broken off before its first checkpoint, a run from another's weights is refused without them, and one from its
    seed is refused with them: neither goes on as what it is not."""
    init = {"init": pretrain(workspace, config, device="cpu", out=tmp_path / "first").run}
    for given, other in ((init, {}), ({}, init)):
        run = tmp_path / f"run{len(given)}"
        broken_off(2, workspace, config, device="cpu", out=run, **given)
        with pytest.raises(ConfigError, match="was begun from the weights"):
            pretrain(workspace, config, device="cpu", out=run, resume=True, **other)
        assert pretrain(workspace, config, device="cpu", out=run, resume=True, **given).plan.start_step == 0


def test_a_run_with_a_checkpoint_is_not_resumed_from_other_weights(workspace, config, tmp_path):
    """Weights that a run was not begun from are refused with a hint that works, dry or not, also after its checkpoint;
    those that it was begun from, and none, go on from the checkpoint."""
    short = changed(config, "train.max_steps=1", "train.validate_every=0")
    first = pretrain(workspace, short, device="cpu", out=tmp_path / "first").run
    other = pretrain(workspace, changed(short, "train.seed=1"), device="cpu", out=tmp_path / "other").run
    began = pretrain(workspace, short, device="cpu", out=tmp_path / "began", init=first).run
    for run, wrong, right in ((began, other, first), (first, other, None)):
        for dry_run in (True, False):
            with pytest.raises(ConfigError, match="was begun from the weights") as error:
                pretrain(workspace, short, device="cpu", out=run, init=wrong, resume=True, dry_run=dry_run)
        assert "leave out `--init`" in error.value.hint
        for given in (None, right):
            plan = pretrain(workspace, short, device="cpu", out=run, init=given, resume=True, dry_run=True).plan
            assert plan.start_step == 1


def test_a_run_that_did_not_grow_after_all_tells_the_steps_that_it_has(workspace, config, tmp_path, broken_off):
    """Broken off before the first checkpoint of its growth and finished by its old length, a run's config has that one."""
    short = changed(
        config, "train.schedule=constant", "train.warmup_steps=0", "train.max_steps=1", "train.validate_every=0"
    )
    run = pretrain(workspace, short, device="cpu", out=tmp_path / "run").run
    before = (run / "config.yaml").read_bytes()
    broken_off(1, workspace, changed(short, "train.max_steps=3"), device="cpu", out=run, resume=True)
    assert (run / "config.yaml").read_bytes() != before
    pretrain(workspace, short, device="cpu", out=run, resume=True)
    assert (run / "config.yaml").read_bytes() == before and changed_files(run) == []
