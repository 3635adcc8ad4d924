"""The triplets that say "expected, and not measured": added by a panel's rule, never in place of a value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tawt.config.pipeline import Panel
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.transforms.columns import NO_TIME, Int64s


def not_measured(
    columns: dict[str, np.ndarray],
    expected: npt.NDArray[np.int64],
    panel: Panel,
    starts: npt.NDArray[np.int64] | None,
) -> dict[str, np.ndarray]:
    """Return one `not_measured` triplet per window and expected data_type without a row in it.

    A window is half open, `(start + (k - 1) w, start + k w]`, the first one closed on both sides; it counts only if
    the subject's record reaches its end. The triplet stands at the window's end and is available then.

    Args:
        columns: The shard's triplets, by column; subjects ascend.
        expected: The panel's data_types.
        panel: Its window and its cap.
        starts: Rows that open a series of windows; None = each subject's first timed row.
    """
    timed = np.flatnonzero(columns["timestamp"] != NO_TIME)
    time, subject = columns["timestamp"][timed], columns["subject_id"][timed]
    begins = np.flatnonzero(np.append(True, subject[1:] != subject[:-1])[: len(subject)])
    last = np.maximum.reduceat(time, begins)
    if starts is None:
        owner, start = np.arange(len(begins)), np.minimum.reduceat(time, begins)
    else:
        owner = np.searchsorted(subject[begins], columns["subject_id"][starts])
        owner, start = np.unique(np.stack([owner, columns["timestamp"][starts]]), axis=1)
    width, expected = round(panel.window_hours * US_PER_HOUR), np.unique(expected)
    n_windows = np.minimum((last[owner] - start) // width, panel.max_windows)
    ends = np.cumsum(n_windows)
    measured = np.zeros((n_windows.sum(), len(expected)), dtype=np.bool_)
    rows = np.flatnonzero(np.isin(columns["data_type"][timed], expected))
    row, series = _each_with(np.searchsorted(begins, rows, side="right") - 1, owner)
    since = time[rows[row]] - start[series]
    window = np.maximum(-(-since // width) - 1, 0)
    within = (since >= 0) & (window < n_windows[series])
    place = (ends - n_windows)[series[within]] + window[within]
    measured[place, np.searchsorted(expected, columns["data_type"][timed[rows[row[within]]]])] = True
    place, kind = np.nonzero(~measured)
    series = np.searchsorted(ends, place, side="right")
    end = start[series] + (place - (ends - n_windows)[series] + 1) * width
    # two series may have windows of one end
    series_of, end, kind = np.unique(np.stack([owner[series], end, kind]), axis=1)
    n = len(end)
    return {
        "subject_id": subject[begins[series_of]],
        "timestamp": end,
        "data_type": expected[kind],
        "value": np.zeros(n, dtype=np.float32),
        "value_token": np.zeros(n, dtype=np.int64),
        "value_status": np.full(n, ValueStatus.NOT_MEASURED, dtype=np.uint8),
        "available_time": end,
    }


def _each_with(of: Int64s, owner: Int64s) -> tuple[Int64s, Int64s]:
    """Return each place in the first beside each place in the second, which ascends, that has the same number."""
    first, end = np.searchsorted(owner, of), np.searchsorted(owner, of, side="right")
    n = end - first
    place = np.repeat(first - (np.cumsum(n) - n), n) + np.arange(n.sum())
    return np.repeat(np.arange(len(of)), n), place
