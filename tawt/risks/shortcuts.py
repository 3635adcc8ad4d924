"""What of an answer is no medicine: records of which the times are left and what happened is somebody else's."""

from __future__ import annotations

import numpy as np

from tawt.batching.host import HostBatch
from tawt.batching.order import by_type
from tawt.chance import Salt, draw

_CONTENT = ("data_type", "value", "value_token", "value_status")


def with_others_events(batch: HostBatch, seed: int) -> HostBatch:
    """Return records with their own statics and times, in which what happened is dealt anew among all of the batch."""
    timed = np.flatnonzero(~batch.is_static)
    dealt = timed[np.argsort(draw(np.arange(len(timed)), Salt.SHORTCUTS, seed), kind="stable")]
    changes = {}
    for name in _CONTENT:
        column = getattr(batch, name).copy()
        column[timed] = column[dealt]
        changes[name] = column
    return by_type(batch.but(**changes))


def without_history(batch: HostBatch, seed: int) -> HostBatch:
    """Return records of which the statics and the time of the last event are left; what came then is dealt."""
    last = np.zeros(batch.n_tokens, dtype=np.bool_)
    last[batch.bounds[1:] - 1] = True
    return with_others_events(batch, seed).select(batch.is_static | last)


ABLATIONS = {"history_of_others": with_others_events, "history_removed": without_history}
"""Name -> what becomes of the records."""
