"""What was counted on train before a decoder learns, as its heads start."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Counted:
    """What was counted on train, as the heads start; `v` data_types."""

    log_step: Tensor
    """`(2, 4)`, log share of each step, before and after the first timed event."""
    gap: Tensor
    """`(2,)`, mean and standard deviation of the log hours of gaps."""
    gap_quantiles: Tensor
    """`(GAPS,)`, evenly spaced quantiles of the same."""
    log_hours: Tensor
    """`(MOST_WHOLE,)`, log share of the whole hours within gaps, see `tawt.models.decoder.gaps.whole`."""
    log_days: Tensor
    """`(MOST_DAYS,)`, of the whole days."""
    resolution: float
    """Hours, of which times are whole multiples."""
    knots: Tensor
    """`(v, KNOTS)` float32, numbers at evenly spaced ranks, ascending; 0 where few people have some."""
    log_type: Tensor
    """`(v,)`, see `Baselines`."""
    log_status: Tensor
    """`(v, 10)`."""
    log_category: Tensor
    """`(n_category_rows,)`."""
    told_types: Tensor
    """`(r,)`, data_types of which it is told how long ago each came last, ascending."""
    later_types: Tensor
    """`(q,)`, data_types of which it is asked when each comes next, ascending."""
    later: Tensor
    """`(q, spans)`, log rates of each span, see `tawt.models.decoder.later`."""
