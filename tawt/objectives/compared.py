"""The part of a loss in which all documents of a step are compared: views with views, or records with their images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tawt.batching.example import Example
from tawt.config.objective import ObjectiveConfig
from tawt.objectives import contrastive
from tawt.objectives.parts import CONTRASTIVE, PAIRED


@dataclass(frozen=True)
class Compared:
    """One of `contrastive` and `paired`."""

    part: str
    """Its name."""
    temperature: float
    """Divides the cosine similarities."""

    def keys(self, example: Example) -> Tensor:
        """Return what says which rows of `Outputs.projection` are candidates of which: `(d,)` or `(k, 3)` int64."""
        keys: Tensor | None = example.pairs.keys if self.part == PAIRED else example.view_of
        assert keys is not None
        return keys

    def loss(self, rows: Tensor, keys: Tensor) -> Tensor:
        """Return the loss of all rows, summed over those that are told from others: a float32 scalar."""
        if self.part == PAIRED:
            record, content = rows.chunk(2, 1)
            return contrastive.paired_info_nce(record, content, keys, self.temperature)
        return contrastive.info_nce(rows, keys, self.temperature)

    def count(self, keys: Tensor) -> int:
        """Return how many rows are told from others."""
        return contrastive.paired_count(keys) if self.part == PAIRED else contrastive.count(keys)

    def baseline_sum(self, keys: Tensor) -> float:
        """Return what a blind guess costs, summed as `loss` does."""
        return contrastive.paired_baseline_sum(keys) if self.part == PAIRED else contrastive.baseline_sum(keys)


def compared_of(config: ObjectiveConfig) -> Compared | None:
    """Return what a run compares; None = nothing. It is never both."""
    if config.paired.weight:
        return Compared(PAIRED, config.paired.temperature)
    return Compared(CONTRASTIVE, config.contrastive.temperature) if config.contrastive.weight else None
