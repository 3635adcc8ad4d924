"""Records up to an image, and that image: one pair for each document and pass, as views are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from tawt.arrays import Ints
from tawt.batching.host import HostBatch
from tawt.batching.windows import Documents, Windows
from tawt.chance import Salt, draw, uniform
from tawt.dataset.reader import Split
from tawt.modalities.contents import NO_TIME
from tawt.modalities.fusion.beside import Finder, Inputs

_WHOLE, _WHICH = 0, 1
_NEVER = np.iinfo(np.int64).max


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
    happened, or could be read, from then on is left. A content pairs with its subject's record where something of it
    was known by then; of `sliding` windows with the one that reaches so far.

    Args:
        finder: Of the split.
        split: Whose records they are.
        whole_share: Share of documents that stay whole.
        salts: What it is for, and the seed.
    """

    def __init__(self, finder: Finder, split: Split, whole_share: float, salts: tuple[int, int]) -> None:
        self.finder, self.split, self.whole_share, self.salts = finder, split, whole_share, salts

    def __call__(self, documents: Documents, windows: Windows, packing: int) -> tuple[Ints, Ints]:
        """Return when documents end, us since their origins, and before which row of the contents; -1 = of none.

        What is drawn hangs on the subject and on what was known before its contents, not on what came later.

        Args:
            documents: Of whole windows.
            windows: Of each.
            packing: Number of the packing.
        """
        row, document, time = self._candidates(documents, windows)
        words = draw(self.split.subject_ids[documents.subjects], Salt.PAIRS, *self.salts, packing)
        if documents.number is not None:
            words = draw(words + documents.number.astype(np.uint64))
        n = np.bincount(document, minlength=len(words))
        has = (n > 0) & (uniform(draw(words, _WHOLE)) >= self.whole_share)
        which = (draw(words[has], _WHICH) % n[has].astype(np.uint64)).astype(np.int64)
        at = (np.cumsum(n) - n)[has] + which
        pair, end = np.full((2, len(words)), -1)
        pair[has], end[has] = row[at], time[at] - 1
        return end, pair

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

    @cached_property
    def _known_from(self) -> Ints:
        """`(s,)`, when the first row of each subject of the split was known, us since its origin."""
        split, found = self.split, np.full(self.split.n_subjects, _NEVER)
        for number, columns in enumerate(split.shards):
            own = np.flatnonzero((split.shard == number) & (split.lengths > 0))
            if len(own):
                own = own[np.argsort(split.starts[own])]
                first, available = split.starts[own], columns.available_time
                is_static = np.arange(len(available)) < (first + split.n_static[own]).repeat(split.lengths[own])
                known = np.where(is_static, available, np.maximum(columns.timestamp, available))
                found[own] = np.minimum.reduceat(known, first)
        return found

    def _candidates(self, documents: Documents, windows: Windows) -> tuple[Ints, Ints, Ints]:
        """Return contents that pair with documents, by document: their rows, whose they are, and their times there."""
        finder, split, subjects = self.finder, self.split, documents.subjects
        row, document = finder.contents.of(split.subject_ids[subjects], np.full(len(subjects), _NEVER))
        time = finder.contents.time[row]
        fits = (finder.modality_of_rows(row) >= 0) & (time != NO_TIME) & (time > self._known_from[subjects][document])
        if documents.number is not None:
            first, last = self._reach(subjects, windows)
            fits &= (time > first[document]) & (time <= last[document])
        return row[fits], document[fits], time[fits]

    def _reach(self, subjects: Ints, windows: Windows) -> tuple[Ints, Ints]:
        """Return behind which time the contents of sliding windows lie, and up to which, `(d,)` each."""
        split = self.split
        start, stop = windows.start, windows.start + windows.n_timed
        first, last = np.full(len(subjects), np.iinfo(np.int64).min), np.full(len(subjects), _NEVER)
        for d in np.flatnonzero(start > split.n_static[subjects]).tolist():
            first[d] = split.columns(int(subjects[d])).timestamp[start[d]]
        for d in np.flatnonzero(stop < split.lengths[subjects]).tolist():
            last[d] = split.columns(int(subjects[d])).timestamp[stop[d]]
        return first, last
