"""Embeddings as a step of scikit-learn: rows of subject and prediction time in, vectors out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.batching.at_times import Asked
from tawt.config.model import Pooling
from tawt.contracts.cells import few
from tawt.dataset.place import place_of
from tawt.dataset.reader import TripletDataset, open_dataset
from tawt.errors import ConfigError, nearest
from tawt.pipeline.fresh import hold_fresh
from tawt.runs.embedding import Embedding, load_embedding
from tawt.runs.find import find_run
from tawt.runs.load import read_saved

_KEYS = ("subject_id", "prediction_time")
_USUAL: dict[str, Any] = {"pooling": None, "device": "auto", "unknown": float("nan"), "stale_ok": False}
_PARAMETERS = ("workspace", "run", *_USUAL)


class TawtEmbedder:
    """What was known of subjects at prediction times, as vectors: a transformer in scikit-learn's style.

    It learns nothing of the rows: `fit` is there for pipelines. scikit-learn itself is not needed.

    Args:
        workspace: Whose subjects.
        run: A run folder, the name of one in WORKSPACE/runs, or a folder that `TawtModel.save_pretrained` wrote.
        pooling: `mean` or `max` instead of the run's own readout.
        device: auto, cpu, cuda or cuda:N.
        unknown: Stands in each number of a row of whom nothing was known by then; a warning counts such rows.
        stale_ok: Embed also a dataset that is older than what it was made from.

    Example:
        `make_pipeline(TawtEmbedder("work/mimic", "pretrain_small"), StandardScaler(), LogisticRegression())`
    """

    def __init__(
        self,
        workspace: str | Path,
        run: str | Path,
        *,
        pooling: Pooling | None = None,
        device: str = "auto",
        unknown: float = float("nan"),
        stale_ok: bool = False,
    ) -> None:
        self.workspace = workspace
        self.run = run
        self.pooling = pooling
        self.device = device
        self.unknown = unknown
        self.stale_ok = stale_ok

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments by name; there is nothing deeper."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def __repr__(self) -> str:
        """Name the arguments that are not as by default."""
        parameters = self.get_params().items()
        given = [f"{name}={v!r}" for name, v in parameters if name not in _USUAL or repr(v) != repr(_USUAL[name])]
        return f"{type(self).__name__}({', '.join(given)})"

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return a name of each column of the embedding."""
        _, embedding = self._open()
        return np.array([f"embedding{i}" for i in range(embedding.width)], dtype=object)

    def set_params(self, **parameters: Any) -> TawtEmbedder:
        """Set arguments by name.

        Raises:
            ConfigError: There is none of that name.
        """
        for name, value in parameters.items():
            if name not in _PARAMETERS:
                what = f"is no argument of it, expected one of {', '.join(_PARAMETERS)}"
                raise ConfigError(f"TawtEmbedder `{name}`", what, nearest(name, _PARAMETERS))
            setattr(self, name, value)
        return self

    def fit(self, X: Any = None, y: Any = None) -> TawtEmbedder:
        """Return the embedder as it is."""
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Return `transform(X)`."""
        return self.transform(X)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return one embedding per row, `(n, d_embedding)` float32, in the order of the rows.

        Args:
            X: A table with the columns `subject_id` and `prediction_time`: of pyarrow, pandas or polars, a structured
                array, or a dict of columns. A time without a zone is the dataset's own, one with a zone is in UTC.

        Raises:
            CheckpointError: The run is absent or broken, or has another vocabulary than the workspace.
            ConfigError: A column is absent, or holds something else.
            DatasetError: The dataset is absent or broken.
            DeviceError: The device is not there.
            StaleError: The dataset is older than what it was made from.
            TrainingError: An embedding is not finite.
        """
        asked = Asked(_column(X, _KEYS[0], pa.int64()), _column(X, _KEYS[1], pa.timestamp("us")))
        dataset, embedding = self._open()
        out = np.full((len(asked.time), embedding.width), self.unknown, dtype=np.float32)
        n_known = 0
        for split in map(dataset.split, dataset.split_names):
            loader = embedding.loader(split, asked)
            if loader is None or loader.at is None:
                continue
            order, done = loader.at.row[loader.in_order.plan.documents], 0
            for _, vectors in embedding.vectors(loader):
                out[order[done : done + len(vectors)]] = vectors
                done += len(vectors)
            split.hold()
            n_known += done
        if n_known < len(out):
            text = (
                f"of {few(len(out) - n_known)} of {len(out):,} rows nothing was known by then: they are {self.unknown}"
            )
            warnings.warn(text, stacklevel=2)
        return out

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _open(self) -> tuple[TripletDataset, Embedding]:
        workspace = Path(self.workspace)
        run = find_run(workspace, self.run)
        vocabulary = read_saved(run).vocabulary
        place = place_of(workspace, vocabulary.sha256, vocabulary.content)
        dataset = open_dataset(place)
        hold_fresh(place, self.stale_ok)
        return dataset, load_embedding(run, dataset.vocabulary, workspace, self.pooling, self.device)


def _column(table: Any, name: str, kind: pa.DataType) -> Ints:
    """Return a column of a table of any kind, times as us since 1970-01-01."""
    where, expected = f"column `{name}`", "expected whole numbers" if name == _KEYS[0] else "expected times"
    try:
        column = table[name]
    except (KeyError, IndexError, TypeError, ValueError, LookupError):
        raise ConfigError(where, f"is not there, expected the columns {' and '.join(_KEYS)}") from None
    try:
        if hasattr(column, "to_arrow"):  # polars
            column = column.to_arrow()
        elif not isinstance(column, pa.Array | pa.ChunkedArray):
            column = pa.array(column)
        if pa.types.is_timestamp(kind) and not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
            raise ConfigError(where, f"holds {column.type}, expected times")
        # finer than a microsecond is what libraries write, not what records have
        read = column.cast(kind, safe=not pa.types.is_timestamp(kind))
    except (pa.ArrowException, TypeError, ValueError):
        raise ConfigError(where, f"does not fit, {expected}") from None
    if read.null_count:
        raise ConfigError(where, f"is empty in {read.null_count:,} rows, {expected} in each")
    return np.asarray(
        read.cast(pa.int64()).to_numpy(zero_copy_only=False)
        if isinstance(read, pa.Array)
        else read.cast(pa.int64()).to_numpy()
    )
