"""A pretrained encoder to keep, share and load: a folder in the layout of the Hugging Face Hub, without pickle.

config.json           what it is: format, versions, the run's config
model.safetensors     the encoder's weights; the heads of pretraining stay behind
vocabulary.parquet    codes, units, normalization, bins: what it takes to encode other records
README.md             the model card
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor, nn

from tawt.batching.batch import PackedBatch
from tawt.batching.loader import PackedLoader
from tawt.config.train import PretrainConfig
from tawt.contracts.dataset import SPECIAL_CODES, SPLITS
from tawt.dataset.reader import open_dataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import CheckpointError, ConfigError, DatasetError
from tawt.files import publish_file, write_json, write_text
from tawt.models.encoder import Encoder
from tawt.models.readout import readout_types
from tawt.tasks.card import CARD, card
from tawt.tasks.load import FORMAT, load_encoder, same_vocabulary
from tawt.tasks.runs import SMALL_CELL
from tawt.training.checkpoint import WEIGHTS, write_tensors

_FILES = ("config.json", WEIGHTS, "vocabulary.parquet", CARD)
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
        self._vocabulary_file: Path | None = None

    @property
    def d_embedding(self) -> int:
        """Numbers per embedding."""
        return self.encoder.d_embedding

    def forward(self, batch: PackedBatch) -> Embedded:
        """Return the state of each triplet `(n, d_model)` and the embedding of each document `(d, d_embedding)`."""
        encoded = self.encoder(batch)
        return Embedded(encoded.of_triplets(), self.encoder.readout(encoded, batch))

    def embed(self, batch: PackedBatch) -> Tensor:
        """Return one embedding per document, `(d, d_embedding)` float32."""
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
        text = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
        if not (folder / "config.json").is_file():
            text = card(folder, shared=True)
        model = cls(loaded.config, loaded.vocabulary, loaded.encoder, text)
        model._vocabulary_file = folder / "vocabulary.parquet"
        return model.eval()

    def save_pretrained(
        self, folder: str | Path, *, min_subjects: int = SMALL_CELL + 1, with_categories: bool = False
    ) -> Path:
        """Write the model to a folder, and return the folder; what is there of the same names is replaced.

        The vocabulary holds counts and statistics of patients, so by default the file that is shared has no quantiles
        (the outer ones are single patients' values), no texts of categories (nothing says how many patients have one),
        and of data_types with fewer than `min_subjects` patients in train neither code nor statistics. Where a
        `per_type` readout has such a data_type, or one that is normalized by quantiles, it ranks numbers by their bins
        alone from then on.

        Args:
            folder: Made where it is not there.
            min_subjects: Data_types that fewer patients have are withheld; 1 withholds none, and keeps quantiles.
            with_categories: Whether the texts of categories are kept, to encode other records that have them.

        Raises:
            DatasetError: The model's vocabulary is not in a file any more.
        """
        folder = Path(folder)
        if self._vocabulary_file is None or not self._vocabulary_file.is_file():
            raise DatasetError(
                str(self._vocabulary_file), "is not there, expected the vocabulary that the model was loaded with",
                "load it again with `TawtModel.from_pretrained`",
            )  # fmt: skip
        shared = shareable(pq.read_table(self._vocabulary_file), min_subjects, with_categories)
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / ".vocabulary.parquet.tmp"
        pq.write_table(shared, aside)
        publish_file(aside, folder / "vocabulary.parquet")
        weights = {f"encoder.{name}": p.detach().cpu().contiguous() for name, p in self.encoder.named_parameters()}
        write_tensors(weights, folder / WEIGHTS, {"format": "pt"})
        about = {
            "format": FORMAT,
            "model_type": "tawt",
            "architectures": ["TawtModel"],
            "tawt_version": metadata.version("tawt"),
            "vocabulary_sha256": self.vocabulary.sha256,
            "config": self._config(shared["code"].to_pylist()).model_dump(mode="json"),
        }
        write_json(folder / "config.json", about)
        write_text(folder / CARD, self.card)
        return folder

    def _config(self, codes: list[str]) -> PretrainConfig:
        """The config with the readout's data_types named, since blanked counts can no longer choose them."""
        if self.config.model.pooling != "per_type":
            return self.config
        chosen = readout_types(self.config.model.readout, self.vocabulary)
        readout = self.config.model.readout.model_copy(update={"types": tuple(codes[i] for i in chosen)})
        model = self.config.model.model_copy(update={"readout": readout})
        return self.config.model_copy(update={"model": model})


def shareable(vocabulary: pa.Table, min_subjects: int, with_categories: bool = False) -> pa.Table:
    """Return a vocabulary without what could point at a patient; see `TawtModel.save_pretrained`.

    What the model's shape depends on stays: the number of data_types, of bins and of categories of each.
    """
    rows: list[dict[str, Any]] = vocabulary.to_pylist()
    for i, row in enumerate(rows):
        if not with_categories:
            row["categories"] = [f"#{k + 1}" for k in range(len(row["categories"]))]
        if min_subjects > 1:
            row["quantiles"] = None
        if row["code"] in SPECIAL_CODES or not 0 < row["n_subjects"] < min_subjects:
            continue
        row |= dict.fromkeys(("unit", "mean", "std", "quantiles", "description", "parents"))
        row |= {"code": f"[WITHHELD]//{i}", "n_rows": 0, "n_subjects": 0, "n_values": 0}
        row |= {"center": 0.0, "scale": 1.0, "normalization": "none", "bin_edges": []}
        row["categories"] = [f"#{k + 1}" for k in range(len(row["categories"]))]
    return pa.Table.from_pylist(rows, schema=vocabulary.schema)


def _download(name: str) -> Path:
    if not _HUB_ID.match(name):
        raise CheckpointError(
            name, "is neither a folder nor the id of a model, expected one of both",
            "give a run folder, or OWNER/NAME of the Hugging Face Hub",
        )  # fmt: skip
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError:
        raise ConfigError(
            name, "is no folder, and huggingface_hub is not installed, expected one of both",
            'pip install "tawt[hub]", or give a folder',
        ) from None  # fmt: skip
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:
        raise CheckpointError(
            name, f"cannot be fetched ({type(error).__name__}), expected a model on the Hugging Face Hub",
            "check its name, the network and your login",
        ) from None  # fmt: skip
