"""Two views of each document, for the contrastive objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tawt.batching.augment import thinned
from tawt.batching.host import HostBatch, concatenate
from tawt.chance import Salt
from tawt.config.augment import AugmentConfig

VIEWS = Salt.VIEWS


def two_views(batch: HostBatch, config: AugmentConfig, *salts: int) -> HostBatch:
    """Thin each document twice: first all first views, then all second ones, as documents of one batch.

    Whose view each is, its subject says: two documents of one subject are never taken for strangers.

    Args:
        batch: Of `d` documents.
        config: How a view differs from its document.
        salts: What it is for, such as `VIEWS`, seed, number of the packing.

    Returns:
        The batch of `2 d` documents.
    """
    both = concatenate([thinned(batch, config, *salts, view) for view in (0, 1)])
    return replace(both, n_cut=batch.n_cut, view=np.repeat([0, 1], batch.n_documents))
