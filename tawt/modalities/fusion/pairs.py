"""Records up to an image, and that image: one pair for each document and pass, as views are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tawt.arrays import Ints
from tawt.batching.host import HostBatch
from tawt.chance import Salt, draw, uniform
from tawt.modalities.contents import NO_TIME
from tawt.modalities.fusion.beside import Finder, Inputs

_WHOLE, _WHICH = 0, 1


@dataclass(frozen=True)
class Pairs:
    """`k` documents of a batch, each with a content that is its own."""

    document: Tensor
    """`(k,)` int64, ascending."""
    keys: Tensor
    """`(k, 3)` int64: the subject, the content by its hash, and the modality; names that hold across batches and
    processes."""
    inputs: tuple[Inputs, ...]
    """One of each modality; places are among the `k`."""


class Pairing:
    """Draws pairs, and makes what the model reads of their contents.

    A document ends a microsecond before its content was made: neither the content's own triplet nor anything that
    happened, or could be read, from then on is left. Contents pair with documents that reach so far, and of which
    something was known by then.

    Args:
        finder: Of the split.
        whole_share: Share of documents that stay whole.
    """

    def __init__(self, finder: Finder, whole_share: float) -> None:
        self.finder, self.whole_share = finder, whole_share

    def __call__(self, batch: HostBatch, *salts: int) -> HostBatch:
        """Return a batch with `pair`, and with the ends that follow from it; nothing is cut off yet.

        Args:
            batch: Whole windows, with `available`; the columns of what triplets are may be missing.
            salts: What it is for, the seed, and the number of the packing.
        """
        row, document, time = self._candidates(batch)
        words = batch.words(Salt.PAIRS, *salts)
        n = np.bincount(document, minlength=batch.n_documents)
        has = (n > 0) & (uniform(draw(words, _WHOLE)) >= self.whole_share)
        which = (draw(words[has], _WHICH) % n[has].astype(np.uint64)).astype(np.int64)
        at = (np.cumsum(n) - n)[has] + which
        pair, end = np.full(batch.n_documents, -1), batch.end.copy()
        pair[has], end[has] = row[at], time[at] - 1
        return replace(batch, end=end, is_cut=has, pair=pair)

    def of(self, batch: HostBatch, *salts: int, training: bool) -> Pairs:
        """Return the pairs of a batch that was cut.

        Args:
            batch: As the model may see it.
            salts: What draws are for: seed, number of the batch.
            training: Whether contents are augmented.
        """
        assert batch.pair is not None, "pairs were not drawn"
        finder, document = self.finder, np.flatnonzero(batch.pair >= 0)
        row = batch.pair[document]
        content, modality = finder.contents.content[row], finder.modality_of_rows(row)
        words = finder.words(batch, document, content, *salts) if training else None
        keys = np.stack([batch.subject_id[document], finder.word[content].view(np.int64), modality], 1)
        inputs = tuple(
            finder.inputs(k, np.flatnonzero(modality == k), content, words) for k in range(len(finder.modalities))
        )
        return Pairs(torch.from_numpy(document), torch.from_numpy(keys), inputs)

    def _candidates(self, batch: HostBatch) -> tuple[Ints, Ints, Ints]:
        """Return contents that pair with documents, by document: their rows, whose they are, and their times there."""
        assert batch.available is not None and batch.begins is not None, "a cut needs both clocks, and whole windows"
        finder, began = self.finder, self.finder.began(batch)
        row, document = finder.contents.of(batch.subject_id, np.full(batch.n_documents, np.iinfo(np.int64).max))
        time = finder.contents.time[row]
        there = (finder.modality_of_rows(row) >= 0) & (time != NO_TIME)
        row, document, time = row[there], document[there], time[there] - began[document[there]]
        when = np.where(batch.is_static, batch.available, np.maximum(batch.time, batch.available))
        known_from = np.minimum.reduceat(when, batch.bounds[:-1])
        first = np.minimum(batch.first_timed, batch.n_tokens - 1)
        within_from = np.where(batch.begins, np.iinfo(np.int64).min, batch.time[first])
        fits = (time > known_from[document]) & (time > within_from[document]) & (time <= batch.end[document])
        return row[fits], document[fits], time[fits]
