"""Two views of each document, for the contrastive objective."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from tawt.batching.augment import augment
from tawt.batching.batch import PackedBatch
from tawt.batching.edit import concatenate
from tawt.config.augment import AugmentConfig
from tawt.dataset.vocabulary import Vocabulary

VIEWS = 7
"""First salt of the draws of views."""


def two_views(
    batch: PackedBatch, config: AugmentConfig, vocabulary: Vocabulary, *salts: int, with_type_gaps: bool = True
) -> tuple[PackedBatch, Tensor]:
    """Augment each document twice: first all first views, then all second ones, as documents of one batch.

    Args:
        batch: Of `d` documents, on CPU.
        config: How a view differs from its document.
        vocabulary: Whose bins the numbers fall in.
        salts: What it is for, such as `VIEWS`, seed, number of the batch.
        with_type_gaps: See `augment`.

    Returns:
        The batch of `2 d` documents, and `(2 d,)` int64, whose view each is: the subject, so that two documents of
        one subject are never taken for strangers.
    """
    both = concatenate(
        [augment(batch, config, vocabulary, *salts, view, with_type_gaps=with_type_gaps) for view in (0, 1)]
    )
    return replace(both, n_cut=batch.n_cut), both.subject_id
