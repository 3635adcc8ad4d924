"""A dataset of which nothing is left but what was known of each subject by a time: copies, in memory."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa

from tawt.arrays import Bools, Ints
from tawt.dataset.known import was_known
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
    parts, lengths, origins, names = [], [], [], Columns._fields
    for i in own.tolist():
        columns = split.columns(i)
        kept = np.ones(len(columns.timestamp), dtype=bool)
        static = np.arange(len(kept)) < split.n_static[i]
        if until is not None:
            then = until[int(split.subject_ids[i])] - int(split.origins[i])
            kept = was_known(static, columns.timestamp, columns.available_time, then)
        own_columns = {name: getattr(columns, name)[kept] for name in names}
        began = _began(split, i, kept)
        own_columns["timestamp"] = np.where(static[kept], own_columns["timestamp"], own_columns["timestamp"] - began)
        own_columns["available_time"] = own_columns["available_time"] - began
        parts.append([*own_columns.values()])
        origins.append(int(split.origins[i]) + began)
        lengths.append((int(kept.sum()), int(kept[: split.n_static[i]].sum())))
    whole = Columns(*(np.ascontiguousarray(np.concatenate(column)) for column in zip(*parts, strict=True)))
    n, n_static = np.array(lengths, dtype=np.int64).T
    return replace(
        split, mapped=(Mapped(split.folder / "truncated", pa.py_buffer(b""), whole, ()),), entries=(),
        shard=np.zeros(len(own), dtype=np.int32), starts=n.cumsum() - n, lengths=n, n_static=n_static,
        subject_ids=split.subject_ids[own], origins=np.array(origins, dtype=np.int64),
    )  # fmt: skip


def _began(split: Split, i: int, kept: Bools) -> int:
    """Return when the first row that is left came, where the origin is of a row that is deleted: nobody knew of it."""
    timed = split.columns(i).timestamp[split.n_static[i] :]
    left = timed[kept[split.n_static[i] :]]
    is_of_row = split.time_origin != "anchor" and len(timed) > 0 and timed[0] == 0
    return int(left[0]) if is_of_row and len(left) and not kept[split.n_static[i]] else 0
