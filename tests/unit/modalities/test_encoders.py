"""Arrays to inputs, inputs to embeddings: of any size and depth, each by itself, and nothing that chance of torch decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tawt.config.modalities import CnnConfig, ImageConfig, ModalitiesConfig, VitConfig, WaveformConfig
from tawt.errors import CheckpointError
from tawt.modalities.decode import MODALITIES
from tawt.modalities.encoders.images import Image, changed
from tawt.modalities.encoders.made import KINDS, begin_at_weights, make_modalities, save_weights
from tawt.modalities.encoders.modality import modality_of
from tawt.modalities.encoders.patches import PatchTransformer
from tawt.modalities.encoders.waveform import Waveform

CONFIGS = {
    "cnn": ImageConfig(size=28, cnn=CnnConfig(width=8)),
    "cnn of 224": ImageConfig(size=224, channels="rgb", cnn=CnnConfig(width=8, n_stages=6)),
    "vit": ImageConfig(encoder="vit", size=28, vit=VitConfig(d_model=16, n_layers=2)),
    "vit of 224": ImageConfig(encoder="vit", size=224, channels="rgb", vit=VitConfig(patch=32, d_model=16)),
    "waveform": WaveformConfig(length=500, leads=2, width=8),
}


def made(config: ImageConfig | WaveformConfig, seed: int = 0):
    part = "image" if isinstance(config, ImageConfig) else "waveform"
    named = ModalitiesConfig(**{part: config})
    modalities = make_modalities(named, seed)
    begin_at_weights(modalities, named)
    return modalities[0]


def image(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_input_is_encoded_by_itself(name) -> None:
    """An embedding does not hang on the batch; none is a batch too; and torch's random state stays, in training too."""
    modality = made(CONFIGS[name]).train()
    with torch.no_grad():  # so that no branch is at zero, where it starts
        for parameter in modality.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    inputs = torch.randn(3, *modality.shape)
    state = torch.get_rng_state()
    out = modality(inputs)
    assert torch.equal(state, torch.get_rng_state()) and out.shape == (3, modality.d_embedding)
    assert torch.allclose(out[1:2], modality(inputs[1:2]), atol=1e-5) and not torch.allclose(out[0], out[1], atol=1e-3)
    assert modality(inputs[:0]).shape == (0, modality.d_embedding)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in modality.parameters())


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (28, 28, 1), (1, 900, 1), (700, 3, 3), (40, 30, 3), (30, 40, 2), (5, 9, 4)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_of_any_size_and_depth_are_fitted(shape, dtype) -> None:
    """All become squares between black and white, grey or in colours."""
    for name in ("cnn", "vit of 224"):
        modality = made(CONFIGS[name])
        out = modality.prepared(image(*shape, dtype=dtype))
        assert out.shape == modality.shape and out.dtype == torch.float32 and out.min() >= -1 and out.max() <= 1


def test_depth_scales_and_colours_are_weighed() -> None:
    """White is 1 and black -1 at 8 and 16 bits alike; grey is the luma of colours, and the same in each colour."""
    grey, rgb = made(CONFIGS["cnn"]), made(ImageConfig(channels="rgb"))
    for dtype in (np.uint8, np.uint16):
        most = np.iinfo(dtype).max
        ramp = (np.linspace(0, 1, 28 * 28).reshape(28, 28, 1) * most).astype(dtype)
        assert np.allclose(grey.prepared(ramp)[0], ramp[..., 0] / most * 2 - 1, atol=1e-6)
        assert torch.equal(rgb.prepared(ramp), grey.prepared(ramp).expand(3, -1, -1))
    red = np.zeros((28, 28, 3), np.uint8)
    red[..., 0] = 255
    assert torch.allclose(grey.prepared(red), torch.tensor(0.299 * 2 - 1))
    clear = np.concatenate([red, np.full((28, 28, 1), 77, np.uint8)], 2)
    assert torch.equal(rgb.prepared(clear), rgb.prepared(red))


def test_an_image_keeps_its_sides_ratio() -> None:
    """A white strip is a white strip in the middle of black, and a large image is a mean of what each pixel covers."""
    out = made(CONFIGS["cnn"]).prepared(np.full((56, 14, 1), 255, np.uint8))[0]
    assert torch.equal(out[:, 11:18], torch.ones(28, 7)) and out[:, :11].max() == out[:, 18:].max() == -1
    stripes = np.where(np.arange(280) % 10 < 3, np.uint8(255), np.uint8(0))[None, :, None].repeat(280, 0)
    assert (made(CONFIGS["cnn"]).prepared(stripes)[0, 2:-2, 2:-2] - (0.3 * 2 - 1)).abs().max() < 0.02


def test_waveforms_of_any_length_are_read_from_their_end() -> None:
    """The last samples stay, silence comes before; leads are centred and scaled alike, what is no number is silent."""
    modality = made(CONFIGS["waveform"])
    signal = np.random.default_rng(0).normal(3, 2, (800, 3)).astype(np.float32)
    out = modality.prepared(signal)
    own = signal[-500:, :2].T - signal[-500:, :2].T.mean(1, keepdims=True)
    assert np.allclose(out, own / own.std(), atol=1e-5)
    short = modality.prepared(signal[:20, :1] * 100)
    assert (
        short.shape == (2, 500)
        and not short[:, :480].any()
        and not short[1].any()
        and abs(short[0, 480:].std() - 1) < 0.05
    )
    broken = signal.copy()
    broken[5:9], broken[11] = np.nan, np.inf
    for odd in (broken, np.zeros((1, 1), np.float32), np.full((9, 2), np.nan, np.float32)):
        assert modality.prepared(odd).isfinite().all()


