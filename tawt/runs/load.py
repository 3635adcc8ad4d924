"""A pretrained encoder from where it lies: a run folder, or a folder that was made to be shared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tawt.batching.at_times import Asked
from tawt.batching.loader import PackedLoader
from tawt.config.base import Section
from tawt.config.load import build, load
from tawt.config.train import PretrainConfig
from tawt.contracts.dataset import VOCABULARY
from tawt.contracts.run import read_unfinished
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary, read_vocabulary
from tawt.errors import CheckpointError, DatasetError
from tawt.heads.task import TASK
from tawt.modalities.fusion.looking import Change, look_beside, with_beside
from tawt.models.decoder.heads import NextHeads
from tawt.models.decoder.latent import Latent
from tawt.models.encoder import Encoder
from tawt.readers import hold_seal, read_map, read_record
from tawt.runs.find import no_run, workspace_of
from tawt.runs.learned import read_task
from tawt.seals import LIST, UNFINISHED, hold, listed_files
from tawt.shell import command
from tawt.training.checkpoint import ANOTHER, WEIGHTS, latest_checkpoint, load_weights

OF_SHARED = ("config.json", WEIGHTS, VOCABULARY)
"""What a shared model is loaded from, listed by hash beside them; its card is there to be edited."""
FORMAT = "tawt.model/1"
"""Of a folder that `TawtModel.save_pretrained` wrote."""
_COPY = "take it from a copy, or make the run again"
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
class Saved:
    """A run or a shared model as it lies on disk, checked but for its weights."""

    config: PretrainConfig
    """The run's config."""
    vocabulary: Vocabulary
    """The run's vocabulary."""
    weights: Path
    """Where the weights are: those of the end of the run, or of its newest checkpoint while it has none."""

    @property
    def stopped(self) -> tuple[int, int] | None:
        """The step whose weights are read, and how many the run is to make; None of one that is finished."""
        folder = self.weights.parent
        if folder.parent.name != "checkpoints":
            return None
        return int(folder.name.removeprefix("step-")), self.config.train.max_steps

    @property
    def unfinished(self) -> str:
        """What is to be said of a run that is not finished; empty of one that is."""
        if self.stopped is None:
            return ""
        (step, most), run = self.stopped, self.weights.parent.parent.parent
        return f"{run.name} is not finished: it is read as it was after step {step:,} of {most:,}" + (
            "" if self.config.objective.label.weight else _resume(run)
        )


@dataclass(frozen=True)
class LoadedEncoder(Saved):
    """A pretrained encoder, ready to use."""

    encoder: Encoder
    """In eval mode, on CPU."""

    def loader(self, split: Split, asked: Asked | None = None, changed: Change | None = None) -> PackedLoader:
        """Return the documents of a split, with what the encoder looks at beside them.

        Args:
            split: Of a workspace with the run's vocabulary.
            asked: Prediction times; None = records as they end.
            changed: What is looked at in place of what lies beside records; None = that.

        Raises:
            CheckpointError: A modality gives something that is no number.
            DatasetError: There is no document, or contents are not as they were written.
        """
        device = next(self.encoder.parameters()).device
        looking = look_beside(self.encoder, split.workspace, device, changed=changed)
        return PackedLoader(
            split, self.vocabulary, self.config.batching, self.config.train.seed, asked=asked,
            beside=None if looking is None else looking.finder(split, self.vocabulary),
        )  # fmt: skip


def load_encoder(run: Path) -> LoadedEncoder:
    """Load the encoder of a run folder, finished or not, or of one that `TawtModel.save_pretrained` wrote.

    Raises:
        CheckpointError: There is no run or no weights in it, they do not fit its config, or a file is not as it was
            written.
        ConfigError: Its config does not hold.
        DatasetError: Its vocabulary cannot be read.
    """
    saved = read_saved(run)
    n_outputs = len(read_task(run).outputs) if (run / TASK).is_file() else 0
    encoder = with_beside(Encoder(saved.config.model, saved.vocabulary), saved.config, n_outputs)
    load_weights(encoder, saved.weights, prefix="encoder.")
    return LoadedEncoder(saved.config, saved.vocabulary, saved.weights, encoder.eval())


@dataclass(frozen=True)
class LoadedDecoder(LoadedEncoder):
    """A pretrained decoder, ready to use."""

    heads: NextHeads
    """Of the next event, in eval mode, on CPU."""
    latent: Latent | None
    """What reads whole records for it, in eval mode, on CPU; None = it is told nothing of them."""


