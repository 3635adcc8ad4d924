"""What lies beside the documents of a batch: which contents had been there for each, and when. Made in the loader's
thread; a pure function of the batch, the seed and its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tawt.arrays import Ints, Words
from tawt.batching.host import HostBatch
from tawt.chance import draw, uniform
from tawt.contracts.dataset import US_PER_HOUR
from tawt.modalities.contents import NO_TIME, Contents
from tawt.modalities.encoders.modality import Modality, modality_of

CONTENTS = 13
"""First salt of what is drawn of contents."""
_DROPOUT, _AUGMENT = 1, 2


@dataclass(frozen=True)
class Inputs:
    """Contents of one modality, `k` of a batch."""

    at: Tensor
    """`(k,)` int64, which of the batch's contents they are."""
    data: Tensor
    """`(k, ...)` float32, as the modality prepares them; or `(k, d_embedding)`, encoded already."""
    is_encoded: bool
    """Which of these."""


@dataclass(frozen=True)
class Beside:
    """Contents of `d` documents, `m` in all."""

    document: Tensor
    """`(m,)` int64, whose each is."""
    modality: Tensor
    """`(m,)` int64, of which modality."""
    age_hours: Tensor
    """`(m,)` float32, how long before the document's prediction time it was made; 0 for one without a time."""
    content: Tensor
    """`(m,)` int64, which content of the store it is."""
    seen: Tensor
    """`(a,)` int64, those whose event is among the document's triplets, neither cut off nor hidden."""
    triplet: Tensor
    """`(a,)` int64, that triplet."""
    inputs: tuple[Inputs, ...]
    """One of each modality."""


class Finder:
    """Finds what lies beside batches.

    Args:
        contents: Of the workspace.
        subject_id: `(s,)`, those of the split that the batches are of.
        origin: `(s,)`, their origins, us since 1970-01-01: the times of `contents` count from there.
        codes: Those of the vocabulary, by data_type.
        modalities: What is looked at; other contents are passed over.
        encoded: One of each modality: `(c, d_embedding)` embeddings of all contents by their number, or None, where
            contents are to be encoded in the step.
        dropout: Chance of a document in training to lose all contents of a modality.
    """

    def __init__(
        self,
        contents: Contents,
        subject_id: Ints,
        origin: Ints,
        codes: Sequence[str],
        modalities: Sequence[Modality],
        encoded: Sequence[NDArray[np.float32] | None],
        dropout: float = 0.0,
    ) -> None:
        self.contents, self.modalities, self.encoded, self.dropout = contents, modalities, encoded, dropout
        order = np.argsort(subject_id, kind="stable")
        self._subjects, self._origins = subject_id[order], origin[order]
        numbers = {code: number for number, code in enumerate(codes)}
        self._type = np.array([numbers.get(code, -1) for code in contents.codes], dtype=np.int64)
        self._modality = modality_of(contents.codes, modalities)
        self.word: Words = np.array([int(one[:16], 16) for one in contents.sha256], dtype=np.uint64)
        """`(c,)`, the content's hash, as far as a word goes."""

    def began(self, batch: HostBatch) -> Ints:
        """Return `(d,)`, us from the origin that times of contents count from to that of each document."""
        return batch.origin - self._origins[np.searchsorted(self._subjects, batch.subject_id)]

    def modality_of_rows(self, row: Ints) -> Ints:
        """Return of which modality rows of the contents are; -1 = none that is looked at."""
        return self._modality[self.contents.code[row]]

    def words(self, batch: HostBatch, document: Ints, content: Ints, *salts: int) -> Words:
        """Return what the augmentation of contents of documents hangs on."""
        return draw(batch.words(CONTENTS, _AUGMENT, *salts)[document] + self.word[content])

    def __call__(self, batch: HostBatch, *salts: int, training: bool = False) -> Beside:
        """Return what lies beside a batch. A record that is to find its own content is alone: others of its subject
        would tell which.

        Args:
            batch: As the model may see it: with all that is hidden and cut off.
            salts: What draws are for: seed, number of the batch.
            training: Whether inputs are augmented, and documents lose contents.
        """
        began = self.began(batch)
        row, document = self.contents.of(batch.subject_id, batch.end + began)
        modality = self.modality_of_rows(row)
        kept = modality >= 0
        if batch.pair is not None:
            kept &= batch.pair[document] < 0
        if training and self.dropout:
            words = batch.words(CONTENTS, _DROPOUT, *salts)[document]
            kept &= uniform(draw(words + modality.astype(np.uint64))) >= self.dropout
        row, document, modality = row[kept], document[kept], modality[kept]
        time, content = self.contents.time[row], self.contents.content[row]
        age = np.where(time == NO_TIME, 0, batch.end[document] + began[document] - time) / US_PER_HOUR
        seen, triplet = self._triplets(batch, document, time, self._type[self.contents.code[row]], began)
        chance = self.words(batch, document, content, *salts) if training else None
        inputs = tuple(
            self.inputs(k, np.flatnonzero(modality == k), content, chance) for k in range(len(self.modalities))
        )
        found = (document, modality, age.astype(np.float32), content, seen, triplet)
        whose, which, ages, numbers, at, triplets = map(torch.from_numpy, found)
        return Beside(whose, which, ages, numbers, at, triplets, inputs)

    def _triplets(
        self, batch: HostBatch, document: Ints, time: Ints, data_type: Ints, began: Ints
    ) -> tuple[Ints, Ints]:
        """Return which contents have a triplet in the batch, and the first one that each has."""
        at = np.flatnonzero(np.isin(batch.data_type, self._type[self._type >= 0]))
        own = batch.document[at]
        when = np.where(batch.is_static[at], NO_TIME, batch.time[at] + began[own])
        keys = np.stack([np.concatenate(pair) for pair in
                         ((own, document), (when, time), (batch.data_type[at], data_type))], 1)  # fmt: skip
        number = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
        first = np.full(len(keys) + 1, batch.n_tokens)
        np.minimum.at(first, number[: len(at)], at)
        triplet = first[number[len(at) :]]
        seen = np.flatnonzero(triplet < batch.n_tokens)
        return seen, triplet[seen]

    def inputs(self, k: int, at: Ints, content: Ints, words: Words | None) -> Inputs:
        """Return those of contents `(m,)` that are of modality `k`, at places `at`; augmented by `words`, if given."""
        place, encoded, modality = torch.from_numpy(at), self.encoded[k], self.modalities[k]
        if encoded is not None:
            return Inputs(place, torch.from_numpy(encoded[content[at]]), True)
        data = torch.empty(len(at), *modality.shape)
        for row, one in zip(data, content[at].tolist(), strict=True):
            row.copy_(modality.prepared(self.contents.array(one)))
        return Inputs(place, data if words is None else modality.augmented(data, words[at]), False)
