"""Documents cut at a prediction time: what was known then, and what came after.

Two clocks: a record is known at a time when it had happened and could be read by then. What is not known leaves no
trace in the batch. A record that had happened but could not be read yet is neither input nor target.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tawt.batching.augment import document_words, uniform
from tawt.batching.batch import PackedBatch
from tawt.batching.chance import draw
from tawt.batching.edit import IntArray, bounds_of, documents_of, select
from tawt.batching.example import ForecastTargets
from tawt.batching.gaps import US_PER_HOUR
from tawt.batching.observed import ObservedTime
from tawt.config.objective import ForecastConfig
from tawt.contracts.value_status import HAS_NUMBER, ValueStatus

CUT = 8
"""First salt of the draws of prediction times."""
_WHOLE, _WHEN = 0, 1
_HAS_NUMBER = np.array(HAS_NUMBER)


def cut(
    batch: PackedBatch, config: ForecastConfig, columns: IntArray, *salts: int, with_type_gaps: bool = True
) -> tuple[PackedBatch, ForecastTargets]:
    """Cut documents at a random time and say what comes in the window after it.

    The time is uniform over the observed hours (`observed`) between `earliest_hours` of record and one window before
    the prediction time, so that the whole window lies within what the document tells. Documents that are too short for
    that, or of which nothing was known by then, stay whole, as does the share `whole_share` of the others.

    Args:
        batch: On CPU, with `available_hours`.
        config: Window and shares.
        columns: `(f,)`, the data_types that are forecast.
        salts: What it is for, such as `CUT`, seed, number of the batch.
        with_type_gaps: See `select`.

    Returns:
        The batch with the cut documents' prediction time as their end, and what is to be forecast.
    """
    assert batch.available_hours is not None, "a cut needs both clocks: load with `with_available`"
    bounds, document = bounds_of(batch), documents_of(batch)
    data_type, hours, static = batch.data_type.numpy(), batch.hours.numpy(), batch.is_static.numpy()
    end = batch.end_hours.numpy()
    observed = ObservedTime(batch, config.longest_gap)
    earliest, latest = observed.after(config.earliest_hours), observed.of(end - config.window_hours)
    words = document_words(batch, *salts)
    is_cut = (earliest <= latest) & (uniform(draw(words, _WHOLE)) >= config.whole_share)
    earliest, latest = np.where(is_cut, earliest, 0.0), np.where(is_cut, latest, 0.0)
    when = observed.calendar(earliest + (latest - earliest) * uniform(draw(words, _WHEN)))
    when = np.floor(when * US_PER_HOUR) / US_PER_HOUR

    then = when[document]
    known = static | ((hours <= then) & (batch.available_hours.numpy() <= then))
    is_cut &= np.add.reduceat(known, bounds[:-1], dtype=np.int64) > 0
    of_cut = is_cut[document]
    coming = of_cut & ~static & (hours > then) & (hours <= then + config.window_hours)
    targets = _targets(batch, config, columns, np.flatnonzero(is_cut), document, np.flatnonzero(coming), data_type)

    earlier = np.where(is_cut, np.rint((end - when) * US_PER_HOUR), 0).astype(np.int64)
    batch = replace(
        batch,
        end_hours=torch.from_numpy(np.where(is_cut, when, end)),
        end_time=torch.from_numpy(batch.end_time.numpy() - earlier),
    )
    return select(batch, known | ~of_cut, with_type_gaps=with_type_gaps), targets


def _targets(
    batch: PackedBatch, config: ForecastConfig, columns: IntArray, cut_documents: IntArray, document: IntArray,
    coming: IntArray, data_type: IntArray,
) -> ForecastTargets:  # fmt: skip
    """Say what comes, where `coming` are the tokens within the windows, in their order."""
    column_of = np.full(1 + max(data_type.max(initial=0), columns.max(initial=0)), -1)
    column_of[columns] = np.arange(len(columns))
    row_of = np.full(batch.n_documents, -1)
    row_of[cut_documents] = np.arange(len(cut_documents))
    coming = coming[column_of[data_type[coming]] >= 0]
    row, column = row_of[document[coming]], column_of[data_type[coming]]
    present = np.zeros((len(cut_documents), len(columns)), dtype=np.float32)
    status = batch.value_status.numpy()[coming]
    came = status != ValueStatus.NOT_MEASURED  # such a row says that nothing came
    present[row[came], column[came]] = 1
    with_number = np.isin(status, _HAS_NUMBER)
    cell, first = np.unique((row * max(1, len(columns)) + column)[with_number], return_index=True)
    value = batch.value.numpy()[coming[with_number][first]]
    return ForecastTargets(
        document=torch.from_numpy(cut_documents),
        present=torch.from_numpy(present),
        value_row=torch.from_numpy(cell // max(1, len(columns))),
        value_column=torch.from_numpy(cell % max(1, len(columns))),
        value_is=torch.from_numpy(value),
    )
