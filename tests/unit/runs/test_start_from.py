"""What a run takes of another one's encoders of images and waveforms: by name, whole, and told."""

from __future__ import annotations

import pytest
import torch

from tawt.config.load import build
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import open_dataset
from tawt.objectives.pretrain_model import build_model
from tawt.runs.load import Saved
from tawt.runs.start import learned_before, start_from
from tawt.training.checkpoint import write_tensors

CNN = {"n_stages": 2, "width": 8}
IMAGE, WAVEFORM = {"size": 16, "d_embedding": 16, "cnn": CNN}, {"length": 64, "width": 8, "d_embedding": 16}
OF_IMAGE, OF_WAVEFORM = "modalities.image", "modalities.waveform"


@pytest.fixture
def start(write_dataset, tmp_path):
    """`start(was, now)`: what a model with modalities `now` is after it started from one with `was`, whose weights are all
    .5: names below `encoder.beside` that were taken, the others, what was told, and the names learned before."""
    write_dataset(tmp_path / "w", {"train": [20]})
    vocabulary = open_dataset(tmp_path / "w").vocabulary

    def config(modalities):
        model = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ffn": 16}
        tree = {"model": model, "modalities": {"fusion": {"d_content": 16}, **modalities}}
        return build(PretrainConfig, tree, "test")

    def started(was, now):
        file, before = tmp_path / "model.safetensors", build_model(config(was), vocabulary, 0)
        write_tensors({name: torch.full_like(p, 0.5) for name, p in before.named_parameters()}, file)
        saved, model = Saved(config(was), vocabulary, file), build_model(config(now), vocabulary, 0)
        told = start_from(saved, model, config(now))
        beside = dict(model.encoder.beside.named_parameters())
        taken = {name for name, tensor in beside.items() if (tensor == 0.5).all()}
        learned = learned_before(saved, model, config(now))
        assert "encoder.embedding.data_type.weight" in learned and not any(name.startswith("heads") for name in learned)
        return taken, set(beside) - taken, told, learned

    return started


def test_encoders_are_taken_by_what_they_encode(start):
    """A run that had waveforms alone gives their encoder to one that looks at images, too, though it has another place
    there; how both join is new, for it was learned of one."""
    taken, anew, told, learned = start({"waveform": WAVEFORM}, {"image": IMAGE, "waveform": WAVEFORM})
    assert {name.split(".")[1] for name in taken} == {"1"} and any(name.startswith("modalities.1.") for name in taken)
    assert {name.split(".")[1] for name in anew} == {"0", "weight", "bias"}
    assert (
        f"the encoder of {OF_IMAGE} starts anew" in told and f"the encoder of {OF_WAVEFORM} is that of the run" in told
    )
    assert {f"encoder.beside.{name}" for name in taken} == {name for name in learned if "beside" in name}
    taken, *_ = start({"image": IMAGE, "waveform": WAVEFORM}, {"waveform": WAVEFORM})
    assert any(name.startswith("modalities.0.") for name in taken) and not any("to_value" in name for name in taken)


def test_of_an_encoder_all_is_taken_or_nothing(start):
    """Where one has another width, or is of another file, no layer of it is left from the run, though some fit."""
    taken, _, told, _ = start({"image": IMAGE}, {"image": IMAGE})
    assert any("to_value" in name for name in taken) and f"the encoder of {OF_IMAGE} is that of the run" in told
    for now in ({**IMAGE, "cnn": {**CNN, "n_stages": 3}}, {**IMAGE, "weights": "elsewhere.safetensors"}):
        taken, anew, told, learned = start({"image": IMAGE}, {"image": now})
        assert not taken and anew
        begins = "starts from elsewhere.safetensors" if "weights" in now else "starts anew"
        assert f"the encoder of {OF_IMAGE} {begins}" in told
        parts = {name.split(".")[2] for name in learned if "beside" in name}
        assert parts == ({"modalities"} if "weights" in now else set())


def test_of_a_frozen_encoder_what_stands_behind_it_is_taken(start):
    """It has no weights in either run; the layers behind it are taken unless it is another one."""
    was = {**IMAGE, "frozen": True}
    for now in (was, IMAGE):
        taken, anew, *_ = start({"image": was}, {"image": now})
        assert {name.split(".")[0] for name in taken} == {"norms", "sides", "to_value"}
        assert {name.split(".")[0] for name in anew} == ({"modalities"} if now is IMAGE else set())
