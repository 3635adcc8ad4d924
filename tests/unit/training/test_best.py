"""Early stopping, the best weights and the final ones."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tawt.commands.pretrain import pretrain
from tawt.config.train import TrainConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.files import write_hashes
from tawt.training import loop
from tawt.training.best import (
    best_file,
    best_steps,
    counted,
    ending,
    ends_early,
    is_over,
    keep_again,
    keep_weights,
    lost_best,
    say_best,
)
from tawt.training.checkpoint import write_tensors
from tawt.training.metrics import read_metrics


def lines(*losses):
    """Tuning lines of steps 1, 2, ..."""
    return [{"step": i + 1, "split": "tuning", "loss": loss} for i, loss in enumerate(losses)]


def test_patience_counts_validations_without_a_better_loss():
    """A run ends after `patience` validations that did not beat all before; an equal loss is no better one."""
    assert not ends_early(lines(3, 2, 1), 2)
    assert not ends_early(lines(3, 2, 2.5), 2)
    assert ends_early(lines(3, 2, 2.5, 2), 2)
    assert not ends_early(lines(3, 2, 2.5, 1.9), 2)
    assert not ends_early(lines(3, 4, 5), 0) and not ends_early([], 1)


def test_the_best_are_the_lowest_the_earlier_first():
    """The lowest losses come first; of equal ones the earlier."""
    assert best_steps(lines(3, 1, 2, 1), 3) == [2, 4, 3]


@pytest.fixture
def picky(config, with_train):
    """A config that keeps the two best validations and averages them."""
    return with_train(config, max_steps=12, validate_every=2, checkpoint_every=3, keep_best=2, final="average", lr=0.03)


def test_the_final_weights_are_the_mean_of_the_best(workspace, picky, tmp_path):
    """`best/` holds the weights of the lowest tuning losses, `best.json` names them, and the model is their mean."""
    run = pretrain(workspace, picky, device="cpu", out=tmp_path / "a").run
    tuning = [line for line in read_metrics(run / "metrics.jsonl") if line["split"] == "tuning"]
    wanted = best_steps(tuning, 2)
    kept = json.loads((run / "best" / "best.json").read_text())["kept"]
    assert [entry["step"] for entry in kept] == wanted
    files = sorted(path.name for path in (run / "best").glob("*.safetensors"))
    assert files == sorted(entry["file"] for entry in kept)
    first, second = (load_file(run / "best" / name) for name in files)
    final = load_file(run / "model.safetensors")
    assert any(not torch.equal(first[name], second[name]) for name in final)
    for name, tensor in final.items():
        assert torch.allclose(tensor, (first[name] + second[name]) / 2, atol=1e-7), name


def test_the_best_can_be_the_final_weights(workspace, picky, tmp_path, with_train):
    """`final: best` is the checkpoint of the lowest tuning loss, bit for bit."""
    run = pretrain(workspace, with_train(picky, final="best"), device="cpu", out=tmp_path / "a").run
    best = json.loads((run / "best" / "best.json").read_text())["kept"][0]["file"]
    final, kept = load_file(run / "model.safetensors"), load_file(run / "best" / best)
    assert all(torch.equal(final[name], kept[name]) for name in final)


def test_a_run_that_learns_nothing_ends_early_and_stays_ended(workspace, config, tmp_path, with_train, monkeypatch):
    """With patience 2 and losses that rise, a run ends at its third validation, and `resume` finds it finished."""
    losses = iter([1.0, 2.0, 3.0, 4.0])
    real = loop.means
    monkeypatch.setattr(loop, "means", lambda *a: real(*a) | {"loss": next(losses)})
    config = with_train(config, validate_every=2, patience=2, log_every=100)
    monkeypatch.setattr(loop.Trainer, "_read", lambda self, everything=False: list(self._pending.due(True)))
    pretrain(workspace, config, device="cpu", out=tmp_path / "a")
    monkeypatch.undo()
    before = (tmp_path / "a" / "model.safetensors").read_bytes()
    assert (tmp_path / "a" / "checkpoints" / "latest").read_text().strip() == "step-000006"
    result = pretrain(workspace, config, device="cpu", out=tmp_path / "a", resume=True)
    assert result.plan.start_step == 6 and result.weights.read_bytes() == before


@pytest.mark.parametrize("stop_after", [4, 5, 9])
def test_the_best_survive_a_stop(workspace, picky, tmp_path, broken_off, stop_after):
    """Stopped between checkpoints and resumed, the kept weights and the mean are those of a run left alone."""
    pretrain(workspace, picky, device="cpu", out=tmp_path / "a")
    broken_off(stop_after, workspace, picky, device="cpu", out=tmp_path / "b")
    pretrain(workspace, picky, device="cpu", out=tmp_path / "b", resume=True)
    for path in [*(tmp_path / "a" / "best").iterdir(), tmp_path / "a" / "model.safetensors"]:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
    assert len(list((tmp_path / "b" / "best").iterdir())) == 3


def test_a_flipped_bit_among_the_best_weights_is_not_averaged(workspace, picky, tmp_path, broken_off, with_train):
    """Weights that were kept for the end, and changed on the disk meanwhile, are named before they are used."""
    picky = with_train(picky, keep_best=6)  # all that there are: none is displaced
    broken_off(9, workspace, picky, device="cpu", out=tmp_path / "a")
    path = sorted((tmp_path / "a" / "best").glob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for dry_run in (True, False):  # before a step is made
        with pytest.raises(CheckpointError, match=f"{path.name}: is not as it was written"):
            pretrain(workspace, picky, device="cpu", out=tmp_path / "a", resume=True, dry_run=dry_run)


def test_a_validation_at_an_end_that_is_none_does_not_count():
    """Of a run that grew, the validation at its old end, which one left alone has not, counts neither for patience nor
    among the best; at the end of the run as it is it does, and so does one that was due."""
    grown = TrainConfig(max_steps=12, validate_every=2, patience=1, keep_best=1)
    tuning = [{"step": step, "loss": loss} for step, loss in ((2, 3.0), (4, 2.0), (5, 2.5))]
    assert [line["step"] for line in counted(tuning, grown)] == [2, 4] and not is_over(4, tuning, grown)
    short = grown.model_copy(update={"max_steps": 5})
    assert counted(tuning, short) == tuning and is_over(4, tuning, short)


def made_of(run, step, where) -> bytes:
    """Weights of a step, in `best/` or in a whole checkpoint; the bytes of their file."""
    tensors = {"w": torch.full((2,), float(step))}
    keep_weights(run, step, tensors)
    content = best_file(run, step).read_bytes()
    if where == "checkpoint":
        best_file(run, step).unlink()
        (folder := run / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
        write_tensors(tensors, folder / "model.safetensors")
        write_hashes(folder)
    return content


def test_what_a_grown_run_goes_by_outlives_the_best_at_its_old_end(tmp_path):
    """Where the validation at the end is the best, the weights that are the best without it stay for a run that grows,
    and go when one of its own displaces them."""
    config = TrainConfig(max_steps=5, validate_every=2, keep_best=1, final="best")
    tuning = [{"step": step, "loss": 9.0 - step} for step in (2, 4, 5)]
    for step in (2, 4, 5):
        made_of(tmp_path, step, "best")
    gone = say_best(tmp_path, tuning, config)
    assert [path.name for path in gone] == ["step-000002.safetensors"]
    assert [e["step"] for e in json.loads((tmp_path / "best" / "best.json").read_text())["kept"]] == [5]
    grown = config.model_copy(update={"max_steps": 12})
    assert lost_best(tmp_path, tuning, grown) == []
    gone = say_best(tmp_path, tuning, grown)
    assert sorted(path.name for path in gone) == ["step-000002.safetensors", "step-000005.safetensors"]


def test_the_best_that_went_are_taken_from_their_checkpoints(tmp_path):
    """Taken up again from before better ones, a run finds the best weights in its checkpoints, byte for byte; where there
    are none, or damaged ones, that is said with what helps, unless the last weights are wanted."""
    config = TrainConfig(max_steps=12, validate_every=2, keep_best=2, final="average")
    tuning = [{"step": step, "loss": 9.0 - step} for step in (2, 4, 6)]
    content = made_of(tmp_path, 4, "checkpoint")
    made_of(tmp_path, 6, "best")
    assert lost_best(tmp_path, tuning, config) == [4]
    keep_again(tmp_path, tuning, config)
    assert best_file(tmp_path, 4).read_bytes() == content and lost_best(tmp_path, tuning, config) == []
    best_file(tmp_path, 4).unlink()
    weights = tmp_path / "checkpoints" / "step-000004" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"step-000004\.safetensors: is not there") as error:
        lost_best(tmp_path, tuning, config)
    assert "move metrics.jsonl away" in error.value.hint
    assert lost_best(tmp_path, tuning, config.model_copy(update={"final": "last"})) == []


def test_a_run_that_grew_ends_as_one_left_alone(workspace, picky, tmp_path, with_train):
    """Grown from an end that is no multiple of `validate_every`, and from before better validations whose weights went,
    a run ends in the mean of the same weights as one that had all steps from the start."""
    long = with_train(
        picky, schedule="constant", warmup_steps=0, max_steps=8, checkpoint_every=2, keep_checkpoints=9, keep_best=1
    )
    alone = pretrain(workspace, long, device="cpu", out=tmp_path / "alone")
    run = pretrain(workspace, with_train(long, max_steps=5), device="cpu", out=tmp_path / "grown").run
    grown = pretrain(workspace, long, device="cpu", out=run, resume=True)
    assert grown.weights.read_bytes() == alone.weights.read_bytes()
    (run / "checkpoints" / "latest").write_text("step-000004\n")
    for path in (run / "best").glob("step-*"):
        path.unlink()
    again = pretrain(workspace, long, device="cpu", out=run, resume=True)
    assert again.weights.read_bytes() == alone.weights.read_bytes()


def test_without_tuning_nothing_can_be_chosen(tmp_path, picky, write_dataset):
    """`final: average` without a tuning subject is refused before the run begins."""
    write_dataset(tmp_path, {"train": [20], "tuning": [0]})
    with pytest.raises(ConfigError, match="no tuning subject"):
        pretrain(tmp_path, picky, device="cpu")
    assert not list((tmp_path / "runs").glob("*"))


def test_how_a_run_ended_is_told():
    """An early end names its step and why, and weights that are not the last say of which steps they are."""
    losses = {10: 0.5, 20: 0.3, 30: 0.4, 40: 0.6, 50: 0.7}
    tuning = [{"step": step, "loss": loss} for step, loss in losses.items()]
    config = TrainConfig(max_steps=100, validate_every=10, patience=3, keep_best=2, final="average")
    early, of = ending(tuning, config)
    assert "after step 50 of 100: 3 validations" in early
    assert "the mean of those after steps 20, 30; the least loss on tuning was 0.3000" in of
    (alone,) = ending(tuning[:1], config)
    assert "are those after step 10;" in alone
    (best,) = ending(tuning[:3], config.model_copy(update={"final": "best"}))
    assert "are those after step 20;" in best
    assert ending(tuning[:3], config.model_copy(update={"final": "last"})) == []
