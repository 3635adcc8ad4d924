"""One event of each of several records, as it was drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Ints
from tawt.models.decoder.heads import Step


@dataclass(frozen=True)
class Drawn:
    """One event of each of `b` records; of those that had ended before, nothing."""

    step: Ints
    """`(b,)`, the `Step`; `END` where the record ends here or had ended."""
    time: Ints
    """`(b,)`, us since the origin; 0 for a static."""
    data_type: Ints
    """`(b,)`."""
    value_status: Ints
    """`(b,)`, see `ValueStatus`."""
    value: NDArray[np.float32]
    """`(b,)`, normalized; 0 where there is none."""
    value_token: Ints
    """`(b,)`, bin or category; 0 = none."""
    watched: NDArray[np.float64]
    """`(b,)`, the chance that this event was to be of one of the watched data_types, given its time."""

    def of(self, rows: Ints) -> Drawn:
        """Return some of the rows."""
        return Drawn(*(getattr(self, one.name)[rows] for one in fields(self)))

    def among(self, rows: Ints, b: int) -> Drawn:
        """Return the same among `b` records, of which the others had ended."""
        if len(rows) == b:
            return self
        whole = Drawn(*(np.zeros(b, getattr(self, one.name).dtype) for one in fields(self)))
        whole.step[:] = Step.END
        for one in fields(self):
            getattr(whole, one.name)[rows] = getattr(self, one.name)
        return whole
