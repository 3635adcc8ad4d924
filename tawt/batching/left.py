"""What is left of documents: behind a prediction time, in an augmentation, in each of two views.

All of it follows from the seed, the packing, the subject and the record. So it is known before documents are laid into
batches, and these are full of what reaches the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from tawt.arrays import Bools, Ints
from tawt.batching.augment import AUGMENT, thinned
from tawt.batching.cut import CUT, draw_times, known, needed, window_of
from tawt.batching.host import HostBatch
from tawt.batching.masking import TRAINING, VALIDATION
from tawt.batching.views import VIEWS, two_views
from tawt.config.augment import AugmentConfig
from tawt.config.objective import ForecastConfig
from tawt.config.train import PretrainConfig


@dataclass(frozen=True, eq=False)
class Left:
    """What is left of `d` documents."""

    lengths: Ints
    """`(d,)`, tokens that reach the model, those of both views together."""
    n_timed: Ints
    """`(d,)`, timed rows that are looked at; of what lies behind a prediction time, those of its window."""
    end: Ints
    """`(d,)`, see `HostBatch`."""
    is_cut: Bools
    """`(d,)`, see `HostBatch`."""


def together(parts: Iterable[Left]) -> Left:
    """Return what is left of the documents of several parts, in their order."""
    parts = list(parts)
    return Left(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Left)})


@dataclass(frozen=True)
class Cutter:
    """Cuts documents: alike before they are packed, for their lengths, and in their batch.

    Args:
        forecast: When prediction times are; None = there are none.
        augment: What is removed of every document.
        views: What is removed of each of two views; None = there are none.
        salts: What it is for, and the seed.
    """

    forecast: ForecastConfig | None
    augment: AugmentConfig
    views: AugmentConfig | None
    salts: tuple[int, int]

    @property
    def removes(self) -> bool:
        """Whether triplets are removed that lie before the end."""
        return self.views is not None or any(
            (self.augment.crop, self.augment.variable_dropout, self.augment.event_dropout)
        )

    def __bool__(self) -> bool:
        """Whether anything is cut or removed, or documents are doubled."""
        return self.forecast is not None or self.removes

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a dataset that say what is left."""
        available = ("available_time",) if self.forecast else ()
        return ("timestamp", *available, *(("data_type", "identity") if self.removes else ()))

    def timed(self, batch: HostBatch, number: int) -> HostBatch:
        """Return a batch with prediction times, if there are to be some."""
        return batch if self.forecast is None else draw_times(batch, self.forecast, CUT, *self.salts, number)

    def thin(self, batch: HostBatch, number: int) -> HostBatch:
        """Return what remains of documents that end at their prediction times; doubled where there are views."""
        batch = thinned(batch, self.augment, AUGMENT, *self.salts, number)
        return batch if self.views is None else two_views(batch, self.views, VIEWS, *self.salts, number)

    def left(self, batch: HostBatch, number: int) -> Left:
        """Say what will be left of the documents of a batch, of whose columns those of `columns` are enough.

        Args:
            batch: Whole windows.
            number: Of the packing.
        """
        batch, d = self.timed(batch, number), batch.n_documents
        n_timed, is_cut, end = batch.lengths - batch.n_static, np.zeros(d, np.bool_), batch.end
        if self.forecast is not None:
            assert batch.is_cut is not None
            n_timed, is_cut, is_known = needed(batch, window_of(self.forecast)), batch.is_cut, known(batch)
            if not self.removes:
                lengths = np.add.reduceat(is_known, batch.bounds[:-1], dtype=np.int64)
                return Left(lengths, n_timed, end, is_cut)
            batch = batch.select(is_known)
        lengths = self.thin(batch, number).lengths
        return Left(lengths.reshape(-1, d).sum(0), n_timed, end, is_cut)


def salts_of(config: PretrainConfig, training: bool) -> tuple[int, int]:
    """Return what tells draws in training from those in validation, and those of a run from another's."""
    return (TRAINING if training else VALIDATION, config.train.seed)


def make_cutter(config: PretrainConfig, training: bool) -> Cutter:
    """Return what a run cuts off documents; in validation nothing is augmented."""
    objective = config.objective
    return Cutter(
        objective.forecast if objective.forecast.weight else None,
        config.augment if training else AugmentConfig(),
        objective.contrastive.views if objective.contrastive.weight else None,
        salts_of(config, training),
    )
