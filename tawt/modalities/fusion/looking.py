"""What a run looks at beside the records of a workspace, and the part of its encoder that does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tawt.config.modalities import Fusion
from tawt.config.train import PretrainConfig
from tawt.dataset.reader import Split
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import ConfigError
from tawt.modalities.contents import EMBEDDED, Contents, open_contents
from tawt.modalities.encoders.cache import encode_once
from tawt.modalities.encoders.made import make_modalities
from tawt.modalities.encoders.modality import Modality, modality_of
from tawt.modalities.fusion.beside import Finder
from tawt.modalities.fusion.fused import Fused
from tawt.models.encoder import Encoder
from tawt.places import refuse_links
from tawt.shell import command

Change = Callable[[Contents], Contents]


@dataclass(frozen=True, eq=False)
class Looking:
    """Contents of a workspace as a run looks at them."""

    contents: Contents
    """All of them, or what is left of them."""
    modalities: tuple[Modality, ...]
    """What is looked at."""
    encoded: tuple[NDArray[np.float32] | None, ...]
    """Embeddings of all contents by frozen modalities; None of those that learn."""
    dropout: float
    """Chance of a document in training to lose all contents of a modality."""

    def finder(self, split: Split, vocabulary: Vocabulary) -> Finder:
        """Return what finds contents for batches of a split."""
        return Finder(
            self.contents, split.subject_ids, split.origins, vocabulary.codes, self.modalities, self.encoded,
            self.dropout,
        )  # fmt: skip


_NOTHING = Contents(*(np.zeros(0, dtype=np.int64),) * 5, (), (), Path(), (), np.zeros(0, dtype=np.bool_))
"""What a run that looks finds in a workspace without contents."""


def look_beside(
    encoder: Encoder,
    workspace: Path | None,
    device: torch.device | str = "cpu",
    *,
    changed: Change | None = None,
) -> Looking | None:
    """Return what an encoder looks at beside records; None where it looks at nothing.

    Args:
        encoder: Of a run.
        workspace: Whose records it reads; None = records in memory, beside which nothing lies.
        device: Where frozen modalities encode what nobody encoded before.
        changed: What is looked at in place of the contents; None = they.

    Raises:
        CheckpointError: A frozen modality gives something that is no number.
        DatasetError: Contents are not as they were written.
    """
    if not (isinstance(encoder.beside, Fused) and encoder.beside.joins):
        return None
    contents = None if workspace is None else open_contents(workspace)
    contents = _NOTHING if contents is None else contents
    return look(encoder.beside, contents if changed is None else changed(contents), workspace, device)


def hold_found(modalities: Sequence[Modality], contents: Contents | None, workspace: Path) -> Contents:
    """Return contents of which there is something to learn from.

    Raises:
        ConfigError: There is nothing of the modalities.
    """
    if contents is None or (modality_of(contents.codes, modalities) < 0).all():
        prefixes = ", ".join(f"{one.prefix}..." for one in modalities)
        raise ConfigError(
            "modalities", f"looks at contents of events {prefixes}, of which {workspace} has none, expected some",
            f"`{command('ingest', 'RAW', workspace=workspace)}` with a pipeline that has them; or leave it out",
        )  # fmt: skip
    return contents


def look(
    beside: Fused, contents: Contents, workspace: Path | None, device: torch.device | str = "cpu", encodes: bool = True
) -> Looking:
    """Return contents as a part of an encoder looks at them.

    Args:
        beside: That part.
        contents: What is there to look at.
        workspace: As of `look_beside`.
        device: As of `look_beside`.
        encodes: Whether frozen modalities encode, and keep what they say; else batches hold contents as they are, which
            tells how large they are and no model takes.

    Raises:
        CheckpointError: As of `look_beside`.
        DatasetError: As of `look_beside`.
    """
    modalities = beside.looked_at
    encoded = tuple(
        _encoded(one, contents, modalities, workspace, device) if one.frozen and encodes else None for one in modalities
    )
    return Looking(contents, modalities, encoded, beside.dropout)


def _encoded(
    modality: Modality,
    contents: Contents,
    modalities: Sequence[Modality],
    workspace: Path | None,
    device: torch.device | str,
) -> NDArray[np.float32]:
    out = np.zeros((len(contents.sha256), modality.d_embedding), dtype=np.float32)
    of_code = modality_of(contents.codes, modalities)
    own = np.unique(contents.content[of_code[contents.code] == modalities.index(modality)])
    if workspace is None or not len(own):
        return out
    folder = workspace / EMBEDDED
    refuse_links(workspace, folder, inner=True)
    keys = [contents.sha256[i] for i in own]
    kept = encode_once(modality, keys, lambda i: contents.array(int(own[i])), folder, device)
    out[own] = kept.embeddings
    return out


def with_beside(encoder: Encoder, config: PretrainConfig, n_outputs: int = 0) -> Encoder:
    """Give an encoder the part that looks beside records, if its config has one; torch's random state stays as it was.

    Args:
        encoder: Of the config.
        config: Of the run.
        n_outputs: Outputs of the task's head.

    Raises:
        CheckpointError: Weights of a frozen modality are absent, broken or of another shape.
        ConfigError: They want a package that is not there, or contents join where there is nothing to join.
    """
    if not config.modalities.is_on:
        return encoder
    fusion = config.modalities.fusion
    joins = config.objective.teaches(fusion.how) and bool(n_outputs or fusion.how != "late")
    if not joins and not config.objective.paired.weight:
        raise _joins_nothing(fusion.how)
    if fusion.how == "alone" and n_outputs and config.objective.label.statics:
        raise ConfigError(
            "modalities.fusion.how", "is `alone`, where a head reads nothing of the record, and this one is told "
            "static facts of it, expected another", "use `--set objective.label.statics=false`",
        )  # fmt: skip
    modalities = make_modalities(config.modalities, config.train.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        encoder.beside = Fused(
            fusion, modalities, config.model.d_model, encoder.d_embedding, n_outputs, joins=joins
        )  # fmt: skip
    return encoder


def joins_below(config: PretrainConfig) -> tuple[str, ...]:
    """Return the encoder's part that looks beside records, where it joins them before the readout."""
    return ("beside",) if config.modalities.fusion.how == "token" else ()


def _joins_nothing(how: Fusion) -> ConfigError:
    what = "joins embeddings, and nothing is learned from these"
    if how == "late":
        what = "adds to a task's outputs, and there is none"
    return ConfigError(
        "modalities.fusion.how", f"is `{how}`, which {what}, expected another",
        "use `--set modalities.fusion.how=token`, or an objective that reads embeddings",
    )  # fmt: skip
