"""The triplets of a record that were known at prediction times, as the trainer cuts it.

What was known then is what had happened and could be read by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tawt.arrays import Bools, Floats, Ints
from tawt.contracts.dataset import BIRTH, US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.dataset.known import was_known
from tawt.dataset.reader import Split, TripletDataset
from tawt.dataset.vocabulary import Vocabulary
from tawt.errors import DatasetError

_YEAR = 8766 * US_PER_HOUR
_NO_TYPE = -1


@dataclass(frozen=True, eq=False)
class Known:
    """The triplets that were known at the prediction times of `n` rows, one after the other, `m` in all."""

    n_rows: int
    """`n`."""
    row: Ints
    """`(m,)`, whose prediction it is for."""
    data_type: Ints
    """`(m,)`."""
    ago: Ints
    """`(m,)`, us before the prediction time; 0 for a static fact."""
    begin: Ints
    """`(n,)`, us before the prediction time of the first timed triplet; 0 where there is none."""
    is_static: Bools
    """`(m,)`."""
    value: Floats
    """`(m,)`, normalized."""
    token: Ints
    """`(m,)`."""
    status: Ints
    """`(m,)`."""
    age: Floats
    """`(n,)`, years since the birth; NaN where the record has none, and counts its time from something else."""

    def of(self, which: Bools) -> Known:
        """Return some of the triplets."""
        return Known(
            self.n_rows, self.row[which], self.data_type[which], self.ago[which], self.begin, self.is_static[which],
            self.value[which], self.token[which], self.status[which], self.age,
        )  # fmt: skip


def known_at(dataset: TripletDataset, subject_id: ArrayLike, prediction_time: ArrayLike) -> Known:
    """Look up what was known of subjects at prediction times.

    Args:
        dataset: All of whose splits are looked into.
        subject_id: `(n,)`.
        prediction_time: `(n,)`, us since 1970-01-01.

    Raises:
        DatasetError: A subject is in no split.
    """
    splits = [dataset.split(name) for name in dataset.split_names]
    return known_in(splits, dataset.vocabulary, subject_id, prediction_time)


def known_in(
    splits: Sequence[Split], vocabulary: Vocabulary, subject_id: ArrayLike, prediction_time: ArrayLike
) -> Known:
    """Look up the same in some splits of a dataset.

    Raises:
        DatasetError: A subject is in none of them.
    """
    subjects, times = np.asarray(subject_id, dtype=np.int64), np.asarray(prediction_time, dtype=np.int64)
    places: dict[int, tuple[int, int]] = {}
    wanted = {*subjects.tolist()}
    for number, split in enumerate(splits):
        places.update({int(s): (number, i) for i, s in enumerate(split.subject_ids) if int(s) in wanted})
    if n_absent := len(wanted - places.keys()):
        raise DatasetError(
            str(splits[0].folder.parent), f"lacks {n_absent:,} of {len(wanted):,} subjects of the labels, expected all",
            "label the subjects of this workspace",
        )  # fmt: skip
    parts: list[tuple[np.ndarray, ...]] = []
    begin, age = np.zeros(len(subjects), dtype=np.int64), np.full(len(subjects), np.nan)
    codes = vocabulary.codes
    birth = codes.index(BIRTH) if splits[0].time_origin == "birth" and BIRTH in codes else _NO_TYPE
    for row, (subject, time) in enumerate(zip(subjects.tolist(), times.tolist(), strict=True)):
        number, i = places[subject]
        split = splits[number]
        columns, then = split.columns(i), time - int(split.origins[i])
        static = np.arange(len(columns.timestamp)) < split.n_static[i]
        if (~static & (columns.data_type == birth) & (columns.timestamp == 0)).any():
            age[row] = then / _YEAR
        kept = was_known(static, columns.timestamp, columns.available_time, then)
        # a row which says that nothing came is no row of it
        kept &= columns.value_status != ValueStatus.NOT_MEASURED
        static, ago = static[kept], then - columns.timestamp[kept]
        timed = ago[~static]
        begin[row] = timed.max(initial=0)
        parts.append(
            (
                np.full(len(ago), row), columns.data_type[kept], np.where(static, 0, ago), static, columns.value[kept],
                columns.value_token[kept], columns.value_status[kept],
            )
        )  # fmt: skip

    def joined(i: int, dtype: type) -> np.ndarray:
        return np.concatenate([np.empty(0, dtype), *(part[i] for part in parts)]).astype(dtype)

    return Known(
        len(subjects), joined(0, np.int64), joined(1, np.int64), joined(2, np.int64), begin, joined(3, np.bool_),
        joined(4, np.float64), joined(5, np.int64), joined(6, np.int64), age,
    )  # fmt: skip