def load_decoder(run: Path) -> LoadedDecoder:
    """Load a run that was pretrained to predict the next event.

    Raises:
        CheckpointError: As of `load_encoder`; or the run predicts no next event.
        ConfigError: Its config does not hold.
        DatasetError: Its vocabulary cannot be read.
    """
    loaded = load_encoder(run)
    if not loaded.config.objective.next.weight:
        raise CheckpointError(
            str(run), "predicts no next event, expected a decoder",
            f"pretrain one: `{command('pretrain', workspace=workspace_of(run) or 'W', config='decode_small')}`",
        )  # fmt: skip
    objective, latent = loaded.config.objective, None
    heads = NextHeads(loaded.config.model, objective.next, loaded.vocabulary, objective.latent.width)
    load_weights(heads, loaded.weights, prefix="heads.next.")
    if objective.latent.is_on:
        latent = Latent(objective.latent, loaded.vocabulary)
        load_weights(latent, loaded.weights, prefix="latent.")
        latent.eval()
    return LoadedDecoder(loaded.config, loaded.vocabulary, loaded.weights, loaded.encoder, heads.eval(), latent)


def read_saved(run: Path) -> Saved:
    """Read what `load_encoder` does, but for the weights.

    Raises:
        CheckpointError: There is no run or no weights in it, another vocabulary than theirs, or a file that is not
            as it was written.
        ConfigError: Its config does not hold.
        DatasetError: Its vocabulary cannot be read.
    """
    if (run / "config.json").exists():
        return _shared(run)
    listed, ended = (run / LIST).exists(), (run / WEIGHTS).exists()
    names = listed_files(run)  # none of a list that is damaged, which tells of no other kind of folder
    if not (run / "config.yaml").exists() and (names is None or (names and "config.yaml" not in names)):
        raise no_run(run, "has neither config.yaml nor config.json, expected a run folder or a shared model")
    if listed:
        hold(run, ("config.yaml", VOCABULARY, WEIGHTS)[: 2 + ended], _COPY, CheckpointError)
    elif (begun := ended or any((run / "checkpoints").glob("step-*"))) and read_unfinished(run) is None:
        raise CheckpointError(
            str(run / LIST), f"is not there, nor is {UNFINISHED}, expected the hashes of the run's files",
            f"take it from a copy; or, if you know its weights, take the run up again{_resume(run)}",
        )  # fmt: skip
    hold_seal(run / "config.yaml", _COPY, CheckpointError, always=not listed and begun)
    config = load(PretrainConfig, run / "config.yaml")
    vocabulary = read_vocabulary(run / VOCABULARY, _COPY)
    if listed and ended:
        return Saved(config, vocabulary, run / WEIGHTS)
    checkpoint = latest_checkpoint(run)
    if checkpoint is None:
        raise CheckpointError(
            str(run), "has no weights yet, expected a finished run or a checkpoint",
            f"let it reach one{_resume(run)}",
        )  # fmt: skip
    if checkpoint.state.vocabulary != vocabulary.sha256:
        raise CheckpointError(
            str(run / VOCABULARY), f"is another vocabulary, {vocabulary.sha256[:12]}, expected that of the "
            f"weights, {checkpoint.state.vocabulary[:12]}", "put back the one that the run was made with",
        )  # fmt: skip
    hold(checkpoint.folder, (WEIGHTS,), ANOTHER, CheckpointError)
    return Saved(config, vocabulary, checkpoint.folder / WEIGHTS)


def _resume(run: Path) -> str:
    """Return how a run is taken up again."""
    workspace = workspace_of(run)
    again = command("pretrain", workspace=workspace, out=run, resume=True)
    return f": `{again}`" if workspace else ", by the command that began it"


def _shared(folder: Path) -> Saved:
    if read_map(folder / "config.json", _SAVED, CheckpointError).get("format") != FORMAT:
        raise CheckpointError(str(folder / "config.json"), f"is of another format, expected {FORMAT}", _SAVED)
    about = read_record(folder / "config.json", SharedModel, _SAVED, CheckpointError)
    hold(folder, OF_SHARED, _SAVED, CheckpointError)
    config = build(PretrainConfig, about.config, str(folder / "config.json"))
    if outside := config.modalities.outside:
        raise CheckpointError(
            str(folder / "config.json"), f"names weights of `modalities.{outside[0]}` that lie elsewhere, expected a "
            "model that has all of its own", _SAVED,
        )  # fmt: skip
    try:
        read = read_vocabulary(folder / VOCABULARY)
    except DatasetError as error:
        raise CheckpointError(error.where, error.what, _SAVED) from None
    # blanked cells change the file's bytes, not what it stands for
    return Saved(config, replace(read, sha256=about.vocabulary_sha256), folder / WEIGHTS)


def same_vocabulary(model: str, ours: Vocabulary, theirs: Vocabulary, workspace: Path) -> None:
    """Hold that a model and a workspace have one vocabulary.

    Raises:
        CheckpointError: They do not.
    """
    # what was carried into the vocabulary of a shared model is written in that as it was shared
    if theirs.sha256 not in (ours.sha256, hashlib.sha256(ours.content).hexdigest()):
        raise CheckpointError(
            model, f"has vocabulary {ours.sha256[:12]}, expected that of {workspace}, {theirs.sha256[:12]}",
            f"read the workspace in the model's (`{command('carry', model, workspace=workspace)}`), or pretrain on it: "
            f"`{command('pretrain', workspace=workspace)}`",
        )  # fmt: skip
