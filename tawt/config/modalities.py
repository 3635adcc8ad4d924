"""What lies beside the triplets, how it is encoded, and how it joins the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tawt.config.base import Conflict, Section
from tawt.config.model import LEAST_HOURS, MOST_HOURS

HASH = r"^([0-9a-f]{64})?$"


class ContentConfig(Section):
    """Where the weights of a modality's encoder come from, and what becomes of them: the same for each modality."""

    weights: str = ""
    """A safetensors file of weights to start from, of an encoder that was trained before, or of a run."""
    frozen: bool = False
    """Whether the encoder learns nothing: each content is encoded once, and what comes out is kept."""
    sha256: str = Field("", pattern=HASH)
    """Of a frozen encoder's weights, or of a folder's files, as a run began; the run writes it, and takes no others."""

    @property
    def folder(self) -> Path | None:
        """The folder that holds the whole encoder, its shape too; None where the section says the shape."""
        return None

    @property
    def file(self) -> Path | None:
        """The file of weights that is named; None where there is none."""
        if self.folder is not None:
            return self.folder / "model.safetensors"
        return Path(self.weights).expanduser() if self.weights else None


class CnnConfig(Section):
    """A residual network of convolutions; each stage has half the resolution of the one before, and twice the width."""

    width: int = Field(16, ge=8, le=1024, multiple_of=8)
    """Width of the first stage."""
    n_stages: int = Field(3, ge=1, le=12)
    """Stages: 3 for 28 pixels, 6 for 224."""
    depth: int = Field(1, ge=1, le=64)
    """Residual blocks of a stage."""


class VitConfig(Section):
    """A transformer over the patches of an image."""

    patch: int = Field(4, ge=1, le=256)
    """Pixels along a patch: 4 for 28 pixels, 16 for 224."""
    d_model: int = Field(64, ge=8, le=4096)
    """Width of a patch's state."""
    n_layers: int = Field(4, ge=1, le=128)
    """Blocks."""
    n_heads: int = Field(4, ge=1, le=128)
    """Attention heads per block; must divide `d_model`."""


class ImageConfig(ContentConfig):
    """How images become embeddings."""

    encoder: Literal["cnn", "vit", "checkpoint"] = "cnn"
    """`cnn` and `vit` learn from nothing; `checkpoint` is a pretrained one, which says itself how large images are, of
    which colours and of which brightness."""
    size: int = Field(28, ge=16, le=1024)
    """Pixels of a side: an image of another size is fitted into it, its sides keep their ratio."""
    channels: Literal["grey", "rgb"] = "grey"
    """Whether colours are kept."""
    d_embedding: int = Field(64, ge=1, le=65_536)
    """Width of the embedding of `cnn` and `vit`."""
    augment: float = Field(0.5, ge=0, le=1)
    """How much an image that is trained on is moved, turned, stretched and made darker or brighter; 0 = not at all."""
    cnn: CnnConfig = CnnConfig()
    """Settings of `cnn`."""
    vit: VitConfig = VitConfig()
    """Settings of `vit`."""
    checkpoint: str = ""
    """`checkpoint`: a folder of a vision model of `transformers`, with `model.safetensors`; nothing is downloaded."""
    output: Literal["pooled", "cls"] = "pooled"
    """`checkpoint`: what the model itself pools, or the state of its first token."""

    @property
    def folder(self) -> Path | None:
        """See `ContentConfig`."""
        return Path(self.checkpoint).expanduser() if self.checkpoint else None

    @model_validator(mode="after")
    def _fits(self) -> ImageConfig:
        if self.vit.d_model % self.vit.n_heads:
            said = f"vit.d_model {self.vit.d_model} is not a multiple of vit.n_heads {self.vit.n_heads}"
            raise Conflict(said, "vit.d_model", "vit.n_heads")
        if self.encoder == "vit" and self.size % self.vit.patch:
            raise Conflict(f"size {self.size} is not a multiple of vit.patch {self.vit.patch}", "size", "vit.patch")
        if self.encoder == "cnn" and self.size < 2 ** (self.cnn.n_stages + 1):
            said = f"cnn.n_stages {self.cnn.n_stages} leave nothing of {self.size} pixels"
            raise Conflict(said, "cnn.n_stages", "size")
        if (self.encoder == "checkpoint") != bool(self.checkpoint):
            raise Conflict("encoder: checkpoint goes with a folder, in checkpoint", "encoder", "checkpoint")
        if self.encoder == "checkpoint" and self.weights:
            raise Conflict("a checkpoint has weights of its own", "encoder", "weights")
        return self


class WaveformConfig(ContentConfig):
    """How waveforms become embeddings: a network of convolutions along the samples."""

    length: int = Field(1000, ge=16, le=1 << 20)
    """Samples: of a longer waveform the last ones are read, a shorter one has silence before it."""
    leads: int = Field(1, ge=1, le=1024)
    """Leads: further ones are left out, missing ones are silent."""
    width: int = Field(16, ge=8, le=1024, multiple_of=8)
    """Width of the first stage; each further one has a quarter of the samples, and is twice as wide."""
    d_embedding: int = Field(64, ge=1, le=65_536)
    """Width of the embedding."""


Fusion = Literal["token", "concat", "attention", "gate", "late", "alone"]


class FusionConfig(Section):
    """How contents join the record. Where a document has none, each of them but `alone` is the record's own path, bit
    for bit."""

    how: Fusion = "token"
    """`token`: a content is the value of its event's triplet, and attention sees it at its time; `attention`: the
    document's embedding attends over its contents; `gate`: each number of the embedding is taken from the record or
    the contents; `concat`: a small network reads both; `late`: contents give answers of their own, which are added;
    `alone`: the head reads contents and not the record, which shows what they tell by themselves."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Chance of a document in training to lose all contents of a modality, so that the record is not forgotten."""
    d_content: int = Field(64, ge=8, le=4096)
    """Width in which contents of all modalities are laid side by side."""
    n_heads: int = Field(4, ge=1, le=128)
    """Ways in which a document's contents are summed up, each with weights of its own; must divide `d_content`."""
    tau_hours: float = Field(24.0, ge=LEAST_HOURS, le=MOST_HOURS)
    """Age at which contents begin to fade, hours before the prediction time."""

    @model_validator(mode="after")
    def _fits(self) -> FusionConfig:
        if self.d_content % self.n_heads:
            said = f"d_content {self.d_content} is not a multiple of n_heads {self.n_heads}"
            raise Conflict(said, "d_content", "n_heads")
        return self


class ModalitiesConfig(Section):
    """Contents beside the record; a modality that is not named is not looked at."""

    image: ImageConfig | None = None
    """Of events `IMAGE//...`."""
    waveform: WaveformConfig | None = None
    """Of events `WAVEFORM//...`."""
    fusion: FusionConfig = FusionConfig()
    """How they join the record."""

    @property
    def is_on(self) -> bool:
        """Whether anything is looked at beside the record."""
        return bool(self.named)

    @property
    def named(self) -> dict[str, ContentConfig]:
        """What is looked at, by modality: each is one field."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in fields.items() if isinstance(part, ContentConfig)}

    def each(self, change: Callable[[str, ContentConfig], ContentConfig]) -> ModalitiesConfig:
        """Return it with what becomes of each modality's name and section."""
        return self.model_copy(update={name: change(name, part) for name, part in self.named.items()})

    @property
    def outside(self) -> tuple[str, ...]:
        """Those whose encoder is read, or was, from a place that the config names."""
        keys = ("frozen", "weights", "checkpoint")
        return tuple(name for name, part in self.named.items() if any(getattr(part, key, None) for key in keys))
