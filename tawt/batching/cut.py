"""Documents cut at a prediction time: what was known then, and what came after.

Times are drawn before documents are packed, for how much a cut leaves decides how many fit into a batch. What comes is
looked up when the batch is made.

Two clocks: a record is known at a time when it had happened and could be read by then, a static fact when it could be
read. What is not known leaves no trace in the batch. A record that had happened but could not be read yet is neither
input nor target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Bools, Ints
from tawt.batching.host import HostBatch
from tawt.batching.observed import ObservedTime
from tawt.chance import Salt, draw, uniform
from tawt.config.objective import ForecastConfig
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import HAS_NUMBER_OF, ValueStatus
from tawt.dataset.known import was_known

CUT = Salt.CUT
_WHOLE, _WHEN = 0, 1


@dataclass(frozen=True, eq=False)
class Coming:
    """What comes within the window after the prediction time of `a` documents, for `f` forecast data_types."""

    document: Ints
    """`(a,)`, documents that were cut."""
    present: NDArray[np.float32]
    """`(a, f)`, 1 where the data_type comes in the window."""
    row: Ints
    """`(b,)`, row in `document` of each number that came: the first of its data_type in the window, of several at
    once their mean."""
    column: Ints
    """`(b,)`, its forecast data_type, counted within the `f`."""
    value: NDArray[np.float32]
    """`(b,)`, the number, as the batch has it."""


def draw_times(batch: HostBatch, config: ForecastConfig, *salts: int) -> HostBatch:
    """Draw a prediction time for each document, which becomes its end; nothing is cut off yet.

    The time is uniform over the observed hours (`observed`) between `earliest_hours` of record and one window before
    the prediction time, so that the whole window lies within what the document tells. Documents that are too short for
    that, or of which nothing was known by then, stay whole, as does the share `whole_share` of the others.

    Args:
        batch: With `available`; the columns of what triplets are may be missing.
        config: Window and shares.
        salts: What it is for, such as `CUT`, seed, number of the batch or of the packing.

    Returns:
        The batch with `is_cut`.
    """
    observed = ObservedTime(batch, config.longest_gap)
    latest = observed.of(batch.end / US_PER_HOUR - config.window_hours)
    earliest = observed.after(config.earliest_hours)
    words = batch.words(*salts)
    is_cut = (earliest <= latest) & (uniform(draw(words, _WHOLE)) >= config.whole_share)
    earliest, latest = np.where(is_cut, earliest, 0.0), np.where(is_cut, latest, 0.0)
    when = observed.calendar(earliest + (latest - earliest) * uniform(draw(words, _WHEN)))
    end = np.floor(when * US_PER_HOUR).astype(np.int64)
    is_cut &= np.logical_or.reduceat(_known(batch, end), batch.bounds[:-1])
    return replace(batch, end=np.where(is_cut, end, batch.end), is_cut=is_cut)


def known(batch: HostBatch) -> Bools:
    """Return `(n,)`, which triplets a cut leaves."""
    assert batch.is_cut is not None, "times were not drawn"
    return _known(batch, batch.end) | ~batch.is_cut[batch.document]


def _known(batch: HostBatch, end: Ints) -> Bools:
    assert batch.available is not None, "a cut needs both clocks: load with `with_available`"
    return was_known(batch.is_static, batch.time, batch.available, end.repeat(batch.lengths))


def needed(batch: HostBatch, window: int) -> Ints:
    """Return `(d,)`, how many timed triplets of each document a cut looks at: up to the end of a window, us."""
    assert batch.is_cut is not None, "times were not drawn"
    until = np.where(batch.is_cut, batch.end + window, np.iinfo(np.int64).max)
    within = (batch.time <= until.repeat(batch.lengths)) & ~batch.is_static
    return np.add.reduceat(within, batch.bounds[:-1], dtype=np.int64)


def cut(batch: HostBatch, config: ForecastConfig, columns: Ints) -> tuple[HostBatch, Coming]:
    """Cut documents at their prediction times and say what comes in the window after it.

    Args:
        batch: With `is_cut` and `available`.
        config: Window.
        columns: `(f,)`, the data_types that are forecast.

    Returns:
        What was known, and what is to be forecast.
    """
    assert batch.is_cut is not None, "times were not drawn"
    then = batch.end.repeat(batch.lengths)
    of_cut = batch.is_cut.repeat(batch.lengths)
    coming = of_cut & ~batch.is_static & (batch.time > then) & (batch.time <= then + window_of(config))
    return cut_off(batch), _coming(batch, columns, np.flatnonzero(batch.is_cut), np.flatnonzero(coming))


def cut_off(batch: HostBatch) -> HostBatch:
    """Return what was known of documents at their prediction times."""
    kept = known(batch)
    return replace(batch.select(kept).counted_from(_began(batch, kept)), is_cut=None)


def _began(batch: HostBatch, kept: Bools) -> Ints:
    """Return `(d,)`, the time of the first row that is left, where the one that times count from is not; else 0."""
    began = np.zeros(batch.n_documents, dtype=np.int64)
    first = np.minimum(batch.first_timed, batch.n_tokens - 1)
    late = batch.counts_from_row & (batch.first_timed < batch.bounds[1:]) & (batch.time[first] == 0) & ~kept[first]
    if late.any():
        left = np.where(kept & ~batch.is_static, batch.time, np.iinfo(np.int64).max)
        earliest = np.minimum.reduceat(left, batch.bounds[:-1])
        late &= earliest < np.iinfo(np.int64).max
        began[late] = earliest[late]
    return began


def window_of(config: ForecastConfig) -> int:
    """Return the length of the window that is forecast, us."""
    return round(config.window_hours * US_PER_HOUR)


def _coming(batch: HostBatch, columns: Ints, cut_documents: Ints, coming: Ints) -> Coming:
    """Say what comes, where `coming` are the tokens within the windows, in their order."""
    column_of = np.full(1 + max(batch.data_type.max(initial=0), columns.max(initial=0)), -1)
    column_of[columns] = np.arange(len(columns))
    row_of = np.full(batch.n_documents, -1)
    row_of[cut_documents] = np.arange(len(cut_documents))
    coming = coming[column_of[batch.data_type[coming]] >= 0]
    row, column = row_of[batch.document[coming]], column_of[batch.data_type[coming]]
    present = np.zeros((len(cut_documents), len(columns)), dtype=np.float32)
    status = batch.value_status[coming]
    came = status != ValueStatus.NOT_MEASURED  # such a row says that nothing came
    present[row[came], column[came]] = 1
    with_number = HAS_NUMBER_OF[status]
    width = max(1, len(columns))
    cell, first, own = np.unique((row * width + column)[with_number], return_index=True, return_inverse=True)
    coming = coming[with_number]
    earliest = batch.time[coming] == batch.time[coming[first]][own]
    total = np.bincount(own[earliest], batch.value[coming[earliest]], len(cell))
    number = (total / np.bincount(own[earliest], minlength=len(cell))).astype(np.float32)
    return Coming(cut_documents, present, cell // width, cell % width, number)
