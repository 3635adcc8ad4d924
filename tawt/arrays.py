"""Names of the numpy arrays that modules hand each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
"""What is small: data_types, tokens. As narrow as shards hold it, for the host's time is that of its memory."""
Places = NDArray[np.uint32]
"""Places within a batch."""
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
"""Random bits, or what they are drawn of."""
HalfWords = NDArray[np.uint32]
"""The same where there is one for each triplet: half the time."""
