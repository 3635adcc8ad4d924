"""Simultaneous triplets in one order: of chance in the shards, of their data_types where each is predicted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tawt.batching.host import HostBatch


def by_type(batch: HostBatch) -> HostBatch:
    """Return the batch with the triplets of each moment, and the statics of each document, by data_type.

    So the order of what has none costs a model nothing that predicts one triplet after the other.
    """
    moment = np.repeat(np.arange(len(batch.moments) - 1), np.diff(batch.moments))
    order = np.lexsort((batch.identity, batch.data_type, moment))
    names = ("data_type", "value", "value_token", "value_status", "available", "identity")
    changes: dict[str, Any] = {name: None if (x := getattr(batch, name)) is None else x[order] for name in names}
    return replace(batch, **changes)  # times are equal within a moment
