"""What contents beside the records add to the memory of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tawt.batching.example import Example
from tawt.batching.loader import PackedLoader
from tawt.modalities.encoders.modality import modality_of
from tawt.modalities.encoders.size import BYTES, input_bytes, kept_bytes
from tawt.modalities.fusion.looking import Looking


def beside_bytes(looking: Looking | None, train: PackedLoader, n_batches: int, examples: Sequence[Example] = ()) -> int:
    """Return the bytes of the contents of a step, of what one batch's backward pass keeps of them, and of encoders that
    do not learn.

    Args:
        looking: What is looked at; None = nothing.
        train: Batches.
        n_batches: Of one process and step, whose inputs are held at once.
        examples: The first batches: the fullest of them counts. None = as many contents as a batch has on average.
    """
    if looking is None:
        return 0
    total = 0
    for k, modality in enumerate(looking.modalities):
        n = max(_n_inputs(example, k) for example in examples) if examples else _on_average(looking, train, k)
        still = sum(parameter.numel() for parameter in modality.parameters()) if modality.frozen else 0
        total += int(n * (kept_bytes(modality) + n_batches * input_bytes(modality))) + BYTES * still
    return total


def _n_inputs(example: Example, k: int) -> int:
    return sum(len(found.inputs[k].at) for found in (example.batch.beside, example.pairs) if found is not None)


def _on_average(looking: Looking, train: PackedLoader, k: int) -> float:
    contents = looking.contents
    of_code = modality_of(contents.codes, looking.modalities)
    own = np.isin(contents.subject_id, train.split.subject_ids) & (of_code[contents.code] == k)
    return float(own.sum()) / train.n_batches(0)
