"""Two views of each document, for the contrastive objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tawt.batching.augment import augment
from tawt.batching.host import HostBatch, concatenate
from tawt.config.augment import AugmentConfig
from tawt.dataset.vocabulary import Vocabulary

VIEWS = 7
"""First salt of the draws of views."""


def two_views(batch: HostBatch, config: AugmentConfig, vocabulary: Vocabulary, *salts: int) -> HostBatch:
    """Augment each document twice: first all first views, then all second ones, as documents of one batch.

    Whose view each is, its subject says: two documents of one subject are never taken for strangers.

    Args:
        batch: Of `d` documents.
        config: How a view differs from its document.
        vocabulary: Whose bins the numbers fall in.
        salts: What it is for, such as `VIEWS`, seed, number of the batch.

    Returns:
        The batch of `2 d` documents.
    """
    both = concatenate([augment(batch, config, vocabulary, *salts, view) for view in (0, 1)])
    return replace(both, n_cut=batch.n_cut, view=np.repeat([0, 1], batch.n_documents))
