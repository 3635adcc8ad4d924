"""A pretrained encoder from where it lies: a run folder, or a folder that was made to be shared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tawt.config.base import Section
from tawt.config.load import build, load
from tawt.config.train import PretrainConfig
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.errors import CheckpointError, DatasetError
from tawt.models.encoder import Encoder
from tawt.readers import read_map, read_record
from tawt.training.checkpoint import WEIGHTS, latest_checkpoint, load_weights

FORMAT = "tawt.model/1"
"""Of a folder that `TawtModel.save_pretrained` wrote."""
_SAVED = "give a folder that `TawtModel.save_pretrained` wrote"


class SharedModel(Section):
    """What config.json of a shared model says."""

    format: str = FORMAT
    model_type: str = "tawt"
    architectures: tuple[str, ...] = ("TawtModel",)
    tawt_version: str
    vocabulary_sha256: str
    """Of the whole vocabulary, by which shards and runs name it."""
    config: dict[str, Any]
    """The run's."""


@dataclass(frozen=True)
class LoadedEncoder:
    """A pretrained encoder, ready to use."""

    encoder: Encoder
    """In eval mode, on CPU."""
    config: PretrainConfig
    """The run's config."""
    vocabulary: Vocabulary
    """The run's vocabulary."""
    weights: Path
    """Where the weights came from: the end of the run, or its newest checkpoint."""


def load_encoder(run: Path) -> LoadedEncoder:
    """Load the encoder of a run folder, finished or not, or of one that `TawtModel.save_pretrained` wrote.

    Raises:
        CheckpointError: There is no run or no weights in it, or they do not fit its config.
        ConfigError: Its config does not hold.
        DatasetError: Its vocabulary cannot be read.
    """
    if (run / "config.json").exists():
        return _load_shared(run)
    if not (run / "config.yaml").exists():
        raise CheckpointError(
            str(run), "has neither config.yaml nor config.json, expected a run folder or a shared model",
            "make one with `tawt pretrain`",
        )  # fmt: skip
    config = load(PretrainConfig, run / "config.yaml")
    vocabulary = read_vocabulary(run / "vocabulary.parquet")
    weights, checkpoint = run / WEIGHTS, latest_checkpoint(run)
    if checkpoint is not None and checkpoint.state.vocabulary != vocabulary.sha256:
        raise CheckpointError(
            str(run / "vocabulary.parquet"), f"is another vocabulary, {vocabulary.sha256[:12]}, expected that of the "
            f"weights, {checkpoint.state.vocabulary[:12]}", "put back the one that the run was made with",
        )  # fmt: skip
    if not weights.exists():
        if checkpoint is None:
            raise CheckpointError(
                str(run), "has no weights yet, expected a finished run or a checkpoint",
                "let `tawt pretrain --resume` reach a checkpoint",
            )  # fmt: skip
        weights = checkpoint.folder / WEIGHTS
    encoder = Encoder(config.model, vocabulary)
    load_weights(encoder, weights, prefix="encoder.")
    return LoadedEncoder(encoder.eval(), config, vocabulary, weights)


def _load_shared(folder: Path) -> LoadedEncoder:
    if read_map(folder / "config.json", _SAVED, CheckpointError).get("format") != FORMAT:
        raise CheckpointError(str(folder / "config.json"), f"is of another format, expected {FORMAT}", _SAVED)
    about = read_record(folder / "config.json", SharedModel, _SAVED, CheckpointError)
    config = build(PretrainConfig, about.config, str(folder / "config.json"))
    try:
        read = read_vocabulary(folder / "vocabulary.parquet")
    except DatasetError as error:
        raise CheckpointError(error.where, error.what, _SAVED) from None
    # blanked cells change the file's bytes, not what it stands for
    vocabulary = replace(read, sha256=about.vocabulary_sha256)
    encoder = Encoder(config.model, vocabulary)
    load_weights(encoder, folder / WEIGHTS, prefix="encoder.")
    return LoadedEncoder(encoder.eval(), config, vocabulary, folder / WEIGHTS)


def same_vocabulary(model: str, ours: Vocabulary, theirs: Vocabulary, workspace: Path) -> None:
    """Hold that a model and a workspace have one vocabulary.

    Raises:
        CheckpointError: They do not.
    """
    if ours.sha256 != theirs.sha256:
        raise CheckpointError(
            model, f"has vocabulary {ours.sha256[:12]}, expected that of {workspace}, {theirs.sha256[:12]}",
            f"pretrain on this workspace first: `tawt pretrain -w {workspace}`",
        )  # fmt: skip