def test_augmentation_is_a_function_of_its_words() -> None:
    """Equal words change alike, whatever else is there; none changes nothing; and black stays black around an image."""
    images = torch.stack([made(CONFIGS["cnn"]).prepared(image(28, 28, 1, seed=i)) for i in range(3)])
    words = np.array([1, 2, 1], np.uint64)
    out = changed(images, words, 0.5)
    assert torch.equal(out[2:], changed(images[2:], words[2:], 0.5)) and (out - images).abs().mean() > 0.05
    assert not torch.allclose(changed(images[:1], words[1:2], 0.5), out[:1], atol=1e-3)
    assert changed(images, words, 0.0) is images
    white = changed(torch.ones(1, 1, 28, 28), np.array([5], np.uint64), 1.0)
    assert white.shape == (1, 1, 28, 28) and white[0, 0, 14, 14] > white.min()


def test_the_transformer_is_that_of_torch() -> None:
    """Blocks compute what torch's own encoder layers do with the same weights."""
    torch.manual_seed(0)
    ours = PatchTransformer(VitConfig(patch=7, d_model=16, n_layers=2, n_heads=2), 28, 1, 8)
    x = torch.randn(2, 1, 28, 28)
    tokens = x.unfold(2, 7, 7).unfold(3, 7, 7).reshape(2, 16, 49) @ ours.patches.weight.reshape(16, 49).T
    tokens = tokens + ours.patches.bias + ours.place
    for block in ours.blocks:
        layer = nn.TransformerEncoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        layer.load_state_dict({
            "self_attn.in_proj_weight": block.qkv.weight, "self_attn.in_proj_bias": block.qkv.bias,
            "self_attn.out_proj.weight": block.out.weight, "self_attn.out_proj.bias": block.out.bias,
            "linear1.weight": block.inner.weight, "linear1.bias": block.inner.bias,
            "linear2.weight": block.outer.weight, "linear2.bias": block.outer.bias,
            "norm1.weight": block.norm_attention.weight, "norm1.bias": block.norm_attention.bias,
            "norm2.weight": block.norm_ffn.weight, "norm2.bias": block.norm_ffn.bias,
        })  # fmt: skip
        tokens = layer(tokens)
    assert torch.allclose(ours(x), ours.out(ours.norm(tokens).mean(1)), atol=1e-5)


def test_weights_hang_on_the_seed_alone() -> None:
    """One seed gives one encoder, another gives another; torch's random state is left as it was."""
    state = torch.get_rng_state()
    config = ModalitiesConfig(image=CONFIGS["cnn"], waveform=CONFIGS["waveform"])
    first, again, other = (make_modalities(config, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state) and [type(one) for one in first] == [Image, Waveform]
    assert [one.identity() for one in first] == [one.identity() for one in again]
    assert not {one.identity() for one in first} & {one.identity() for one in other}


def test_an_identity_is_of_all_that_decides_an_embedding() -> None:
    """One weight, or how an image is prepared, makes another encoder; how it was trained does not."""
    modality = made(CONFIGS["cnn"])
    before = modality.identity()
    assert made(CONFIGS["cnn"].model_copy(update={"augment": 0.0})).identity() == before
    other = made(ImageConfig(size=32, cnn=CnnConfig(width=8)))
    other.load_state_dict(modality.state_dict())
    assert other.identity() != before
    with torch.no_grad():
        modality.net.out.bias[3] += 1e-6
    assert modality.identity() != before


def test_an_encoder_that_was_trained_before_comes_back(tmp_path: Path) -> None:
    """Weights are written and named in a config; a frozen encoder learns nothing; others do not fit."""
    file = tmp_path / "cnn.safetensors"
    trained = made(CONFIGS["cnn"], seed=5)
    save_weights(trained, file)
    again = made(CONFIGS["cnn"].model_copy(update={"weights": str(file), "frozen": True}))
    assert (
        again.identity() == trained.identity() and again.frozen and not any(p.requires_grad for p in again.parameters())
    )
    with pytest.raises(CheckpointError, match="other names or shapes") as error:
        made(ImageConfig(weights=str(file), d_embedding=9, cnn=CnnConfig(width=8)))
    assert error.value.hint
    for bad in (b"", b"no safetensors", file.read_bytes()[:-9]):
        file.write_bytes(bad)
        with pytest.raises(CheckpointError, match="safetensors"):
            made(CONFIGS["cnn"].model_copy(update={"weights": str(file)}))
    file.unlink()
    with pytest.raises(CheckpointError, match="is not there"):
        made(CONFIGS["cnn"].model_copy(update={"weights": str(file)}))


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "vit", "size": 30}, {"vit": {"d_model": 10, "n_heads": 4}}, {"cnn": {"n_stages": 8}},
        {"encoder": "checkpoint"}, {"checkpoint": "somewhere"}, {"size": 10**9}, {"cnn": {"width": 9}},
        {"encoder": "checkpoint", "checkpoint": "x", "weights": "y"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings) -> None:
    """What no encoder could be is an error of the config."""
    with pytest.raises(ValidationError):
        ImageConfig(**settings)


@pytest.mark.parametrize("name", sorted(ModalitiesConfig.model_fields.keys() - {"fusion"}))
def test_what_can_be_looked_at_is_decoded_and_made(name: str) -> None:
    """Each modality that a config can name is one that files are decoded as, and has an encoder of its codes."""
    (modality,) = make_modalities(ModalitiesConfig.model_validate({name: {}}), 0)
    assert name in MODALITIES and type(modality) is KINDS[name] and modality.prefix == f"{name.upper()}//"
    assert modality_of(["LAB//x", f"{name.upper()}//x"], [modality]).tolist() == [-1, 0]
