"""A pretrained encoder to keep, share and load: a folder in the layout of the Hugging Face Hub, without pickle.

config.json           what it is: format, versions, the run's config
model.safetensors     the encoder's weights; the heads of pretraining stay behind
vocabulary.parquet    codes, units, normalization, bins: what it takes to encode other records
files.json            their hashes, to which they are held when the model is loaded
README.md             the model card
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.config.latent import LatentConfig
from tawt.config.modalities import ContentConfig
from tawt.config.train import PretrainConfig
from tawt.contracts.cells import SMALL_CELL
from tawt.contracts.dataset import SPLITS, VOCABULARY
from tawt.dataset.reader import open_dataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import CheckpointError, ConfigError
from tawt.files import write_hashes, write_json, write_parquet, write_text
from tawt.machine import version_of
from tawt.models.encoder import Encoder
from tawt.models.readout import readout_types
from tawt.readers import read_text
from tawt.room import hold_memory
from tawt.runs.card import CARD, card
from tawt.runs.load import OF_SHARED, SharedModel, load_encoder, same_vocabulary
from tawt.runs.withhold import shareable, withheld, without_withheld
from tawt.seals import LIST
from tawt.training.checkpoint import WEIGHTS, write_tensors

_FILES = (*OF_SHARED, LIST, CARD)
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


@dataclass(frozen=True)
class Embedded:
    """What the model makes of a batch of `n` triplets in `d` documents."""

    states: Tensor
    """`(n, d_model)`, the state of each triplet."""
    embedding: Tensor
    """`(d, d_embedding)` float32, one vector per document."""


class TawtModel(nn.Module):
    """A pretrained encoder with its config and vocabulary.

    Args:
        config: The run's config.
        vocabulary: The vocabulary that batches are written in.
        encoder: Its weights; made anew where none is given.
        card: Text of the model card.
    """

    def __init__(
        self, config: PretrainConfig, vocabulary: Vocabulary, encoder: Encoder | None = None, card: str = ""
    ) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.encoder = encoder if encoder is not None else Encoder(config.model, vocabulary)
        self.card = card

    @property
    def d_embedding(self) -> int:
        """Numbers per embedding."""
        return self.encoder.d_embedding

    def forward(self, batch: PackedBatch) -> Embedded:
        """Return the state of each triplet `(n, d_model)` and the embedding of each document `(d, d_embedding)`."""
        encoded = self.encoder(batch)
        return Embedded(encoded.of_triplets(), self.encoder.readout(encoded, batch))

    def embed(self, batch: PackedBatch) -> Tensor:
        """Return one embedding per document, `(d, d_embedding)` float32, without a graph; `forward` has one."""
        with torch.no_grad():
            return self.encoder.embed(batch)

    def batches(self, workspace: str | Path, splits: Sequence[str] = SPLITS) -> Iterator[PackedBatch]:
        """Yield the last window of every subject of a workspace, packed, in the order of its shards; on CPU.

        `batch.subject_id` `(d,)` says whose documents they are.

        Args:
            workspace: Its dataset was made with the model's vocabulary.
            splits: Which splits.

        Raises:
            CheckpointError: The workspace has another vocabulary.
            DatasetError: Its dataset is absent or broken, or lacks a split.
        """
        dataset = open_dataset(Path(workspace))
        same_vocabulary("the model", self.vocabulary, dataset.vocabulary, Path(workspace))
        for split in map(dataset.split, splits):
            loader = PackedLoader(split, dataset.vocabulary, self.config.batching, self.config.train.seed)
            yield from loader.sequential() if split.n_triplets else ()

    @classmethod
    def from_pretrained(cls, name: str | Path) -> TawtModel:
        """Load a model, in eval mode on CPU.

        Args:
            name: A folder that `save_pretrained` wrote, a run folder, or the id of a model on the Hugging Face Hub,
                OWNER/NAME, for which huggingface_hub must be installed.

        Raises:
            CheckpointError: There is no such model, or its files do not fit one another.
            ConfigError: Its config does not hold, or huggingface_hub is not installed.
            DatasetError: Its vocabulary cannot be read.
        """
        folder = Path(name)
        if not folder.is_dir():
            folder = _download(str(name))
        loaded = load_encoder(folder)
        if not (folder / "config.json").is_file():
            text = card(folder, shared=True)
        elif (folder / CARD).is_file():
            text = read_text(folder / CARD, "move it away", CheckpointError, "a model card")
        else:
            text = ""
        return cls(loaded.config, loaded.vocabulary, loaded.encoder, text).eval()

    def save_pretrained(
        self, folder: str | Path, *, min_subjects: int = SMALL_CELL + 1, with_categories: bool = False
    ) -> Path:
        """Write the model to a folder, and return the folder; what is there of the same names is replaced.

        The vocabulary holds numbers of patients. What is shared of it has no quantiles, no texts of categories and no
        numbers of rows; of data_types with fewer than `min_subjects` patients in train neither code nor anything else;
        of those with as few patients who have a number, or of which one has more than half, nothing of the numbers; no
        edges where as few have a number in one of the bins, or near an edge; and no mean and deviation where one
        patient has a large part in them. Counts of patients are rounded down to 1, 2, 4, 8, .. times the limit, means
        rounded coarsely; an edge or a median is told as the middle of a cell in which as many have a number. Weights
        that only such data_types, numbers and categories have trained are zero, as are those of OTHER and [UNK]. So a
        `per_type` readout ranks numbers a little differently from then on, by their bins alone where edges are
        withheld, and what is withheld adds nothing to an embedding.

        Args:
            folder: Made where it is not there; not the run itself.
            min_subjects: What fewer patients have is withheld; 1 withholds and rounds nothing.
            with_categories: Whether texts of categories that `min_subjects` patients have are kept, to encode other
                records that have them.

        Raises:
            ConfigError: The folder is a run's, or the model has a table of lengths of time, `bucket`, or an encoder of
                images or waveforms whose weights lie elsewhere.
        """
        folder = Path(folder)
        if min_subjects > 1 and "bucket" in self.config.model.attention:
            raise ConfigError(
                "model.attention", "has `bucket`, whose table tells of each length of time whether any patient has it, "
                "expected terms that all patients train", "pretrain one to share with `decay` instead, or give "
                "`min_subjects=1`, which withholds nothing",
            )  # fmt: skip
        if (folder / "config.yaml").exists():
            raise ConfigError(
                str(folder), "is a run folder, which holds patients' data, expected another to share",
                "give a new folder",
            )  # fmt: skip
        modalities = self.config.modalities.each(_without_place)
        own = self.vocabulary.table()
        shared = shareable(own, min_subjects, with_categories)
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(folder / VOCABULARY, shared)
        weights = without_withheld(self.encoder, self.vocabulary, withheld(own, min_subjects))
        write_tensors({f"encoder.{name}": w for name, w in weights.items()}, folder / WEIGHTS, {"format": "pt"})
        about = SharedModel(
            tawt_version=version_of("tawt"),
            vocabulary_sha256=self.vocabulary.sha256,
            config=self._config(shared["code"].to_pylist())
            .model_copy(update={"modalities": modalities})
            .model_dump(mode="json"),
        )
        write_json(folder / "config.json", about.model_dump(mode="json"))
        write_text(folder / CARD, self.card)
        write_hashes(folder, OF_SHARED)
        return folder

    def _config(self, codes: list[str]) -> PretrainConfig:
        """The config with the readout's data_types named as they are shared, or none where the readout has none, and
        without a decoder's latent, which is no part of the encoder and names a run."""
        per_type = self.config.model.pooling == "per_type"
        chosen = readout_types(self.config.model.readout, self.vocabulary).tolist() if per_type else []
        readout = self.config.model.readout.model_copy(update={"types": tuple(codes[i] for i in chosen)})
        model = self.config.model.model_copy(update={"readout": readout})
        objective = self.config.objective.model_copy(update={"latent": LatentConfig()})
        return self.config.model_copy(update={"model": model, "objective": objective})


def _without_place(name: str, part: ContentConfig) -> ContentConfig:
    """Return how contents are encoded without the place of this machine that weights were begun from.

    Raises:
        ConfigError: Weights of the encoder lie there alone.
    """
    if part.frozen or part.folder is not None:
        raise ConfigError(
            f"modalities.{name}", "has an encoder whose weights lie outside of the run, expected one that learned "
            "with it: they would not be shared", "train the run without `frozen` and `checkpoint`",
        )  # fmt: skip
    return part.model_copy(update={"weights": ""})


def _download(name: str) -> Path:
    if not _HUB_ID.match(name):
        raise CheckpointError(
            name, "is neither a folder nor the id of a model, expected one of both",
            "give a run folder, or OWNER/NAME of the Hugging Face Hub",
        )  # fmt: skip
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise ConfigError(
            name, "is no folder, and huggingface_hub is not installed, expected one of both",
            'pip install "tawt[hub]", or give a folder',
        ) from None  # fmt: skip
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:
        hold_memory(error, name)
        raise CheckpointError(
            name, f"cannot be fetched ({type(error).__name__}), expected a model on the Hugging Face Hub",
            "check its name, the network and your login",
        ) from None  # fmt: skip
