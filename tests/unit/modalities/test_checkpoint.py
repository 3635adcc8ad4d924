"""A vision model from elsewhere: a tiny one that the test makes, its own preprocessing, and folders that are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tawt.config.modalities import ImageConfig, ModalitiesConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.modalities.encoders.checkpoint import VisionCheckpoint, wants_of
from tawt.modalities.encoders.made import make_modalities, with_hashes

PROCESSOR: dict[str, Any] = {
    "do_resize": True, "size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32},
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3], "resample": 3,
}  # fmt: skip


def named(folder: Path, **settings: Any) -> VisionCheckpoint:
    config = ImageConfig(encoder="checkpoint", checkpoint=str(folder), frozen=True, **settings)
    return make_modalities(ModalitiesConfig(image=config), 0)[0]


def with_processor(folder: Path, **changes: Any) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **changes}))
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `vit`, `dinov2`, `resnet`, `clip`, `mae` and `unpooled` of tiny models with random weights."""
    transformers = pytest.importorskip("transformers", reason='needs transformers: pip install "tawt[vision]"')
    root, small = tmp_path_factory.mktemp("checkpoints"), {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    t = transformers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = t.ViTConfig(**small)
        models = {
            "vit": t.ViTModel(vit), "unpooled": t.ViTModel(vit, add_pooling_layer=False),
            "dinov2": t.Dinov2Model(t.Dinov2Config(**{k: v for k, v in small.items() if k != "intermediate_size"})),
            "resnet": t.ResNetModel(t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")),
            "clip": t.CLIPModel(t.CLIPConfig(
                vision_config=small, text_config={**small, "vocab_size": 9, "max_position_embeddings": 5,
                                                  "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2})),
            "mae": t.ViTMAEModel(t.ViTMAEConfig(**small)),
        }  # fmt: skip
        for name, model in models.items():
            model.save_pretrained(root / name)
            with_processor(root / name)
    return root


def image(*shape: int) -> np.ndarray:
    """Blocks of colours; neither dark nor bright, so that no curve through them goes beyond black or white."""
    coarse = np.random.default_rng(0).integers(64, 192, (*(-(-side // 9) for side in shape[:2]), shape[2]), np.uint8)
    return coarse.repeat(9, 0).repeat(9, 1)[: shape[0], : shape[1]].copy()


@pytest.mark.parametrize("name", ["vit", "dinov2", "resnet", "clip"])
def test_it_says_what_the_model_says(checkpoints, name) -> None:
    """The pooled output of the model itself, and the state of its first token where it has one; grey as well as colours."""
    import transformers

    kind = {"clip": "CLIPVisionModel"}.get(name, "AutoModel")
    model = getattr(transformers, kind).from_pretrained(checkpoints / name).eval()
    state = torch.get_rng_state()
    encoder = named(checkpoints / name)
    assert torch.equal(torch.get_rng_state(), state)
    inputs = torch.stack([encoder.prepared(image(50, 70, 3)), encoder.prepared(image(9, 90, 1))])
    with torch.no_grad():
        out = model(pixel_values=inputs)
        assert torch.allclose(encoder(inputs), out.pooler_output.flatten(1), atol=1e-6)
        assert encoder.d_embedding == 16 and encoder(inputs[:0]).shape == (0, 16)
        if name != "resnet":
            assert torch.allclose(
                named(checkpoints / name, output="cls")(inputs), out.last_hidden_state[:, 0], atol=1e-6
            )


@pytest.mark.parametrize(
    "changes",
    [{}, {"resample": 2}, {"size": {"height": 24, "width": 36}, "do_center_crop": False},
     {"do_normalize": False}, {"do_rescale": False}, {"size": {"shortest_edge": 24}}],
    ids=str,
)  # fmt: skip
def test_images_are_prepared_as_the_checkpoints_own_processor_does(checkpoints, tmp_path, changes) -> None:
    """Sizes, crops, scales and normalization of `preprocessor_config.json`, within what rounding to bytes makes."""
    import transformers

    processor = getattr(transformers, "BitImageProcessorPil", None) or transformers.BitImageProcessor
    wants = {**PROCESSOR, **changes}
    folder = with_processor(shutil.copytree(checkpoints / "resnet", tmp_path / "resnet"), **changes)
    encoder = named(folder)
    for shape in ((60, 80, 3), (33, 25, 3)):
        theirs = processor(**wants)(image(*shape), return_tensors="np")["pixel_values"][0]
        ours = encoder.prepared(image(*shape)).numpy()
        step = (1 if wants["do_rescale"] is False else 1 / 255) / (0.2 if wants["do_normalize"] else 1)
        assert ours.shape == theirs.shape and np.abs(ours - theirs).max() < 2.5 * step


def test_sixteen_bits_are_as_bright_as_eight(checkpoints) -> None:
    """Depth is scaled to what the model knows as white."""
    encoder, eight = named(checkpoints / "vit"), image(40, 40, 1)
    assert torch.allclose(encoder.prepared(eight), encoder.prepared(eight.astype(np.uint16) * 257), atol=1e-5)


def test_it_trains_without_chance_and_is_known_by_its_folder(checkpoints, tmp_path) -> None:
    """Nothing drops out in training; other weights, or other preprocessing, are another encoder."""
    encoder = named(checkpoints / "vit").train()
    inputs = torch.randn(2, *encoder.shape)
    assert torch.equal(encoder(inputs), encoder(inputs)) and not encoder.net.training
    words = np.array([1, 2], np.uint64)
    assert not torch.allclose(encoder.augmented(inputs, words), inputs, atol=0.01)
    folder = with_processor(shutil.copytree(checkpoints / "vit", tmp_path / "vit"), image_mean=[0.4, 0.5, 0.61])
    identities = {named(at, **more).identity() for at, more in
                  ((checkpoints / "vit", {}), (checkpoints / "vit", {"output": "cls"}), (folder, {}))}  # fmt: skip
    assert len(identities) == 3 and named(checkpoints / "vit").identity() in identities


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("changed", ["preprocessor_config.json", "config.json", "model.safetensors"])
def test_a_run_takes_no_other_folder_than_it_began_with(checkpoints, tmp_path, changed, frozen) -> None:
    """What the folder says of images and of the model is as much of an encoder as its weights."""
    folder = shutil.copytree(checkpoints / "vit", tmp_path / "vit")
    config = ImageConfig(encoder="checkpoint", checkpoint=str(folder), frozen=frozen)
    began = with_hashes(ModalitiesConfig(image=config))
    make_modalities(began, 0)
    content = bytearray((folder / changed).read_bytes())
    content[-20 if changed == "model.safetensors" else content.index(b"2")] ^= 1
    (folder / changed).write_bytes(content)
    with pytest.raises(CheckpointError, match="is not what the run began with"):
        make_modalities(began, 0)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [("unpooled", {}, "was never taught to pool"), ("resnet", {"output": "cls"}, "has no first token"),
     ("mae", {"output": "cls"}, "says something else of one image each time")],
)  # fmt: skip
def test_an_output_that_stands_for_nothing_is_refused(checkpoints, name, settings, said) -> None:
    """A pooling with random weights, a patch in a corner, and a model that hides patches by chance are no embedding."""
    with pytest.raises(CheckpointError, match=said):
        named(checkpoints / name, **settings)


def test_weights_are_safetensors_or_nothing(checkpoints, tmp_path) -> None:
    """A pickle is not opened, torn or lacking weights are refused, and code of the folder never runs."""
    folder = shutil.copytree(checkpoints / "vit", tmp_path / "vit")
    weights = folder / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-50])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        named(folder)
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds no safetensors file"):
        named(folder)
    weights.write_bytes(raw)
    told = json.loads((folder / "config.json").read_text())
    (folder / "ran.py").write_text("raise SystemExit('ran')")
    (folder / "config.json").write_text(
        json.dumps({**told, "model_type": "own", "auto_map": {"AutoConfig": "ran.A", "AutoModel": "ran.B"}})
    )
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        named(folder)
    (folder / "config.json").write_text(json.dumps({**told, "num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match="lacks 16 tensors"):
        named(folder)
    (folder / "config.json").write_text(json.dumps({**told, "num_channels": 5}))
    with pytest.raises(CheckpointError):
        named(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """No folder, an empty one and the name of a model on a hub are told from the first file that is not there."""
    for folder in (tmp_path / "none", tmp_path, Path("owner/model")):
        with pytest.raises(CheckpointError, match=r"config\.json: is not there") as error:
            named(folder)
        assert "safetensors" in error.value.hint


def test_a_frozen_model_in_parts_is_held_to_each_of_them(tmp_path: Path) -> None:
    """A run says of which weights its encoder is where these are two files, and takes no others in the place of one."""
    for part in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        (tmp_path / part).write_bytes(part.encode())
    image = ImageConfig(encoder="checkpoint", checkpoint=str(tmp_path), frozen=True)
    said = with_hashes(ModalitiesConfig(image=image))
    assert said.image is not None and len(said.image.sha256) == 64
    (tmp_path / part).write_bytes(b"another")
    with pytest.raises(CheckpointError, match="is not what the run began with"):
        make_modalities(said, 0)


def test_without_the_package_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint wants the extra, and nothing else does."""
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    (with_processor(tmp_path) / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError) as error:
        named(tmp_path)
    assert error.value.hint == 'pip install "tawt[vision]"'


@pytest.mark.parametrize(
    "changes",
    [{"image_mean": [0.5]}, {"image_std": [0.0, 1.0, 1.0]}, {"size": None}, {"size": {"longest_edge": 5}}, {"resample": 77},
     {"size": "large"}, {"image_mean": 3}, {"crop_size": {"height": -4, "width": 5}}, {"rescale_factor": None}, {"image_std": "abc"}],
    ids=str,
)  # fmt: skip
def test_a_preprocessor_that_does_not_say_is_refused(tmp_path: Path, changes) -> None:
    """What would leave images of no size or of no brightness names the file."""
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        wants_of(with_processor(tmp_path, **changes))


def test_sizes_are_read_in_each_form(tmp_path: Path) -> None:
    """A number, two sides, and a shorter side whose rest is cut off."""
    assert wants_of(with_processor(tmp_path, size=24, do_center_crop=False)).shape == (24, 24)
    wants = wants_of(with_processor(tmp_path, size={"height": 24, "width": 30}, do_center_crop=False))
    assert (wants.short, wants.resized, wants.shape) == (0, (24, 30), (24, 30))
    wants = wants_of(with_processor(tmp_path, crop_size=20))
    assert (wants.short, wants.shape) == (40, (20, 20))
