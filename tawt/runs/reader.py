"""The encoder that reads whole records for a decoder: found when its run begins, and kept in that run from then on."""

from __future__ import annotations

from pathlib import Path

from tawt.config.load import load
from tawt.config.train import PretrainConfig
from tawt.errors import CheckpointError, ConfigError
from tawt.heads.lora import merged
from tawt.models.decoder.latent import Latent, encoder_of
from tawt.runs.find import find_run
from tawt.runs.load import Saved, read_saved
from tawt.shell import command
from tawt.training.checkpoint import latest_checkpoint, put_weights, read_tensors

_KEY = "objective.latent.encoder"


def with_reader(
    workspace: Path, run: Path, config: PretrainConfig, resume: bool
) -> tuple[PretrainConfig, Saved | None]:
    """Return a config that says the shape of the encoder that its latent names, and where its weights are.

    A run that goes on has both already, wherever they came from.

    Args:
        workspace: Where runs are looked for.
        run: The run folder.
        config: Of a decoder.
        resume: Whether to go on with what is there.

    Raises:
        CheckpointError: There is no such run, or it is broken.
        ConfigError: Its model does not read both ways, or has another shape than the config says.
    """
    latent = config.objective.latent
    if not latent.encoder:
        return config, None
    if resume and latest_checkpoint(run) is not None:
        begun = load(PretrainConfig, run / "config.yaml").objective.latent
        return (_shaped(config, begun) if begun.encoder == latent.encoder and not latent.model else config), None
    try:
        saved = read_saved(find_run(workspace, latent.encoder))
    except CheckpointError as error:
        if (workspace / "runs" / latent.encoder).exists() or Path(latent.encoder).exists():
            raise
        first = command("pretrain", workspace=workspace)
        raise CheckpointError(
            _KEY, f"`{latent.encoder}` is no run yet, expected the encoder that reads whole records",
            f"pretrain it first, `{first}`, or name another: `--set {_KEY}=RUN`",
        ) from error  # fmt: skip
    if saved.config.model.causal:
        raise ConfigError(
            _KEY, f"`{latent.encoder}` is a decoder, which sees only what lies before, expected an encoder",
            f"pretrain one: `{command('pretrain', workspace=workspace)}`",
        )  # fmt: skip
    shape = encoder_of(saved.config.model)
    if latent.model not in (None, shape):
        raise ConfigError("objective.latent.model", f"is not that of `{latent.encoder}`, expected it", "leave it out")
    return _shaped(config, latent.model_copy(update={"model": shape})), saved


def start_reader(latent: Latent, saved: Saved) -> str:
    """Put a pretrained encoder's weights into a latent, and say so.

    Raises:
        CheckpointError: The weights cannot be read.
    """
    own, tensors = dict(latent.encoder.named_parameters()), merged(read_tensors(saved.weights))
    put_weights(own, {name: tensors[f"encoder.{name}"] for name in own if f"encoder.{name}" in tensors}, saved.weights)
    learns = "learns on" if latent.trains_encoder else "stays as it is"
    return f"the encoder of {saved.weights} reads whole records, and {learns}; it is kept in this run"


def _shaped(config: PretrainConfig, latent: object) -> PretrainConfig:
    objective = config.objective.model_copy(update={"latent": latent})
    return config.model_copy(update={"objective": objective})
