"""A dataset of which nothing is left but what was known of each subject by a time: copies, in memory."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa

from tawt.arrays import Ints
from tawt.dataset.reader import Split, TripletDataset
from tawt.dataset.shard import Columns, Mapped


@dataclass(frozen=True, eq=False)
class Truncated(TripletDataset):
    """Splits that end at a time of each subject; subjects without one are not there."""

    splits: dict[str, Split]
    """By name."""

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits in which somebody is left."""
        return tuple(self.splits)

    def split(self, name: str) -> Split:
        """Return a split."""
        return self.splits[name]


def truncate(dataset: TripletDataset, subject_id: Ints, time: Ints | None) -> Truncated:
    """Copy the records of some subjects, without what was not known by a time.

    Args:
        dataset: Of which.
        subject_id: `(n,)`, each once.
        time: `(n,)`, us since 1970-01-01: all that happened, or could be read, later is deleted; None = nothing is.
    """
    until = None if time is None else dict(zip(subject_id.tolist(), time.tolist(), strict=True))
    splits = {}
    for name in dataset.split_names:
        split = dataset.split(name)
        own = np.flatnonzero(np.isin(split.subject_ids, subject_id))
        if len(own):
            splits[name] = _copy(split, own, until)
    about = {one.name: getattr(dataset, one.name) for one in fields(TripletDataset)}
    return Truncated(**about, splits=splits)


def _copy(split: Split, own: Ints, until: dict[int, int] | None) -> Split:
    parts, lengths, names = [], [], [one.name for one in fields(Columns)]
    for i in own.tolist():
        columns = split.columns(i)
        kept = np.ones(len(columns.timestamp), dtype=bool)
        if until is not None:
            then = until[int(split.subject_ids[i])] - int(split.origins[i])
            static = np.arange(len(kept)) < split.n_static[i]
            kept = (static | (columns.timestamp <= then)) & (columns.available_time <= then)
        parts.append([getattr(columns, name)[kept] for name in names])
        lengths.append((int(kept.sum()), int(kept[: split.n_static[i]].sum())))
    whole = Columns(*(np.ascontiguousarray(np.concatenate(column)) for column in zip(*parts, strict=True)))
    n, n_static = np.array(lengths, dtype=np.int64).T
    return replace(
        split, mapped=(Mapped(split.folder / "truncated", pa.py_buffer(b""), whole, ()),), entries=(),
        shard=np.zeros(len(own), dtype=np.int32), starts=n.cumsum() - n, lengths=n, n_static=n_static,
        subject_ids=split.subject_ids[own], origins=split.origins[own],
    )  # fmt: skip
