"""Whether an encoder's embeddings know what comes later: the same documents, with all that is later deleted."""

from __future__ import annotations

import numpy as np

from tawt.arrays import Bools, Ints
from tawt.batching.at_times import Asked
from tawt.dataset.reader import TripletDataset
from tawt.dataset.truncated import truncate
from tawt.runs.embedding import Embedding


def embeddings_that_change(dataset: TripletDataset, embedding: Embedding, subject_id: Ints, time: Ints) -> Bools:
    """Embed subjects at prediction times, with whole records and with ones that end there, and compare bit by bit.

    Args:
        dataset: Whose records.
        embedding: How they become vectors.
        subject_id: `(n,)`, each once.
        time: `(n,)`, us since 1970-01-01.

    Returns:
        `(n,)`, whose vector is another one.

    Raises:
        TrainingError: An embedding is not finite.
    """
    asked, changed = Asked(subject_id, time), np.zeros(len(subject_id), dtype=bool)
    both = [truncate(dataset, subject_id, until) for until in (None, time)]
    found = [np.zeros((len(subject_id), embedding.width), dtype=np.float32) for _ in both]
    known = [np.zeros(len(subject_id), dtype=bool) for _ in both]
    for i, one in enumerate(both):
        for name in one.split_names:
            loader = embedding.loader(one.split(name), asked)
            if loader is None or loader.at is None:
                continue
            order, done = loader.at.row[loader.in_order.plan.documents], 0
            for _, vectors in embedding.vectors(loader):
                own = order[done : done + len(vectors)]
                found[i][own], known[i][own] = vectors, True
                done += len(vectors)
    changed |= known[0] != known[1]
    changed |= (found[0].view(np.uint32) != found[1].view(np.uint32)).any(1)
    return changed
