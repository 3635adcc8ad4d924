"""What a run says of whole records as embeddings, between which distances are measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from tawt.chance import Salt, draw
from tawt.dataset.reader import Split
from tawt.dataset.records import Cohort, Records
from tawt.dataset.shard import Columns, Mapped
from tawt.fidelity.summaries import Matrix
from tawt.runs.embedding import Embedding

_ALWAYS_KNOWN = -(1 << 62)


def as_split(records: Records, time_origin: str, calendar: str) -> Split:
    """Return records in memory as a split, which runs read.

    Args:
        records: In the vocabulary of the run.
        time_origin: What their times count from.
        calendar: What their dates mean.
    """
    place = np.arange(len(records.time)) - records.bounds[:-1][records.subject]
    identity = (draw(records.subject_id, Salt.IDENTITY)[records.subject] + place.astype(np.uint64)).astype(np.uint32)
    known = np.where(records.is_static, _ALWAYS_KNOWN, records.time)
    columns = Columns(
        records.time, records.data_type, records.value, records.value_token, records.value_status, known, identity
    )
    static = np.bincount(records.subject[records.is_static], minlength=records.n_subjects)
    return Split(
        Path("records"), "records", (Mapped(Path("records"), pa.py_buffer(b""), columns, ()),), (),
        np.zeros(records.n_subjects, dtype=np.int32), records.bounds[:-1], records.lengths, static,
        records.subject_id, records.origin, calendar, time_origin,
    )  # fmt: skip


def embedded(made: Embedding, cohort: Cohort, time_origin: str, calendar: str) -> Matrix:
    """Return the embedding of each record as it ends, `(n, width)`; 0 of an empty one."""
    found = np.zeros((cohort.n_subjects, made.width), dtype=np.float32)
    first = 0
    for part in cohort.parts():
        loader = made.loader(as_split(part, time_origin, calendar))
        if loader is not None:
            order = loader.in_order
            vectors = np.concatenate([vectors for _, vectors in made.vectors(loader)])
            documents = np.concatenate([order.plan[i] for i in range(len(order.plan))])
            found[first + order.documents.subjects[documents]] = vectors
        first += part.n_subjects
    return found


def space_of(
    made: Embedding, reference: Cohort, time_origin: str, calendar: str
) -> tuple[Callable[[Cohort], Matrix], Callable[[Cohort], Matrix]]:
    """Return what embeds cohorts: as a run does, and on the scale of a reference, so that each number means as much.

    What was embedded is kept: several figures ask for the same sets.
    """

    held: dict[int, tuple[Cohort, Matrix]] = {}

    def plain(cohort: Cohort) -> Matrix:
        if id(cohort) not in held:
            held[id(cohort)] = cohort, embedded(made, cohort, time_origin, calendar)
        return held[id(cohort)][1]

    own = plain(reference)
    mean, std = own.mean(0), own.std(0)
    std[std < 1e-6] = 1

    def scaled(cohort: Cohort) -> Matrix:
        matrix: Matrix = ((plain(cohort) - mean) / std).astype(np.float32)
        return matrix

    return plain, scaled
